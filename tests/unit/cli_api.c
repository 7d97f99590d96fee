/* The API's client: what it says when something is wrong, and which server it means. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cli_server.h"

#include "cli/api.h"
#include "cli/place.h"

static void script_by_path(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    (void)self;
    if (!strcmp(request->path, "/api/v1/good")) {
        (void)snprintf(reply->body, sizeof(reply->body), "{\"x\":1}");
    } else if (!strcmp(request->path, "/api/v1/text")) {
        (void)snprintf(reply->body, sizeof(reply->body), "hello");
    } else if (!strcmp(request->path, "/api/v1/empty")) {
        reply->status = 204;
    } else if (!strcmp(request->path, "/api/v1/gone")) {
        reply->status = 404;
        (void)snprintf(reply->body, sizeof(reply->body), "{\"detail\":\"there is no such thing\"}");
    } else if (!strcmp(request->path, "/api/v1/proxy")) {
        reply->status = 502;
        (void)snprintf(reply->body, sizeof(reply->body), "<h1>Bad Gateway</h1>");
    } else {
        reply->status = 0;
    }
}

static int get(struct ps_api *api, const char *path, struct ps_error *why)
{
    json_t *json = NULL;
    int r = ps_api_get_json(api, path, &json, why);

    assert_int_equal(json == NULL, r != 0);
    json_decref(json);
    return r;
}

static void answers_and_problems(void **state)
{
    struct server *server = server_start(script_by_path);
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct ps_error why = {0};

    (void)state;
    assert_int_equal(ps_api_new(&api, &why), 0);
    assert_int_equal(get(api, "/api/v1/good", &why), 0);
    assert_int_equal(get(api, "/api/v1/gone", &why), PS_ERR_NOTFOUND);
    assert_string_equal(why.text, "there is no such thing");
    assert_int_equal(get(api, "/api/v1/text", &why), PS_ERR_PROTO);
    assert_int_equal(get(api, "/api/v1/empty", &why), PS_ERR_IO);
    assert_int_equal(get(api, "/api/v1/proxy", &why), PS_ERR_IO);
    assert_string_equal(why.text, "the server answered with status 502");
    assert_int_equal(get(api, "/api/v1/cut", &why), PS_ERR_UNAVAILABLE);
    assert_int_equal(get(api, "/api/v1/good", &why), 0); /* and goes on */
    server_stop(server);
    assert_int_equal(get(api, "/api/v1/good", &why), PS_ERR_UNAVAILABLE);
    assert_non_null(strstr(why.text, "nothing answers at "));
    assert_non_null(strstr(why.text, "`phagescan up` starts it"));
    server_free(server);
}

static void addresses(void **state)
{
    struct ps_api *api = NULL;
    struct ps_error why = {0};

    (void)state;
    assert_int_equal(setenv("PHAGESCAN_URL", "ftp://x", 1), 0);
    assert_int_equal(ps_api_new(&api, &why), PS_ERR_INVALID);
    assert_string_equal(why.text, "PHAGESCAN_URL is to begin with http:// or https://");
    assert_int_equal(setenv("PHAGESCAN_URL", "http://127.0.0.1:1///", 1), 0);
    assert_int_equal(ps_api_new(&api, &why), 0);
    assert_int_equal(get(api, "/api/v1/good", &why), PS_ERR_UNAVAILABLE);
    assert_true(!strncmp(why.text, "no answer from http://127.0.0.1:1: ", 35));
    ps_api_free(&api);
    assert_int_equal(unsetenv("PHAGESCAN_URL"), 0);
}

static void touch(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_replace(unit_path(path, dir, name), "", 0, 0600), 0);
}

/* A user's own Phagescan goes before the machine's; the machine's serves who has none. */
static void own_place_goes_first(void **state)
{
    char own[UNIT_PATH_MAX], system_run[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    struct ps_layout layout = {0}, before;

    assert_int_equal(mkdir(unit_path(own, *state, "own"), 0700), 0);
    assert_int_equal(mkdir(unit_path(system_run, *state, "system"), 0700), 0);
    (void)snprintf(layout.run, sizeof(layout.run), "%s", own);
    (void)snprintf(layout.api_sock, sizeof(layout.api_sock), "%s/api.sock", own);
    before = layout;
    ps_place_choose(&layout, system_run);
    assert_memory_equal(&layout, &before, sizeof(layout)); /* neither: the message names one's own */

    touch(system_run, "api.sock");
    ps_place_choose(&layout, system_run);
    assert_string_equal(layout.run, system_run);
    assert_string_equal(layout.api_sock, unit_path(path, system_run, "api.sock"));

    touch(own, "up.sock");
    layout = before;
    ps_place_choose(&layout, system_run);
    assert_memory_equal(&layout, &before, sizeof(layout));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_problems),
        cmocka_unit_test(addresses),
        cmocka_unit_test_setup_teardown(own_place_goes_first, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests_name("cli_api", tests, NULL, NULL);
}
