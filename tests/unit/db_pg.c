/* The blocking connection: binary values both ways, pipelines, COPY, errors, a database that goes away. Migrations. */
#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/migrate.h"
#include "db/pg.h"
#include "tests/pg/testpg.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    *state = ps_testpg_start_migrated(false);
    return 0;
}

static int teardown(void **state)
{
    struct ps_testpg *server = *state;

    ps_testpg_free(&server);
    return 0;
}

static struct ps_pg *connection(void **state)
{
    struct ps_pg *pg;

    assert_int_equal(ps_pg_new(&pg, ps_testpg_conninfo(*state), "db_pg"), 0);
    return pg;
}

/* Arrays with nulls, empty arrays and bytes come back as they went. */
static void values_go_and_come(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    PS_PG_ARRAY struct ps_pg_array owners, keys;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    struct ps_error error;

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, 1);
    ps_pg_put_text(&params, "key \xc3\xa9");
    ps_pg_put_bytea(&params, "\0\1\2", 3);
    ps_pg_put_bytea_lent(&params, NULL, 0);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_REMEMBER, &params, NULL, &error), 0);

    ps_pg_array_init(&owners, PS_PG_INT8);
    ps_pg_array_init(&keys, PS_PG_TEXT);
    ps_pg_params_clear(&params);
    ps_pg_array_i64(&owners, 7);
    ps_pg_array_null(&keys);
    ps_pg_array_i64(&owners, 1);
    ps_pg_array_text(&keys, "key \xc3\xa9");
    ps_pg_put_array(&params, &owners);
    ps_pg_put_array(&params, &keys);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_REPLAY, &params, &result, &error), 0);
    assert_int_equal(ps_row_n(result), 1);
    assert_int_equal(ps_row_i64(result, 0, 0), 2);
    assert_true(ps_bytes_equal(ps_row_bytes(result, 0, 1), (struct ps_bytes){(const uint8_t *)"\0\1\2", 3}));
    assert_int_equal(ps_row_bytes(result, 0, 2).len, 0);
    assert_false(ps_row_null(result, 0, 2));
    assert_true(ps_row_null(result, 1, 0) && ps_row_null(result, 0, 9));
    ps_pg_clear(&result);

    ps_pg_array_clear(&owners);
    ps_pg_array_clear(&keys);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_REPLAY, &params, &result, &error), 0);
    assert_int_equal(ps_row_n(result), 0);
}

static void arrays_are_walked(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    struct ps_row_array array;
    struct ps_bytes element;
    struct ps_error error;

    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_PROFILES, NULL, &result, &error), 0);
    assert_int_equal(ps_row_n(result), 4);
    assert_string_equal(ps_row_text(result, 0, 1), "full");
    assert_true(ps_row_null(result, 0, 2));
    array = ps_row_array(result, 1, 2);
    assert_int_equal(array.n, 3);
    assert_true(ps_row_array_next(&array, &element, NULL) && ps_bytes_is(element, "type"));
    assert_true(ps_row_array_next(&array, &element, NULL) && ps_bytes_is(element, "hashes"));
    assert_true(ps_row_array_next(&array, &element, NULL) && ps_bytes_is(element, "clamav"));
    assert_false(ps_row_array_next(&array, &element, NULL));
    array = ps_row_array(result, 3, 2); /* an empty one */
    assert_false(ps_row_array_next(&array, &element, NULL));
}

/* All or nothing; which step failed is said; the connection is good afterwards. */
static void a_pipeline_is_one_transaction(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    PS_PG_PARAMS struct ps_pg_params good, bad;
    struct ps_pg_step steps[] = {{.query = PS_Q_INGEST_UPLOAD_NEW, .params = &good},
                                 {.query = PS_Q_INGEST_UPLOAD_NEW, .params = &bad},
                                 {.query = PS_Q_INGEST_ENGINES}};
    struct ps_error error;
    size_t failed = 99;

    ps_pg_params_init(&good);
    ps_pg_params_init(&bad);
    for (int i = 0; i < 2; i++) {
        struct ps_pg_params *params = i ? &bad : &good;

        ps_pg_put_text(params, i ? "b" : "a");
        ps_pg_put_i64(params, i ? 4711 : 1); /* there is no account 4711 */
        ps_pg_put_i64(params, 10);
        ps_pg_put_null(params);
        ps_pg_put_text(params, "{\"name\": \"x\"}");
        ps_pg_put_i64(params, 1000);
    }
    assert_int_equal(ps_pg_run(pg, steps, 3, true, &failed, &error), PS_ERR_CONFLICT);
    assert_int_equal(failed, 1);
    assert_null(steps[0].result);
    assert_non_null(strstr(error.text, "23503"));
    assert_int_equal(ps_testpg_one(*state, "select count(*) from upload"), 0);

    assert_int_equal(ps_pg_run(pg, steps, 1, true, &failed, &error), 0);
    assert_int_equal(ps_row_n(steps[0].result), 1);
    ps_pg_steps_clear(steps, 1);
    assert_int_equal(ps_testpg_one(*state, "select count(*) from upload"), 1);
    ps_testpg_sql(*state, "truncate upload");
}

static void errors_are_mapped(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    PS_PG_PARAMS struct ps_pg_params params;
    struct ps_error error;

    assert_int_equal(ps_pg_code("40001"), PS_ERR_AGAIN);
    assert_int_equal(ps_pg_code("53100"), PS_ERR_NOSPACE);
    assert_int_equal(ps_pg_code("57P01"), PS_ERR_UNAVAILABLE);
    assert_int_equal(ps_pg_code("57014"), PS_ERR_TIMEOUT);
    assert_int_equal(ps_pg_code("42601"), PS_ERR_IO);
    assert_int_equal(ps_pg_code(NULL), PS_ERR_UNAVAILABLE);
    assert_int_equal(ps_pg_script(pg, "set statement_timeout = 10; select pg_sleep(10)", &error),
                     PS_ERR_TIMEOUT);
    assert_int_equal(ps_pg_script(pg, "selec", &error), PS_ERR_IO);
    assert_null(strchr(error.text, '\n'));

    ps_pg_params_init(&params);
    for (int i = 0; i < PS_PG_PARAMS_MAX + 1; i++)
        ps_pg_put_i64(&params, i);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_KNOWN, &params, NULL, &error), PS_ERR_LIMIT);
}

/* A broken COPY ends as an error, and the transaction can be rolled back. */
static void copy_takes_rows(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    struct ps_pg_copy copy;
    struct ps_error error;

    ps_pg_copy_init(&copy);
    for (int i = 0; i < 1000; i++) {
        uint8_t sha256[32] = {(uint8_t)i, (uint8_t)(i >> 8)};

        ps_pg_copy_row(&copy, 3);
        ps_pg_copy_i64(&copy, 1000000 + i);
        ps_pg_copy_bytes(&copy, sha256, 32);
        ps_pg_copy_i64(&copy, i);
    }
    assert_int_equal(ps_pg_begin(pg, &error), 0);
    assert_int_equal(ps_pg_copy(pg, PS_Q_INGEST_COPY_SAMPLE, &copy, &error), 0);
    assert_int_equal(ps_pg_copy(pg, PS_Q_INGEST_COPY_SAMPLE, &copy, &error), PS_ERR_CONFLICT);
    assert_int_equal(ps_pg_commit(pg, &error), PS_ERR_CANCELLED);
    assert_int_equal(ps_testpg_one(*state, "select count(*) from sample"), 0);
    assert_int_equal(ps_pg_begin(pg, &error), 0);
    assert_int_equal(ps_pg_copy(pg, PS_Q_INGEST_COPY_SAMPLE, &copy, &error), 0);
    assert_int_equal(ps_pg_commit(pg, &error), 0);
    assert_int_equal(ps_testpg_one(*state, "select count(*) from sample"), 1000);
    ps_pg_copy_fini(&copy);
}

static void a_lost_database_comes_back(void **state)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    struct ps_error error;
    uint64_t from_ms;

    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_ENGINES, NULL, NULL, &error), 0);
    ps_testpg_stop(*state);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_ENGINES, NULL, NULL, &error), PS_ERR_UNAVAILABLE);
    assert_false(ps_pg_connected(pg));
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_ENGINES, NULL, NULL, &error), PS_ERR_UNAVAILABLE);
    from_ms = ps_clock_mono_ms();
    assert_int_equal(ps_pg_wait_ready(pg, 300, -1, &error), PS_ERR_UNAVAILABLE);
    assert_true(ps_clock_mono_ms() - from_ms >= 300);
    ps_testpg_continue(*state);
    assert_int_equal(ps_pg_wait_ready(pg, 20000, -1, &error), 0);
    assert_int_equal(ps_pg_exec(pg, PS_Q_INGEST_ENGINES, NULL, NULL, &error), 0);
    assert_true(ps_pg_backend(pg) > 0);
}

/* Numbered, each once, all or nothing, and never onto a newer schema. */
static void migrations_are_applied_once(void **state)
{
    static const struct ps_migration table[] = {
        {1, "0001_a", "create table migration_a (x integer)"},
        {2, "0002_b", "create table migration_b (x integer); insert into migration_a values (1)"},
        {3, "0003_c", "create table migration_c (x integer); select 1/0"},
    };
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = connection(state);
    struct ps_error error;
    int applied = 99;

    assert_int_equal(ps_migrate(pg, &applied, &error), 0);
    assert_int_equal(applied, 0);
    assert_int_equal(ps_migrate_newest(), ps_testpg_one(*state, "select max(number) from schema_migration"));
    ps_testpg_sql(*state, "alter table schema_migration rename to other; drop table if exists migration_a");
    assert_int_equal(ps_migrate_table(pg, table, 1, &applied, &error), 0);
    assert_int_equal(applied, 1);
    assert_int_equal(ps_migrate_table(pg, table, 3, &applied, &error), PS_ERR_INVALID);
    assert_int_equal(applied, 1);
    assert_non_null(strstr(error.text, "0003_c"));
    assert_int_equal(ps_testpg_one(*state, "select count(*) from pg_class where relname = 'migration_c'"), 0);
    assert_int_equal(ps_testpg_one(*state, "select count(*) from migration_a"), 1);
    assert_int_equal(ps_migrate_table(pg, table, 1, &applied, &error), PS_ERR_CONFLICT);
    assert_int_equal(ps_migrate_table(pg, table, 2, &applied, &error), 0);
    assert_int_equal(applied, 0);
    ps_testpg_sql(*state, "drop table schema_migration; alter table other rename to schema_migration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_and_come),
        cmocka_unit_test(arrays_are_walked),
        cmocka_unit_test(a_pipeline_is_one_transaction),
        cmocka_unit_test(errors_are_mapped),
        cmocka_unit_test(copy_takes_rows),
        cmocka_unit_test(a_lost_database_comes_back),
        cmocka_unit_test(migrations_are_applied_once),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
