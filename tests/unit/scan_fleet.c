/* Snapshots of the fleet, and findings out of messages. */
#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/outcome.h"
#include "master/scan/fleet.h"
#include "master/scan/post.h"

static const char *const broker = "ipc:///broker.sock";

#define TEXT(s) PS_BYTES_LIT(s)

static struct ps_part_offer offer(const char *name, const char *problem)
{
    return (struct ps_part_offer){.name = ps_bytes_of(name),
                                  .kind = 1,
                                  .version = TEXT("1.4"),
                                  .definitions = TEXT("d1"),
                                  .origin = TEXT("site"),
                                  .signatures = 7,
                                  .problem = ps_bytes_of(problem)};
}

/* As it comes off the wire: encoded and decoded once. */
static void put(struct ps_fleet *fleet, const struct ps_msg_FLEET *word, bool *ret_changed)
{
    struct ps_buf buf;
    struct ps_msg msg = {.id = PS_MSG_FLEET, .FLEET = *word}, decoded;

    ps_buf_init(&buf, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&buf, &msg), 0);
    struct ps_bytes frame = {buf.data, buf.len};
    assert_int_equal(ps_msg_next(&frame, &decoded), 1);
    assert_int_equal(ps_fleet_put(fleet, 0, 99, &decoded.FLEET, ret_changed), 0);
    memset(buf.data, 'x', buf.len); /* a snapshot borrows nothing */
    ps_buf_fini(&buf);
}

static void engines_are_remembered(void **state)
{
    struct ps_fleet *fleet = NULL;
    struct ps_part_offer of_a[] = {offer("yara", ""), offer("clamav", "no signatures")},
                         of_b[] = {offer("clamav", "")};
    struct ps_part_worker workers[] = {
        {.session = 1, .name = TEXT("a"), .slots = 2, .isolation = TEXT("full"), .engines = {of_a, 2, {0}}},
        {.session = 2, .name = TEXT("b"), .slots = 2, .isolation = TEXT("full"), .engines = {of_b, 1, {0}}}};
    struct ps_part_load loads[] = {{.engine = TEXT("clamav"), .queued = 5},
                                   {.engine = TEXT("ghost"), .queued = 1}};
    bool changed;

    (void)state;
    assert_int_equal(ps_fleet_new(&fleet, &broker, 1), 0);
    struct ps_fleet_snapshot *s = ps_fleet_get(fleet);
    assert_false(s->connected);
    assert_int_equal(s->workers_n, 0);
    ps_fleet_snapshot_unref(&s);

    put(fleet,
        &(struct ps_msg_FLEET){.jobs = 6,
                               .denied = 3,
                               .strange_beats = 4,
                               .workers = {workers, 2, {0}},
                               .loads = {loads, 2, {0}}},
        &changed);
    assert_true(changed);
    s = ps_fleet_get(fleet);
    assert_int_equal(s->denied, 3);
    assert_int_equal(s->strange_beats, 4);
    assert_true(s->connected);
    assert_int_equal(s->boot, 99);
    assert_int_equal(s->engines_n, 3);
    const struct ps_fleet_engine *e = ps_fleet_engine_find(s, "clamav");
    assert_int_equal(e->workers, 1);
    assert_int_equal(e->queued, 5);
    assert_string_equal(e->offer.problem, "");
    assert_true(e->available);
    e = ps_fleet_engine_find(s, "ghost");
    assert_false(e->available);
    assert_true(e->missing_since_us > 0);
    assert_string_equal(s->workers[0].offers[1].problem, "no signatures");

    put(fleet, &(struct ps_msg_FLEET){.jobs = 1, .workers = {workers, 2, {0}}, .loads = {loads, 2, {0}}},
        &changed);
    assert_false(changed); /* a counter alone */
    put(fleet, &(struct ps_msg_FLEET){.workers = {workers, 1, {0}}}, &changed);
    assert_true(changed);
    struct ps_fleet_snapshot *later = ps_fleet_get(fleet);
    e = ps_fleet_engine_find(later, "clamav");
    assert_false(e->available);
    assert_string_equal(e->offer.problem, "no signatures");
    assert_true(ps_fleet_engine_find(later, "yara")->available);
    assert_int_equal(ps_fleet_put_connected(fleet, 0, false), 0);
    assert_string_equal(ps_fleet_engine_find(s, "clamav")->offer.version,
                        "1.4"); /* the old one is still whole */
    ps_fleet_snapshot_unref(&s);
    ps_fleet_snapshot_unref(&later);

    s = ps_fleet_get(fleet);
    assert_false(s->connected);
    assert_int_equal(s->denied, 0); /* as the last word said */
    assert_int_equal(s->workers_n, 0);
    assert_string_equal(ps_fleet_engine_find(s, "yara")->offer.version, "1.4");
    ps_fleet_snapshot_unref(&s);
    ps_fleet_free(&fleet);
}

static void findings_are_checked(void **state)
{
    struct ps_finding *f = NULL;
    bool bad;
    struct ps_msg msg = {.id = PS_MSG_RESULT,
                         .RESULT = {.job = 5,
                                    .outcome = PS_OUTCOME_MALICIOUS,
                                    .engine = TEXT("clamav"),
                                    .label = TEXT("Eicar"),
                                    .traits = TEXT("{\"a\":[1,2]}")}};

    (void)state;
    assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), 0);
    assert_false(bad);
    assert_string_equal(f->label, "Eicar");
    assert_string_equal(f->reason, "");
    assert_string_equal(f->traits, "{\"a\":[1,2]}");
    assert_int_equal(f->epoch, 3);
    ps_finding_free(f);

    static const char *const refused[] = {
        "[1]", "{", "{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{}x", "{\"a\":1e999}"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        msg.RESULT.traits = ps_bytes_of(refused[i]);
        assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), 0);
        assert_true(bad);
        assert_string_equal(f->traits, "");
        ps_finding_free(f);
    }
    msg.RESULT.outcome = 99;
    assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), PS_ERR_INVALID);
    msg.RESULT.outcome = 1;
    msg.RESULT.job = 0;
    assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), PS_ERR_INVALID);
    msg =
        (struct ps_msg){.id = PS_MSG_DECIDED, .DECIDED = {.job = 5, .outcome = 10, .reason = TEXT("nobody")}};
    assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), 0);
    assert_string_equal(f->reason, "nobody");
    ps_finding_free(f);
    msg = (struct ps_msg){.id = PS_MSG_PULSE};
    assert_int_equal(ps_finding_new(&f, &msg, 3, &bad), PS_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_are_remembered),
        cmocka_unit_test(findings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
