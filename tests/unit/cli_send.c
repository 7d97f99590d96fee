/* Packs on their way: what is repeated, what is given up, and where an upload goes on; against a scripted server. */
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
static void give(struct rig *rig, const char *key, size_t files)
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

static void give_large(struct rig *rig, off_t size, const char *upload)
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

static void all_settled(struct rig *rig)
{
    TURN_UNTIL(rig, ps_send_waiting(rig->send) == 0);
    server_stop(rig->server);
}

static void say(struct server_reply *reply, int status, const char *headers, const char *body)
{
    reply->status = status;
    (void)snprintf(reply->headers, sizeof(reply->headers), "%s", headers);
    (void)snprintf(reply->body, sizeof(reply->body), "%s", body);
}

/* A line for each file of a batch, as many as its headers count. */
static void acknowledge(const struct server_request *request, struct server_reply *reply)
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

/* ---- batches ---- */

static void script_takes_all(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    (void)self;
    acknowledge(request, reply);
}

static void every_file_is_acknowledged(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_takes_all, false, PATIENCE_MS);
    give(&rig, "a", 3);
    give(&rig, "b", 1);
    assert_int_equal(ps_send_waiting_files(rig.send), 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 4);
    assert_int_equal(rig.heard.settled, 2);
    assert_int_equal(rig.server->requests_n, 2);
    assert_string_equal(rig.server->requests[0].path, "/api/v1/batch");
    rig_close(&rig);
}

static void script_cuts_twice(struct server *self, const struct server_request *request,
                              struct server_reply *reply)
{
    if (self->step++ < 2)
        reply->status = 0;
    else
        acknowledge(request, reply);
}

/* A lost answer: the same bytes again, under the same key. */
static void cut_connection_is_repeated_under_its_key(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_cuts_twice, false, PATIENCE_MS);
    give(&rig, "once", 5);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 5);
    assert_int_equal(rig.heard.refused, 0);
    assert_true(rig.server->requests_n >= 3); /* curl repeats by itself on a connection it had */
    for (size_t i = 0; i < rig.server->requests_n; i++) {
        assert_string_equal(rig.server->requests[i].key, "once");
        assert_int_equal(rig.server->requests[i].sum, rig.server->requests[0].sum);
    }
    rig_close(&rig);
}

static void script_no_server(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    (void)self;
    (void)request;
    reply->status = 0;
}

/* A server that is away for a while: the packs wait, and the note says for what. */
static void away_and_back(void **state)
{
    struct rig rig;
    char path[UNIT_PATH_MAX];

    (void)state;
    rig_open(&rig, script_takes_all, false, PATIENCE_MS);
    assert_int_equal(rename(unit_path(path, rig.server->dir, "run"),
                            unit_path((char[UNIT_PATH_MAX]){0}, rig.server->dir, "off")),
                     0);
    give(&rig, "a", 2);
    TURN_UNTIL(&rig, ps_send_note(rig.send) != NULL);
    assert_non_null(strstr(ps_send_note(rig.send), "waiting: nothing answers at "));
    assert_int_equal(ps_send_waiting(rig.send), 1);
    assert_int_equal(rename(unit_path((char[UNIT_PATH_MAX]){0}, rig.server->dir, "off"), path), 0);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 2);
    assert_null(ps_send_note(rig.send));
    rig_close(&rig);
}

static const char busy[] = "{\"detail\":\"the queue is full\"}";

static void script_busy_once(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    if (self->step++ < 4)
        say(reply, self->step % 2 ? 429 : 503, "Retry-After: 1\r\n", busy);
    else
        acknowledge(request, reply);
}

/* 429 and 503: the server's wish is kept, and no more than half as many come after each. */
static void busy_server_gets_less(void **state)
{
    struct rig rig;
    char key[2] = "a";

    (void)state;
    rig_open(&rig, script_busy_once, false, PATIENCE_MS);
    for (; key[0] < 'e'; key[0]++)
        give(&rig, key, 1);
    assert_false(ps_send_wants(rig.send));
    TURN_UNTIL(&rig, rig.server->requests_n >= 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 4);
    assert_int_equal(rig.server->requests_n, 8);
    uint64_t asked_ms = rig.server->requests[3].at_ms;
    assert_true(rig.server->requests[4].at_ms >= asked_ms + 900);
    rig_close(&rig);
}

/* Holds back its answers, so that what is in flight can be counted. */
static void script_halves(struct server *self, const struct server_request *request,
                          struct server_reply *reply)
{
    if (self->step++ < 4) {
        say(reply, 503, "", busy);
        return;
    }
    unsigned open = ++self->open_n;
    if (open > self->open_max)
        self->open_max = open;
    if (self->step == 5)
        reply->hold = true; /* never answered: were there a second one, it would come now */
    else
        acknowledge(request, reply);
}

/* After four refusals the window is one: one request in flight, though four packs wait. */
static void window_halves(void **state)
{
    struct rig rig;
    char key[2] = "a";

    (void)state;
    rig_open(&rig, script_halves, false, PATIENCE_MS);
    for (; key[0] < 'e'; key[0]++)
        give(&rig, key, 1);
    TURN_UNTIL(&rig, rig.server->open_n == 1);
    for (int i = 0; i < 60; i++) /* more than the longest back-off so far: a second would be due */
        ps_send_turn(rig.send, 20);
    assert_int_equal(rig.server->open_max, 1);
    assert_int_equal(ps_send_waiting(rig.send), 4);
    server_stop(rig.server);
    rig_close(&rig);
}

static void script_partial(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 200, "",
        "{\"n\":0,\"sha256\":\"00\",\"submission\":1}\n"
        "{\"n\":1,\"problem\":{\"detail\":\"too large: the limit is 5\"}}\n"
        "{\"n\":null,\"at\":99,\"problem\":{\"detail\":\"the header at 99 is no JSON\"}}\n");
}

/* Some are taken, some refused; from where the body could not be read all have the same problem. */
static void lines_are_told_one_by_one(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_partial, false, PATIENCE_MS);
    give(&rig, "p", 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    assert_int_equal(rig.heard.refused, 3);
    assert_int_equal(rig.heard.settled, 1);
    assert_string_equal(rig.heard.why, "the header at 99 is no JSON");
    rig_close(&rig);
}

static void script_nonsense(struct server *self, const struct server_request *request,
                            struct server_reply *reply)
{
    (void)request;
    if (self->step++ == 0)
        say(reply, 200, "", "<html>no JSON</html>\n[1,2]\n\"x\"\n");
    else
        say(reply, 200, "", "");
}

/* An answer that is none: every file is told, nothing is taken for acknowledged. */
static void nonsense_acknowledges_nothing(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_nonsense, false, PATIENCE_MS);
    give(&rig, "x", 5);
    TURN_UNTIL(&rig, ps_send_waiting(rig.send) == 0);
    assert_int_equal(rig.heard.refused, 5);
    give(&rig, "y", 2);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 0);
    assert_int_equal(rig.heard.refused, 7);
    assert_string_equal(rig.heard.why, "the server's answer ended before this file");
    rig_close(&rig);
}

static void script_conflict(struct server *self, const struct server_request *request,
                            struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 409, "", "{\"detail\":\"this key came with another body\"}");
}

/* A key that the server knows with another body: the caller says whether that is no wonder. */
static void conflict_is_the_callers(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_conflict, false, PATIENCE_MS);
    give(&rig, "a", 2);
    TURN_UNTIL(&rig, ps_send_waiting(rig.send) == 0);
    assert_int_equal(rig.heard.conflicts, 1);
    assert_int_equal(rig.heard.refused, 2);
    assert_string_equal(rig.heard.why, "this key came with another body");
    rig.heard.forgive = true;
    give(&rig, "b", 2);
    all_settled(&rig);
    assert_int_equal(rig.heard.conflicts, 2);
    assert_int_equal(rig.heard.refused, 2);
    assert_int_equal(rig.heard.settled, 2);
    rig_close(&rig);
}

/* Nothing answers for longer than our patience: given up, and nobody is told that a file was refused, because nobody
 * knows. */
static void patience_runs_out(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_no_server, false, 600);
    give(&rig, "a", 2);
    uint64_t begin_ms = ps_clock_mono_ms();
    TURN_UNTIL(&rig, ps_send_gave_up(rig.send));
    assert_true(ps_clock_mono_ms() - begin_ms >= 500);
    assert_int_equal(ps_send_waiting(rig.send), 1);
    assert_int_equal(rig.heard.refused + rig.heard.acknowledged + rig.heard.settled, 0);
    assert_false(ps_send_wants(rig.send));
    assert_non_null(ps_send_note(rig.send));
    ps_send_turn(rig.send, 0); /* does nothing any more */
    server_stop(rig.server);
    rig_close(&rig);
}

/* A Retry-After of years, or one that makes no sense, does not stop us for that long. */
static void script_patient(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    if (self->step++ == 0)
        say(reply, 503, "Retry-After: -99999999999999\r\n", busy);
    else
        acknowledge(request, reply);
}

static void silly_retry_after(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_patient, false, PATIENCE_MS);
    give(&rig, "a", 1);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    rig_close(&rig);
}

/* ---- uploads ---- */

#define CHUNK ((long long)4 << 20)
#define LARGE ((off_t)10 << 20)

static void say_new(struct server_reply *reply, const char *id)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"offset\":0,\"chunk_bytes\":%lld}", id, CHUNK);
    say(reply, 201, "", text);
}

static void say_offset(struct server_reply *reply, int status, long long offset)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "{\"offset\":%lld,\"detail\":\"another offset\"}", offset);
    say(reply, status, "", text);
}

static const char receipt[] =
    "{\"offset\":10485760,\"sha256\":\"00\",\"submission\":5,\"scan\":6,\"known\":false}";

/* A server that takes uploads as it should; have: bytes it has. */
static void script_uploads(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    long long end = request->offset + (long long)request->len;

    if (!strcmp(request->method, "POST")) {
        self->step = 0;
        say_new(reply, "up1");
    } else if (request->offset != (long long)self->step) {
        say_offset(reply, 409, self->step);
    } else {
        self->step = (int)end;
        if (end == LARGE)
            say(reply, 200, "", receipt);
        else
            say_offset(reply, 200, end);
    }
}

static void large_file_goes_up_in_chunks(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_uploads, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    assert_int_equal(rig.heard.opened, 1);
    assert_int_equal(server_count(rig.server, "PATCH", "/api/v1/uploads/up1"), 3);
    assert_int_equal(rig.server->requests[1].len, CHUNK);
    assert_int_equal(rig.server->requests[3].len, LARGE - 2 * CHUNK);
    rig_close(&rig);
}

static void script_too_large(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    (void)self;
    assert_string_equal(request->path, "/api/v1/uploads");
    say(reply, 413, "", "{\"detail\":\"10485760 bytes are more than the limit of 5\",\"limit\":5}");
}

/* Over the limit: said before a byte of it is sent. */
static void too_large_is_refused_at_once(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_too_large, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.refused, 1);
    assert_string_equal(rig.heard.why, "10485760 bytes are more than the limit of 5");
    assert_int_equal(rig.server->requests_n, 1);
    assert_true(rig.server->requests[0].len < 1000);
    rig_close(&rig);
}

/* The second chunk's answer is lost; the server has it. */
static void script_loses_an_answer(struct server *self, const struct server_request *request,
                                   struct server_reply *reply)
{
    bool lose = request->offset == CHUNK && self->step == CHUNK;

    script_uploads(self, request, reply);
    if (lose)
        reply->status = 0;
}

static void chunk_goes_on_where_the_server_is(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_loses_an_answer, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    size_t last = rig.server->requests_n - 1;
    assert_int_equal(rig.server->requests[last].offset, 2 * CHUNK);
    assert_int_equal(rig.server->requests[last - 1].offset, CHUNK); /* repeated: 409 */
    assert_int_equal(server_count(rig.server, "POST", "/api/v1/uploads"), 1);
    rig_close(&rig);
}

/* An upload of an earlier run: it goes on where it was, and is not announced again. */
static void script_knows_it(struct server *self, const struct server_request *request,
                            struct server_reply *reply)
{
    if (self->step == 0)
        self->step = (int)CHUNK;
    assert_string_equal(request->path, "/api/v1/uploads/earlier");
    script_uploads(self, request, reply);
}

static void earlier_upload_goes_on(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_knows_it, false, PATIENCE_MS);
    give_large(&rig, LARGE, "earlier");
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    assert_int_equal(rig.heard.opened, 0);
    assert_int_equal(server_count(rig.server, "POST", "/"), 0);
    rig_close(&rig);
}

static void script_forgets_once(struct server *self, const struct server_request *request,
                                struct server_reply *reply)
{
    if (!strcmp(request->method, "PATCH") && !strcmp(request->path, "/api/v1/uploads/up0"))
        say(reply, 404, "", "{\"detail\":\"there is no such upload\"}");
    else if (!strcmp(request->method, "POST") && self->requests_n == 1)
        say_new(reply, "up0");
    else
        script_uploads(self, request, reply);
}

static void forgotten_upload_begins_anew(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_forgets_once, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    assert_int_equal(rig.heard.opened, 2);
    assert_int_equal(server_count(rig.server, "POST", "/api/v1/uploads"), 2);
    rig_close(&rig);
}

/* A server that forgets, or goes back, without end is not followed without end. */
static void script_forgets_always(struct server *self, const struct server_request *request,
                                  struct server_reply *reply)
{
    (void)self;
    if (!strcmp(request->method, "POST"))
        say_new(reply, "up");
    else
        say(reply, 404, "", "{\"detail\":\"there is no such upload\"}");
}

static void forgetful_server_is_left(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_forgets_always, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.refused, 1);
    assert_int_equal(server_count(rig.server, "POST", "/"), PS_SEND_RENEWALS + 1);
    rig_close(&rig);
}

static void script_takes_nothing(struct server *self, const struct server_request *request,
                                 struct server_reply *reply)
{
    (void)self;
    if (!strcmp(request->method, "POST"))
        say_new(reply, "up");
    else
        say_offset(reply, 200, 0);
}

static void upload_that_does_not_move_is_refused(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_takes_nothing, false, PATIENCE_MS);
    give_large(&rig, LARGE, NULL);
    all_settled(&rig);
    assert_int_equal(rig.heard.refused, 1);
    rig_close(&rig);
}

/* ---- events ---- */

static void script_events(struct server *self, const struct server_request *request,
                          struct server_reply *reply)
{
    if (strncmp(request->path, "/api/v1/events", 14) != 0) {
        acknowledge(request, reply);
        return;
    }
    switch (self->step++) {
    case 0:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=10&wait_ms=20000");
        say(reply, 200, "Phagescan-Seq: 15\r\n",
            "{\"event\":\"scan\",\"seq\":12,\"label\":\"one\"}\nnonsense\n{\"event\":\"scan\",\"seq\":9}\n");
        break;
    case 1:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=15&wait_ms=20000");
        say(reply, 503, "", "{\"detail\":\"the database is away\"}");
        break;
    case 2:
        reply->status = 0;
        break;
    case 3:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=15&wait_ms=20000");
        say(reply, 200, "phagescan-seq: 16\r\n", "{\"event\":\"scan\",\"seq\":16,\"label\":\"two\"}");
        break;
    default:
        reply->hold = true;
    }
}

/* One long poll after the other, each from where the last one ended; none twice, none lost over a server that is away. */
static void events_follow_the_seq(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_events, true, PATIENCE_MS);
    TURN_UNTIL(&rig, rig.heard.events == 1 && ps_send_note(rig.send));
    assert_string_equal(rig.heard.label, "one");
    TURN_UNTIL(&rig, rig.heard.events == 2);
    assert_string_equal(rig.heard.label, "two");
    TURN_UNTIL(&rig, server_count(rig.server, "GET", "/api/v1/events?batch=cli-1&after=16") == 1);
    assert_null(ps_send_note(rig.send));
    server_stop(rig.server);
    rig_close(&rig);
}

static void script_empty(struct server *self, const struct server_request *request,
                         struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 200, "Phagescan-Seq: 10\r\n", "");
}

/* A server that answers at once with nothing is not asked without a pause. */
static void empty_answers_do_not_spin(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_empty, true, PATIENCE_MS);
    uint64_t end_ms = ps_clock_mono_ms() + 1000;
    while (ps_clock_mono_ms() < end_ms)
        ps_send_turn(rig.send, 20);
    assert_true(rig.server->requests_n <= 6);
    server_stop(rig.server);
    rig_close(&rig);
}

/* All is acknowledged, and then the server is gone for good. */
static void waiting_for_events_has_an_end(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_no_server, true, 600);
    TURN_UNTIL(&rig, ps_send_gave_up(rig.send));
    assert_non_null(ps_send_note(rig.send));
    server_stop(rig.server);
    rig_close(&rig);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_acknowledged),
        cmocka_unit_test(cut_connection_is_repeated_under_its_key),
        cmocka_unit_test(away_and_back),
        cmocka_unit_test(busy_server_gets_less),
        cmocka_unit_test(window_halves),
        cmocka_unit_test(lines_are_told_one_by_one),
        cmocka_unit_test(nonsense_acknowledges_nothing),
        cmocka_unit_test(conflict_is_the_callers),
        cmocka_unit_test(patience_runs_out),
        cmocka_unit_test(silly_retry_after),
        cmocka_unit_test(large_file_goes_up_in_chunks),
        cmocka_unit_test(too_large_is_refused_at_once),
        cmocka_unit_test(chunk_goes_on_where_the_server_is),
        cmocka_unit_test(earlier_upload_goes_on),
        cmocka_unit_test(forgotten_upload_begins_anew),
        cmocka_unit_test(forgetful_server_is_left),
        cmocka_unit_test(upload_that_does_not_move_is_refused),
        cmocka_unit_test(events_follow_the_seq),
        cmocka_unit_test(empty_answers_do_not_spin),
        cmocka_unit_test(waiting_for_events_has_an_end),
    };

    return sodium_init() < 0 ? 1
                             : cmocka_run_group_tests_name("cli_send", tests, group_setup, group_teardown);
}
