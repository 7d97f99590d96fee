#include "db/migrate.h"

#include <stdio.h>

#include "base/mem.h"
#include "db/migrations.h"
#include "db/pg_private.h"

/* Any constant will do, as long as every version of the program takes the same. */
#define MIGRATION_LOCK "5788195210946"

/* The lock waits for another master's migrations for as long as they take: it is only a queue, and lock_timeout, set
 * after it, keeps a migration from standing in front of the queries of a running system. */
static const char lock_sql[] = "set lock_timeout = 0; set statement_timeout = 0;"
                               "select pg_advisory_lock(" MIGRATION_LOCK ");"
                               "set lock_timeout = '5s';"
                               "create table if not exists schema_migration ("
                               " number integer primary key, name text not null,"
                               " applied_at timestamptz not null default now())";
static const char unlock_sql[] = "select pg_advisory_unlock(" MIGRATION_LOCK ");"
                                 "set lock_timeout = '10s'; set statement_timeout = '60s'";

static int newest_applied(struct ps_pg *pg, int *ret_number, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear)
    PGresult *result = PQexec(pg->conn, "select coalesce(max(number), 0) from schema_migration");

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return ps_pg_fail(pg, result, "reading schema_migration", reterr);
    *ret_number = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

/* The migration and its row stand or fall together. */
static int apply(struct ps_pg *pg, const struct ps_migration *migration, struct ps_error *reterr)
{
    PS_FREE char *note = ps_strf("insert into schema_migration (number, name) values (%d, '%s')",
                                 migration->number, migration->name);
    int code;

    if (!note)
        return ps_error_set(reterr, PS_ERR_NOMEM, "migration %s: out of memory", migration->name);
    if ((code = ps_pg_begin(pg, reterr)) == 0 && (code = ps_pg_script(pg, migration->sql, reterr)) == 0 &&
        (code = ps_pg_script(pg, note, reterr)) == 0)
        code = ps_pg_commit(pg, reterr);
    if (code) {
        ps_pg_rollback(pg);
        return ps_error_wrap(reterr, code, "migration %s", migration->name);
    }
    return 0;
}

static int apply_all(struct ps_pg *pg, const struct ps_migration *table, int n, int *ret_applied,
                     struct ps_error *reterr)
{
    int newest = 0, code = newest_applied(pg, &newest, reterr);

    if (code)
        return code;
    if (newest > n)
        return ps_error_set(reterr, PS_ERR_CONFLICT,
                            "the database has schema %d, this program knows %d: a newer version has used it; "
                            "install that version",
                            newest, n);
    for (int i = newest; i < n; i++) {
        if ((code = apply(pg, &table[i], reterr)) != 0)
            return code;
        ++*ret_applied;
    }
    return 0;
}

int ps_migrate_table(struct ps_pg *pg, const struct ps_migration *table, int n, int *ret_applied,
                     struct ps_error *reterr)
{
    int applied = 0, code = ps_pg_script(pg, lock_sql, reterr);

    if (code == 0)
        code = apply_all(pg, table, n, &applied, reterr);
    if (pg->conn && ps_pg_script(pg, unlock_sql, NULL) != 0)
        ps_pg_reset(pg); /* the session's end frees the lock, too */
    if (ret_applied)
        *ret_applied = applied;
    return code;
}

int ps_migrate(struct ps_pg *pg, int *ret_applied, struct ps_error *reterr)
{
    return ps_migrate_table(pg, ps_migrations, ps_migrations_n, ret_applied, reterr);
}

int ps_migrate_newest(void)
{
    return ps_migrations_n;
}
