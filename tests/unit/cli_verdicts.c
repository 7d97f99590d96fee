/* Verdicts still to come: each is shown once, whatever order things arrive in, and asked for when its event was lost. */
#include <unistd.h>

#include "tests/unit/cli_server.h"

#include "base/outcome.h"
#include "cli/submit/verdicts.h"

static const struct ps_show_settings settings = {.wait = true, .table = true}; /* rows: nothing is printed */

struct rig {
    struct ps_show show;
    struct ps_verdicts *verdicts;
};

static void rig_open(struct rig *rig, struct ps_api *api)
{
    *rig = (struct rig){0};
    ps_show_init(&rig->show, &settings, 0);
    assert_int_equal(ps_verdicts_new(&rig->verdicts, api, "b1", &rig->show), 0);
}

static void rig_close(struct rig *rig)
{
    ps_verdicts_free(&rig->verdicts);
    ps_show_fini(&rig->show);
}

static void take(struct rig *rig, int id, const char *batch, const char *cause, const char *verdict)
{
    json_t *event = json_pack("{s:s, s:i, s:{s:s, s:s, s:[]}, s:[{s:i, s:s, s:s}]}", "event", "scan", "seq",
                              id, "scan", "verdict", verdict, "cause", cause, "reasons", "submissions", "id",
                              id, "name", "x", "batch", batch);

    assert_non_null(event);
    ps_verdicts_take(rig->verdicts, event);
    json_decref(event);
}

#define SHOWN(rig) json_array_size((rig).show.rows)

static void usual_order(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, NULL);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 1), 0);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 2), 0);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 2), 0); /* an answer that was repeated */
    assert_int_equal(ps_verdicts_left(rig.verdicts), 2);
    take(&rig, 2, "b1", "submission", "malicious");
    take(&rig, 1, "b1", "rescan", "nothing-found"); /* it had joined a scan that was under way */
    assert_int_equal(ps_verdicts_left(rig.verdicts), 0);
    assert_int_equal(rig.show.done_n, 2);
    assert_int_equal(SHOWN(rig), 2);
    assert_int_equal(rig.show.verdicts[PS_VERDICT_MALICIOUS], 1);
    rig_close(&rig);
}

/* A verdict overtakes the answer that names its submission: shown when it comes, done when the answer does. */
static void verdict_overtakes_the_answer(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, NULL);
    take(&rig, 7, "b1", "submission", "nothing-found");
    assert_int_equal(SHOWN(rig), 1);
    assert_int_equal(rig.show.done_n, 0);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 0);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 7), 0);
    assert_int_equal(rig.show.done_n, 1);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 0);
    rig_close(&rig);
}

/* A back-fill tells a verdict that was told already; an earlier run's file is shown, and is not one of ours. */
static void strangers_do_not_count(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, NULL);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 1), 0);
    take(&rig, 1, "b1", "submission", "nothing-found");
    take(&rig, 1, "b1", "backfill", "malicious");
    take(&rig, 2, "other", "submission", "malicious");
    assert_int_equal(SHOWN(rig), 1);
    take(&rig, 3, "b1", "submission", "malicious");
    assert_int_equal(SHOWN(rig), 2);
    assert_int_equal(rig.show.done_n, 1);
    ps_verdicts_all_expected(rig.verdicts);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 0);
    rig_close(&rig);
}

/* Pages of a batch: submissions 1200 down to 1, of which those that are a multiple of 3 have no verdict. */
static void script_pages(struct server *self, const struct server_request *request,
                         struct server_reply *reply)
{
    const char *at = strstr(request->path, "&before=");
    int before = at ? atoi(at + 8) : 1201, n = 0;
    size_t len = 0;

    assert_true(!strncmp(request->path, "/api/v1/submissions?limit=500&batch=b1", 38));
    bool queued = strstr(request->path, "&verdict=queued") != NULL;
    len += (size_t)snprintf(reply->body, sizeof(reply->body), "{\"items\":[");
    int id = before - 1;
    for (; id >= 1 && n < 500; id--) {
        bool open = self->step == 0 && id % 3 == 0;

        if (queued && !open)
            continue;
        len += (size_t)snprintf(reply->body + len, sizeof(reply->body) - len,
                                "%s{\"id\":%d,\"name\":\"x\",\"sha256\":\"0\",\"scan\":{\"verdict\":%s}}",
                                n ? "," : "", id, open ? "null" : "\"nothing-found\"");
        n++;
    }
    (void)snprintf(reply->body + len, sizeof(reply->body) - len,
                   id >= 1 ? "],\"next\":%d}" : "],\"next\":null}", id + 1);
}

/* Events that were lost: the server's list has the verdicts. It is read no further down than to the oldest that is
 * missing. */
static void lost_events_are_asked_for(void **state)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct server *server = server_start(script_pages);
    struct ps_error why = {0};
    struct rig rig;

    (void)state;
    assert_int_equal(ps_api_new(&api, NULL), 0);
    rig_open(&rig, api);
    assert_int_equal(ps_verdicts_look(rig.verdicts, &why), 0); /* nothing to ask */
    assert_int_equal(server->requests_n, 0);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 1000), 0);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 999), 0); /* a multiple of 3 */
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 602), 0);
    take(&rig, 5, "b1", "submission", "malicious"); /* early: not asked for */
    assert_int_equal(ps_verdicts_look(rig.verdicts, &why), 0);
    assert_int_equal(server->requests_n, 2);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 1);
    assert_int_equal(rig.show.done_n, 2);
    server->step = 1; /* it has come meanwhile */
    assert_int_equal(ps_verdicts_look(rig.verdicts, &why), 0);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 0);
    rig_close(&rig);
    server_stop(server);
    server_free(server);
}

/* What an earlier run left open is waited for, and is not counted as this run's. */
static void open_verdicts_are_adopted(void **state)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct server *server = server_start(script_pages);
    struct ps_error why = {0};
    struct rig rig;

    (void)state;
    assert_int_equal(ps_api_new(&api, NULL), 0);
    rig_open(&rig, api);
    assert_int_equal(ps_verdicts_expect(rig.verdicts, 999), 0);
    assert_int_equal(ps_verdicts_adopt(rig.verdicts, &why), 0);
    assert_int_equal(ps_verdicts_left(rig.verdicts), 400);
    take(&rig, 999, "b1", "submission", "nothing-found");
    take(&rig, 3, "b1", "submission", "malicious");
    assert_int_equal(ps_verdicts_left(rig.verdicts), 398);
    assert_int_equal(rig.show.done_n, 1);
    assert_int_equal(SHOWN(rig), 2);
    rig_close(&rig);
    server_stop(server);
    server_free(server);
}

static void script_one_suspicious(struct server *self, const struct server_request *request,
                                  struct server_reply *reply)
{
    (void)self;
    (void)snprintf(reply->body, sizeof(reply->body), "{\"items\":[%s],\"next\":%s}",
                   strstr(request->path, "verdict=suspicious")
                       ? "{\"id\":2,\"scan\":{\"verdict\":\"suspicious\"}},{\"id\":1,\"scan\":{\"verdict\":"
                         "\"suspicious\"}}"
                       : "",
                   "null");
}

static void earlier_verdicts_are_noted(void **state)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct server *server = server_start(script_one_suspicious);
    struct ps_error why = {0};
    struct rig rig;

    (void)state;
    assert_int_equal(ps_api_new(&api, NULL), 0);
    rig_open(&rig, api);
    assert_int_equal(ps_verdicts_earlier(rig.verdicts, &why), 0);
    assert_true(rig.show.earlier[PS_VERDICT_SUSPICIOUS]);
    assert_false(rig.show.earlier[PS_VERDICT_MALICIOUS]);
    assert_false(rig.show.earlier[PS_VERDICT_INCONCLUSIVE]);
    rig_close(&rig);
    server_stop(server);
    server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_order),
        cmocka_unit_test(verdict_overtakes_the_answer),
        cmocka_unit_test(strangers_do_not_count),
        cmocka_unit_test(lost_events_are_asked_for),
        cmocka_unit_test(open_verdicts_are_adopted),
        cmocka_unit_test(earlier_verdicts_are_noted),
    };

    return cmocka_run_group_tests_name("cli_verdicts", tests, NULL, NULL);
}
