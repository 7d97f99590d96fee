/* Large files on their way: where an upload goes on, begins anew, or ends; against a scripted server. */
#include "tests/unit/cli_send_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_file_goes_up_in_chunks),
        cmocka_unit_test(too_large_is_refused_at_once),
        cmocka_unit_test(chunk_goes_on_where_the_server_is),
        cmocka_unit_test(earlier_upload_goes_on),
        cmocka_unit_test(forgotten_upload_begins_anew),
        cmocka_unit_test(forgetful_server_is_left),
        cmocka_unit_test(upload_that_does_not_move_is_refused),
    };

    return sodium_init() < 0 ? 1
                             : cmocka_run_group_tests_name("cli_upload", tests, group_setup, group_teardown);
}
