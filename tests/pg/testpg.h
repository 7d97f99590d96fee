/* tests/pg/testpg.h: a private PostgreSQL for a test: own directory, UNIX socket only, stopped by its pid.
 *
 * It lives below $TMPDIR, else in /dev/shm when it need not be durable, else in /tmp. initdb runs once per user: a
 * template directory there is made on first use and copied. Directories of tests that died are removed.
 * As root the server runs as an unprivileged user (PHAGESCAN_TEST_USER, else postgres, else nobody) by
 * setpriv, because it refuses root. One thread. Tests abort() with a message when the machine cannot give a
 * server. */
#ifndef PS_TESTS_PG_TESTPG_H
#define PS_TESTS_PG_TESTPG_H

#include <stdbool.h>
#include <sys/types.h>

struct ps_testpg;

/* Starts a server with an empty database "phagescan"; fsync as given (off is quicker, on is for durability
 * benches). Waits until it answers. */
struct ps_testpg *ps_testpg_start(bool fsync);
/* Starts one and applies the migrations. */
struct ps_testpg *ps_testpg_start_migrated(bool fsync);
/* Stops the server and removes its directory. Accepts NULL content. */
void ps_testpg_free(struct ps_testpg **self_p);

const char *ps_testpg_conninfo(const struct ps_testpg *self); /* lent */
const char *
ps_testpg_dir(const struct ps_testpg *self); /* a directory of the test's own (removed at the end), lent */
pid_t ps_testpg_pid(const struct ps_testpg *self);

/* The database's bad days. stop: immediate shutdown; continue_: starts it again and waits until it answers.
 */
void ps_testpg_stop(struct ps_testpg *self);
void ps_testpg_continue(struct ps_testpg *self);

/* Runs SQL; aborts on error. one: the first column of the first row as a number. */
void ps_testpg_sql(struct ps_testpg *self, const char *sql);
long long ps_testpg_one(struct ps_testpg *self, const char *sql);

#endif
