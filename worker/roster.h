/* worker/roster.h: the engines of a worker: which there are, the host of each, and what happens when one dies.
 *
 * A roster belongs to the session's thread and never blocks, but for what worker/host/host.h says of start and free.
 * Engines are numbered from 0 in the order of their names; the numbers stay.
 *
 * An engine is UP when its host has loaded it. One whose host died is started again: at once the first time, then
 * after a while, and after PS_ROSTER_DEATHS deaths within PS_ROSTER_WINDOW_MS with a backoff that doubles up to
 * PS_ROSTER_BACKOFF_MAX_MS. One that could not be loaded (not installed, no licence, broken definitions) is tried
 * again from PS_ROSTER_RETRY_MS on, doubling likewise: so a repair is noticed. */
#ifndef PS_WORKER_ROSTER_H
#define PS_WORKER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/opt.h"
#include "proto/messages.h"
#include "worker/host/host.h"

#define PS_ROSTER_DEATHS         3      /* deaths within the window that begin the backoff */
#define PS_ROSTER_WINDOW_MS      60000  /* the window */
#define PS_ROSTER_AGAIN_MS       1000   /* pause before the second restart in the window */
#define PS_ROSTER_RETRY_MS       10000  /* first backoff */
#define PS_ROSTER_BACKOFF_MAX_MS 300000 /* longest */

struct ps_launcher;
struct ps_roster;

/* What an engine is, as far as it is known: after it was UP once; before that only its name. */
struct ps_engine_facts {
    char name[PS_NAME_MAX + 1];
    unsigned kind; /* enum ps_engine_kind_no; 0 unknown */
    char version[PS_VERSION_MAX + 1];
    char definitions[PS_VERSION_MAX + 1]; /* "" when it has none */
    char origin[PS_NAME_MAX + 1];         /* test, site, official; "" when it has no signatures */
    uint64_t signatures;                  /* loaded */
    uint64_t age_s;                       /* of the definitions when it was loaded; 0 unknown */
    uint32_t run_ms;                      /* how long a scan may take by its own word; 0 for the default */
    char types[PS_TEXT_MAX + 1];          /* comma-separated globs; "" for all */
    char note[PS_TEXT_MAX + 1];           /* what people should know; "" for nothing */
    char walls[PS_TEXT_MAX + 1];          /* full, or weaker and which are missing */
};

/* All is lent for the roster's life. */
struct ps_roster_conf {
    const char *program;                /* path of phagescan-enginehost */
    const char *engine_dir;             /* NAME/NAME.so below it */
    const struct ps_opt_list *only;     /* names wanted; empty for all */
    const char *signatures;             /* directory that overrides; NULL for none: see ps_sigdir_find */
    const struct ps_opt_list *settings; /* "engine.key=value" */
    const char *const *options;         /* further options of the engine host */
    size_t options_n;
    const char *tmp;              /* where hosts keep their directories */
    const char *files;            /* where they put derived files that are many; NULL: in memory */
    unsigned slots;               /* of the worker */
    struct ps_launcher *launcher; /* NULL when not started as root */
};

enum ps_roster_event_kind {
    PS_ROSTER_UP = 1, /* the engine can run jobs; what it offers may have changed */
    PS_ROSTER_DOWN,   /* it can't: problem says why. Its jobs have had their results */
    PS_ROSTER_HAVE,   /* slot's child has the sample: its run time counts */
    PS_ROSTER_RESULT, /* slot's job is over */
};

struct ps_roster_event {
    enum ps_roster_event_kind kind;
    unsigned engine;                     /* its number */
    unsigned slot;                       /* HAVE, RESULT */
    const struct ps_host_result *result; /* RESULT; lent until the next call */
    bool again;                          /* RESULT says nothing about the sample: see slots.h */
};

/* Lists the engines and starts their hosts. 0; PS_ERR_NOTFOUND with a sentence when there is no engine at all, or one
 * of those wanted is missing; PS_ERR_LIMIT above PS_ENGINES_MAX; PS_ERR_INVALID for a setting of no engine. */
int ps_roster_new(struct ps_roster **ret_self, const struct ps_roster_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr);
/* Ends all hosts. */
void ps_roster_free(struct ps_roster **self_p);

/* Readable when step may have something; the same for the roster's life. */
int ps_roster_fd(const struct ps_roster *self);
uint64_t ps_roster_due_ms(const struct ps_roster *self);
/* Takes the next event: true with *ret_event. Restarts what is due. Call it until it says false, which ends a round:
 * what came meanwhile leaves fd readable. */
bool ps_roster_step(struct ps_roster *self, uint64_t now_ms, struct ps_roster_event *ret_event);

size_t ps_roster_n(const struct ps_roster *self);
/* The engine of that name, or -1. */
int ps_roster_find(const struct ps_roster *self, struct ps_bytes name);
bool ps_roster_is_up(const struct ps_roster *self, unsigned engine);
/* True when nothing is being loaded for the first time any more. */
bool ps_roster_settled(const struct ps_roster *self);
/* Lent; changes when the engine comes UP. */
const struct ps_engine_facts *ps_roster_facts(const struct ps_roster *self, unsigned engine);
/* Why it is not UP; "" when it is. */
const char *ps_roster_problem(const struct ps_roster *self, unsigned engine);
/* Fills one offer for each engine, at most PS_ENGINES_MAX; texts lent until the next step. Returns how many. */
size_t ps_roster_offers(const struct ps_roster *self, uint64_t now_ms, struct ps_part_offer *ret_offers);
/* The walls of all: full, or the first that is weaker. "" while no engine was UP. Lent until the next step. */
const char *ps_roster_walls(const struct ps_roster *self);

/* As ps_host_run, on the engine's host. */
int ps_roster_run(struct ps_roster *self, unsigned engine, unsigned slot, const struct ps_host_job *job,
                  uint64_t now_ms);
void ps_roster_kill(struct ps_roster *self, unsigned engine, unsigned slot, const char *why, uint64_t now_ms);
/* True when a child of the engine idles in slot. */
bool ps_roster_warm(const struct ps_roster *self, unsigned engine, unsigned slot);

#endif
