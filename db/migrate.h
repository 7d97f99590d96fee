/* db/migrate.h: brings the database's schema to this program's version.
 *
 * Migrations are db/migrations/NNNN_name.sql, numbered from 1 without gaps, compiled in. Each runs in a
 * transaction of its own together with its row in table schema_migration; all under one advisory lock, with
 * lock_timeout 5 s, so that two masters may start at once. Running it again does nothing. A database that
 * holds a migration which this program does not know is refused (PS_ERR_CONFLICT): an older program must not
 * write to a newer schema. */
#ifndef PS_DB_MIGRATE_H
#define PS_DB_MIGRATE_H

#include "base/err.h"

struct ps_pg;

struct ps_migration {
    int number;       /* from 1 */
    const char *name; /* the file's name without .sql */
    const char *sql;
};

/* Applies what is missing of the n migrations. *ret_applied (may be NULL): how many. */
int ps_migrate_table(struct ps_pg *pg, const struct ps_migration *table, int n, int *ret_applied,
                     struct ps_error *reterr);
/* The same with the program's own migrations. */
int ps_migrate(struct ps_pg *pg, int *ret_applied, struct ps_error *reterr);
/* The newest migration this program has. */
int ps_migrate_newest(void);

#endif
