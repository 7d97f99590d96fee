/* tests/unit/cli_send_rig.h: packs on their way to a scripted server, and what the hooks of send heard. */
#ifndef PS_TESTS_CLI_SEND_RIG_H
#define PS_TESTS_CLI_SEND_RIG_H

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "tests/unit/cli_server.h"

#include "cli/api.h"
#include "cli/submit/send.h"

#define PATIENCE_MS 60000
#define DEADLINE_MS 30000 /* of a test */

static json_t *common;
static struct ps_pack_options options;

/* What the hooks heard. */
struct heard {
    unsigned acknowledged, refused, settled, conflicts, opened, events;
    char why[PS_ERROR_TEXT_MAX];
    char label[64];
    bool forgive; /* what the conflict hook answers */
};

struct rig {
    struct server *server;
    struct ps_api *api;
    struct ps_send *send;
    struct heard heard;
    char *dir;
};

static void on_file(void *arg, const struct ps_pack *pack, const struct ps_pack_file *file,
                    const json_t *line, const char *why)
{
    struct heard *heard = arg;

    assert_non_null(file->path);
    assert_true(file >= pack->files && file < pack->files + pack->n);
    heard->acknowledged += line != NULL;
    heard->refused += line == NULL;
    if (why)
        (void)snprintf(heard->why, sizeof(heard->why), "%s", why);
}

static bool on_conflict(void *arg, const struct ps_pack *pack)
{
    struct heard *heard = arg;

    (void)pack;
    heard->conflicts++;
    return heard->forgive;
}

static void on_opened(void *arg, const struct ps_pack *pack)
{
    assert_non_null(pack->upload);
    ((struct heard *)arg)->opened++;
}

static void on_settled(void *arg, const struct ps_pack *pack)
{
    (void)pack;
    ((struct heard *)arg)->settled++;
}

static void on_event(void *arg, const json_t *event)
{
    struct heard *heard = arg;

    heard->events++;
    (void)snprintf(heard->label, sizeof(heard->label), "%s",
                   json_string_value(json_object_get(event, "label")));
}

static void rig_open(struct rig *rig, server_script *script, bool follow, uint64_t give_up_ms)
{
    *rig = (struct rig){.server = server_start(script), .dir = unit_dir_make()};
    const struct ps_send_settings settings = {.options = &options,
                                              .give_up_ms = give_up_ms,
                                              .follow = follow,
                                              .after = 10,
                                              .hooks = {.file = on_file,
                                                        .conflict = on_conflict,
                                                        .opened = on_opened,
                                                        .settled = on_settled,
                                                        .event = on_event,
                                                        .arg = &rig->heard}};

    assert_int_equal(ps_api_new(&rig->api, NULL), 0);
    assert_int_equal(ps_send_new(&rig->send, rig->api, &settings, NULL), 0);
}

static void rig_close(struct rig *rig)
{
    ps_send_free(&rig->send);
    ps_api_free(&rig->api);
    server_free(rig->server);
    unit_dir_remove(rig->dir);
}

static struct ps_walk_file make_file(struct rig *rig, char path[UNIT_PATH_MAX], const char *name, off_t size)
{
    int fd = open(unit_path(path, rig->dir, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, name, strlen(name), 0), (ssize_t)strlen(name));
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(close(fd), 0);
    return (struct ps_walk_file){.path = path, .size = (uint64_t)size};
}

/* Gives a pack of so many small files under a key. */
static inline void give(struct rig *rig, const char *key, size_t files)
{
    struct ps_pack *pack = ps_pack_new(key);
    char name[32], path[UNIT_PATH_MAX];

    assert_non_null(pack);
    for (size_t i = 0; i < files; i++) {
        (void)snprintf(name, sizeof(name), "%s-%zu", key, i);
        const struct ps_walk_file file = make_file(rig, path, name, 100);
        assert_int_equal(ps_pack_add(pack, &options, &file, NULL), 0);
    }
    assert_true(ps_send_wants(rig->send));
    ps_send_give(rig->send, pack);
}

static inline void give_large(struct rig *rig, off_t size, const char *upload)
{
    struct ps_pack *pack = ps_pack_new("large");
    char path[UNIT_PATH_MAX];
    const struct ps_walk_file file = make_file(rig, path, "large", size);

    assert_int_equal(ps_pack_large(pack, &file, NULL), 0);
    if (upload)
        pack->upload = ps_strf("%s", upload);
    ps_send_give(rig->send, pack);
}

/* Turns until a condition holds: it is an expression over rig. */
#define TURN_UNTIL(rig, condition)                           \
    do {                                                     \
        uint64_t end_ms_ = ps_clock_mono_ms() + DEADLINE_MS; \
        while (!(condition)) {                               \
            assert_true(ps_clock_mono_ms() < end_ms_);       \
            ps_send_turn((rig)->send, 20);                   \
        }                                                    \
    } while (0)

static inline void all_settled(struct rig *rig)
{
    TURN_UNTIL(rig, ps_send_waiting(rig->send) == 0);
    server_stop(rig->server);
}

static inline void say(struct server_reply *reply, int status, const char *headers, const char *body)
{
    reply->status = status;
    (void)snprintf(reply->headers, sizeof(reply->headers), "%s", headers);
    (void)snprintf(reply->body, sizeof(reply->body), "%s", body);
}

/* A line for each file of a batch, as many as its headers count. */
static inline void acknowledge(const struct server_request *request, struct server_reply *reply)
{
    size_t n = 0, len = 0;

    for (size_t at = 0; at + 4 <= request->len; n++) {
        const uint8_t *p = (const uint8_t *)request->body + at;
        size_t header = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        json_t *json = json_loadb(request->body + at + 4, header, 0, NULL);

        at += 4 + header + (size_t)json_integer_value(json_object_get(json, "size"));
        json_decref(json);
        len += (size_t)snprintf(
            reply->body + len, sizeof(reply->body) - len,
            "{\"n\":%zu,\"sha256\":\"00\",\"submission\":%zu,\"scan\":1,\"known\":false}\n", n, n + 1);
    }
}

static int group_setup(void **state)
{
    (void)state;
    common = json_object();
    options = (struct ps_pack_options){.batch = "cli-1", .common = common};
    return common ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    json_decref(common);
    return 0;
}

#endif
