/* master/scan/names.h: ids of what many results repeat: engine builds and worker names. A cache in front of the tables
 * engine_build and worker_name, which gives unknown ones a row. One thread, with its connection, outside a
 * transaction (a row that was made stays, whatever becomes of the results). Private to master/scan. */
#ifndef PS_MASTER_SCAN_NAMES_H
#define PS_MASTER_SCAN_NAMES_H

#include <stdint.h>

#include "db/pg.h"

#define PS_NAMES_MAX 4096 /* of each kind in the cache; over it the cache is emptied and fills anew */

struct ps_names;

int ps_names_new(struct ps_names **ret_self);
void ps_names_free(struct ps_names **self_p);
/* Forgets all: for a database that was replaced. */
void ps_names_clear(struct ps_names *self);

/* *ret_id: the build's id, 0 when the engine is not in table engine. 0 or the database's error. */
int ps_names_build(struct ps_names *self, struct ps_pg *pg, const char *engine, const char *version,
                   const char *definitions, const char *origin, int32_t *ret_id, struct ps_error *reterr);
/* *ret_id: the worker's id, 0 for an empty name. 0 or the database's error. */
int ps_names_worker(struct ps_names *self, struct ps_pg *pg, const char *name, int32_t *ret_id,
                    struct ps_error *reterr);

#endif
