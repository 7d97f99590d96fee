/* The thread that supplies the broker, against a PostgreSQL of the test's own; the test plays link and collect. */
#include "tests/unit/unit.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/store/store.h"
#include "master/scan/drive.h"
#include "tests/pg/testpg.h"

static const char *const broker = "ipc:///broker.sock";

#define WAIT_MS            20000
#define JOB(scan, ordinal) ((uint64_t)(scan)*PS_JOB_ORDINALS + (ordinal))

struct fixture {
    struct ps_testpg *pg_server;
    struct ps_hub *hub;
    struct ps_drive *drive;
    char *dir;
};

static int start_server(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pg_server = ps_testpg_start_migrated(false);
    ps_testpg_sql(f->pg_server, "insert into engine_set (engines, required) values ('{1,3}', '{f,t}')");
    *state = f;
    return 0;
}

static int stop_server(void **state)
{
    struct fixture *f = *state;

    ps_testpg_free(&f->pg_server);
    free(f);
    return 0;
}

static int set_up(void **state)
{
    struct fixture *f = *state;

    ps_testpg_sql(f->pg_server, "truncate sample, scan, job, submission, missing cascade;"
                                "alter sequence scan_id_seq restart; alter sequence sample_id_seq restart");
    assert_int_equal(ps_hub_new(&f->hub, &broker, 1), 0);
    f->dir = unit_dir_make();
    return 0;
}

static void start_drive(struct fixture *f, const uint32_t windows[PS_BANDS_N])
{
    assert_int_equal(
        ps_drive_new(&f->drive, f->hub, ps_testpg_conninfo(f->pg_server), "test drive", windows, 10), 0);
    assert_int_equal(ps_drive_start(f->drive), 0);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_hub_stop(f->hub);
    ps_drive_free(&f->drive);
    ps_store_close(&f->hub->store);
    ps_hub_free(&f->hub);
    unit_dir_remove(f->dir);
    return 0;
}

/* n scans of two engines each (ordinals 0 type, 1 clamav), in a band; ids go on. */
static void make_scans(struct fixture *f, int n, int band)
{
    char sql[1024];

    snprintf(
        sql, sizeof(sql),
        "with p as (insert into sample (sha256, size)"
        "  select sha256((%d || '.' || i || '.' || random())::text::bytea), 100000 from generate_series(1, "
        "%d) i returning id),"
        " s as (insert into scan (sample_id, owner_id, set_id, profile_id, cause, band, deadline_ms, pending)"
        "  select id, 7, 1, 1, 1, %d, 300000, 2 from p returning id)"
        "insert into job (id, engine_id, required) select id * 256 + o, 1 + 2 * o, o = 1 from s, "
        "generate_series(0, 1) o",
        band, n, band);
    ps_testpg_sql(
        f->pg_server,
        "insert into account (id, name) overriding system value values (7, 'seven') on conflict do nothing");
    ps_testpg_sql(f->pg_server, sql);
}

static void tell(struct fixture *f, enum ps_news_kind kind, const uint64_t *jobs, size_t n)
{
    struct ps_news *news = ps_news_new(kind, jobs, n);

    news->retry_ms = 20;
    ps_hub_tell_drive(f->hub, news);
}

static struct ps_order *next_order(struct fixture *f, int timeout_ms)
{
    void *order;

    return ps_mailbox_wait(f->hub->lines[0].orders, &order, timeout_ms) == 0 ? order : NULL;
}

static void expect_order(struct fixture *f, uint64_t scan)
{
    struct ps_order *order = next_order(f, WAIT_MS);

    assert_non_null(order);
    assert_int_equal(order->scan, scan);
    ps_order_free(order);
}

static void settle(struct fixture *f, uint64_t scan)
{
    char sql[256];
    const uint64_t jobs[] = {JOB(scan, 0), JOB(scan, 1)};

    snprintf(sql, sizeof(sql),
             "update scan set pending = 0, finished_at = now() where id = %lu; update job set final = now() "
             "where id / 256 = %lu",
             (unsigned long)scan, (unsigned long)scan);
    ps_testpg_sql(f->pg_server, sql);
    tell(f, PS_NEWS_SETTLED, jobs, 2);
}

static void the_urgent_come_first_and_windows_hold(void **state)
{
    struct fixture *f = *state;

    make_scans(f, 5, PS_BAND_BATCH);       /* 1 to 5 */
    make_scans(f, 2, PS_BAND_INTERACTIVE); /* 6, 7 */
    start_drive(f, (const uint32_t[]){8, 4, 4, 4});
    assert_null(next_order(f, 100)); /* does not lead */
    ps_hub_set_epoch(f->hub, 3);
    assert_null(next_order(f, 100)); /* no session */
    tell(f, PS_NEWS_OPENED, NULL, 0);
    struct ps_order *order = next_order(f, WAIT_MS);
    assert_int_equal(order->scan, 6);
    assert_int_equal(order->epoch, 3);
    assert_int_equal(order->band, PS_BAND_INTERACTIVE);
    assert_int_equal(order->owner, 7);
    assert_int_equal(order->size, 100000);
    assert_int_equal(order->deadline_ms, 300000);
    assert_int_equal(order->data_len, 0);
    assert_int_equal(order->asks_n, 2);
    assert_int_equal(order->asks[1].job, JOB(6, 1));
    assert_string_equal(order->asks[1].engine, "clamav");
    ps_order_free(order);
    expect_order(f, 7);
    expect_order(f, 1);
    expect_order(f, 2);
    assert_null(next_order(f, 200)); /* four jobs: the window is full */
    settle(f, 1);
    expect_order(f, 3);
    settle(f, 2);
    settle(f, 3);
    expect_order(f, 4);
    expect_order(f, 5);
}

static void the_busy_broker_is_asked_again(void **state)
{
    struct fixture *f = *state;
    const uint64_t jobs[] = {JOB(1, 0), JOB(1, 1), JOB(2, 1)}, taken[] = {JOB(2, 0)};

    make_scans(f, 3, PS_BAND_BATCH);
    ps_testpg_sql(f->pg_server, "update job set lost = 2 where id = 513");
    ps_hub_set_epoch(f->hub, 3);
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    tell(f, PS_NEWS_OPENED, NULL, 0);
    for (uint64_t i = 1; i <= 3; i++)
        expect_order(f, i);
    ps_testpg_sql(
        f->pg_server,
        "update scan set finished_at = now() where id = 1; update job set final = now() where id in (512)");
    tell(f, PS_NEWS_ACCEPTED, taken, 1);
    tell(f, PS_NEWS_BUSY, jobs, 3);
    struct ps_order *order = next_order(f, WAIT_MS); /* 1 is finished, of 2 one job is left */
    assert_int_equal(order->scan, 2);
    assert_int_equal(order->asks_n, 1);
    assert_int_equal(order->asks[0].lost, 2);
    ps_order_free(order);
    assert_null(next_order(f, 200));
}

static void a_new_session_hears_all_again(void **state)
{
    struct fixture *f = *state;

    make_scans(f, 3, PS_BAND_IDLE);
    ps_hub_set_epoch(f->hub, 3);
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    tell(f, PS_NEWS_OPENED, NULL, 0);
    for (uint64_t i = 1; i <= 3; i++)
        expect_order(f, i);
    settle(f, 2);
    tell(f, PS_NEWS_CLOSED, NULL, 0);
    tell(f, PS_NEWS_OPENED, NULL, 0);
    expect_order(f, 1);
    expect_order(f, 3);
    ps_hub_set_epoch(f->hub, 4); /* and a new epoch too */
    expect_order(f, 1);
    expect_order(f, 3);
    make_scans(f, 1, PS_BAND_RESCAN);
    atomic_fetch_or(&f->hub->nudged, 1u << PS_BAND_RESCAN);
    ps_hub_tell_drive(f->hub, &ps_news_look);
    expect_order(f, 4);
}

/* News that did not fit: it starts afresh. */
static void missed_news_are_no_loss(void **state)
{
    struct fixture *f = *state;

    make_scans(f, 2, PS_BAND_BATCH);
    ps_hub_set_epoch(f->hub, 3);
    atomic_store(&f->hub->lines[0].open, true);
    for (size_t i = 0; i < PS_NEWS_N + 10; i++)
        tell(f, PS_NEWS_FLEET, NULL, 0);
    assert_true(atomic_load(&f->hub->drive_missed));
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    expect_order(f, 1);
    expect_order(f, 2);
}

/* A scan that was committed behind the cursor, against the promise of ingest. */
static void the_sweep_finds_strays(void **state)
{
    struct fixture *f = *state;

    make_scans(f, 1, PS_BAND_INTERACTIVE);
    ps_testpg_sql(f->pg_server, "alter sequence scan_id_seq restart with 100");
    make_scans(f, 1, PS_BAND_INTERACTIVE);
    ps_hub_set_epoch(f->hub, 3);
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    tell(f, PS_NEWS_OPENED, NULL, 0);
    expect_order(f, 1);
    expect_order(f, 100);
    ps_testpg_sql(f->pg_server, "alter sequence scan_id_seq restart with 50");
    make_scans(f, 1, PS_BAND_INTERACTIVE);
    expect_order(f, 50);
}

/* Small samples go along with their bytes, and with the type that an earlier scan found. */
static void small_samples_go_along(void **state)
{
    struct fixture *f = *state;
    struct ps_store_batch *batch = NULL;
    uint8_t sha256[32];
    char path[UNIT_PATH_MAX], hex[PS_SHA256_HEX], sql[512];

    assert_int_equal(
        ps_store_open(&f->hub->store, unit_path(path, f->dir, "store"), PS_STORE_SYNC_AUTO, NULL, NULL), 0);
    assert_int_equal(ps_store_set_epoch(f->hub->store, 3, NULL), 0);
    assert_int_equal(ps_store_batch_new(f->hub->store, &batch, NULL), 0);
    assert_int_equal(ps_sha256(sha256, "hello", 5), 0);
    assert_int_equal(ps_store_batch_put(batch, sha256, "hello", 5, NULL), 0);
    assert_int_equal(ps_store_batch_sync(batch, NULL), 0);
    ps_store_batch_keep(batch);
    ps_store_batch_free(&batch);
    ps_hex_encode(hex, sha256, 32);
    make_scans(f, 2, PS_BAND_BATCH);
    snprintf(sql, sizeof(sql),
             "update sample set sha256 = decode('%s', 'hex'), size = 5 where id = 1;"
             "update scan set sample_id = 1, finished_at = now(), type = 'text/x-old' where id = 2;"
             "update scan set id = 3 where id = 1; update job set id = id + 512 where id < 512",
             hex);
    ps_testpg_sql(f->pg_server, sql);
    ps_hub_set_epoch(f->hub, 3);
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    tell(f, PS_NEWS_OPENED, NULL, 0);
    struct ps_order *order = next_order(f, WAIT_MS);
    assert_int_equal(order->scan, 3);
    assert_int_equal(order->data_len, 5);
    assert_memory_equal(order->data, "hello", 5);
    assert_string_equal(order->type, "text/x-old");
    ps_order_free(order);
}

/* Engines that the fleet offers get a row; a second look uses up no ids. */
static void engines_are_registered(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[] = {{.name = PS_BYTES_LIT("clamav"), .kind = 1},
                                     {.name = PS_BYTES_LIT("newcomer"), .kind = 1}};
    struct ps_part_worker worker = {.session = 1, .name = PS_BYTES_LIT("w"), .engines = {offers, 2, {0}}};
    struct ps_msg msg = {.id = PS_MSG_FLEET, .FLEET = {.workers = {&worker, 1, {0}}}}, decoded;
    struct ps_buf buf;
    bool changed;

    ps_buf_init(&buf, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&buf, &msg), 0);
    struct ps_bytes frame = {buf.data, buf.len};
    assert_int_equal(ps_msg_next(&frame, &decoded), 1);
    assert_int_equal(ps_fleet_put(f->hub->fleet, 0, 1, &decoded.FLEET, &changed), 0);
    ps_buf_fini(&buf);
    ps_hub_set_epoch(f->hub, 3);
    start_drive(f, (const uint32_t[PS_BANDS_N]){0});
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;
    while (ps_testpg_one(
               f->pg_server,
               "select count(*) from engine where name = 'newcomer' and kind = 1 and seen_at is not null") ==
           0) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)ps_hub_wait(f->hub, -1, 10);
    }
    ps_testpg_sql(f->pg_server, "update engine set seen_at = null");
    tell(f, PS_NEWS_FLEET, NULL, 0);
    while (ps_testpg_one(f->pg_server, "select count(*) from engine where seen_at is not null") < 2) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)ps_hub_wait(f->hub, -1, 10);
    }
    assert_int_equal(ps_testpg_one(f->pg_server, "select last_value from engine_id_seq"),
                     ps_testpg_one(f->pg_server, "select max(id) from engine"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_urgent_come_first_and_windows_hold),
        TEST(the_busy_broker_is_asked_again),
        TEST(a_new_session_hears_all_again),
        TEST(missed_news_are_no_loss),
        TEST(the_sweep_finds_strays),
        TEST(small_samples_go_along),
        TEST(engines_are_registered),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
