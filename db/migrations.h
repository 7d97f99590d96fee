/* db/migrations.h: the table of migrations that gen.py makes; for db/migrate.c and tests. */
#ifndef PS_DB_MIGRATIONS_H
#define PS_DB_MIGRATIONS_H

#include "db/migrate.h"

extern const struct ps_migration ps_migrations[];
extern const int ps_migrations_n;

#endif
