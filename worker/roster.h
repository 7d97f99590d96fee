/* worker/roster.h: the engines of a worker: which there are, the hosts of each, what happens when one dies, and how new
 * definitions and new engines come in without a pause.
 *
 * A roster belongs to the session's thread and never blocks, but for what worker/host/host.h says of start and free, and
 * worker/watch.h of prints. Engines are numbered from 0, at first in the order of their names, new ones behind; the
 * numbers stay. One whose directory was removed keeps its number, and is not offered.
 *
 * An engine is UP when it has a crew (worker/crew.h) that has loaded it. One whose host died is started again: at once
 * the first time, then after a while, and after PS_ROSTER_DEATHS deaths within PS_ROSTER_WINDOW_MS with a backoff that
 * doubles up to PS_ROSTER_BACKOFF_MAX_MS. One that could not be loaded (not installed, no licence, broken definitions) is
 * tried again from PS_ROSTER_RETRY_MS on, doubling likewise, and at once when its files change.
 *
 * Reload: when the files of an engine that is UP have changed, a second crew is loaded beside the first and tests itself.
 * Then it takes all further jobs, the jobs of the first end in peace, and it is freed. If it can't be loaded, or leaves
 * out more files than the first (a rule that is broken) or has no signatures at all, it is dropped, the first one goes on, and
 * the reason is shown until the next good one; without a change it is tried again after PS_ROSTER_RELOAD_MS. One reload
 * at a time, since it takes the memory of an engine twice. An engine that may run N times at once does not run more often
 * for it: the second crew's self-test is one of the N. */
#ifndef PS_WORKER_ROSTER_H
#define PS_WORKER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/opt.h"
#include "proto/messages.h"
#include "worker/crew.h"
#include "worker/enginedir.h"
#include "worker/host/host.h"

#define PS_ROSTER_DEATHS         3      /* deaths within the window that begin the backoff */
#define PS_ROSTER_WINDOW_MS      60000  /* the window */
#define PS_ROSTER_AGAIN_MS       1000   /* pause before the second restart in the window */
#define PS_ROSTER_RETRY_MS       10000  /* first backoff */
#define PS_ROSTER_BACKOFF_MAX_MS 300000 /* longest */
#define PS_ROSTER_RELOAD_MS      300000 /* from a reload that failed to the next try, when nothing changes */
#define PS_ROSTER_PROBE_MS       60000  /* between two looks whether an engine can still work, */
#define PS_ROSTER_SUSPECT_MS     5000   /* and so soon at the earliest, after a job of it failed */
#define PS_ROSTER_LICENCE_S      (30 * 86400) /* so long before its end a licence is warned of */

struct ps_launcher;
struct ps_roster;

/* All is lent for the roster's life. */
struct ps_roster_conf {
    const char *program;                /* path of phagescan-enginehost */
    struct ps_enginedirs dirs;          /* where engines are */
    const struct ps_opt_list *settings; /* "engine.key=value" */
    const char *const *options;         /* further options of the engine host */
    size_t options_n;
    const char *tmp;              /* where hosts keep their directories */
    const char *files;            /* where they put derived files that are many; NULL: in memory */
    unsigned slots;               /* of the worker */
    struct ps_launcher *launcher; /* NULL when not started as root */
    bool still;                   /* changes of files are not looked for */
};

enum ps_roster_event_kind {
    PS_ROSTER_UP =
        1, /* the engine can run jobs, anew or with new definitions: what it offers may have changed */
    PS_ROSTER_DOWN,   /* it can't: problem says why. Its jobs have had their results */
    PS_ROSTER_HAVE,   /* slot's child has the sample: its run time counts */
    PS_ROSTER_RESULT, /* slot's job is over */
    PS_ROSTER_STAYS,  /* it goes on as it was: a reload failed, and its note says why */
};

struct ps_roster_event {
    enum ps_roster_event_kind kind;
    unsigned engine;                     /* its number */
    unsigned slot;                       /* HAVE, RESULT */
    const struct ps_host_result *result; /* RESULT; lent until the next call */
    const struct ps_engine_facts *facts; /* RESULT: of the crew that had the job; lent likewise */
    bool again;                          /* RESULT says nothing about the sample: see slots.h */
};

/* Lists the engines and starts their hosts (conf's texts and lists are lent for the roster's life). 0; PS_ERR_NOTFOUND with a sentence when there is no engine at all, or one
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
/* False when the engine runs as often at once as it may on one machine, or a reload of it waits for its turn. Looked at
 * again after each of its RESULTs, UP and STAYS. */
bool ps_roster_has_room(const struct ps_roster *self, unsigned engine);
/* True when nothing is being loaded for the first time any more. */
bool ps_roster_settled(const struct ps_roster *self);
/* Lent; changes when the engine comes UP. */
const struct ps_engine_facts *ps_roster_facts(const struct ps_roster *self, unsigned engine);
/* Why it is not UP; "" when it is. */
const char *ps_roster_problem(const struct ps_roster *self, unsigned engine);
/* What people should know of one that is UP: a reload that failed, a licence that ends, the engine's own note; "". Lent
 * until the next call. */
const char *ps_roster_note(const struct ps_roster *self, unsigned engine, uint64_t now_ms);
/* Seconds until its licence ends, 0 for none or unknown; age of its definitions, 0 for unknown. */
uint64_t ps_roster_licence_left_s(const struct ps_roster *self, unsigned engine, uint64_t now_ms);
uint64_t ps_roster_age_s(const struct ps_roster *self, unsigned engine, uint64_t now_ms);
/* Fills one offer for each engine that is there, at most PS_ENGINES_MAX; texts lent until the next step. Returns how many. */
size_t ps_roster_offers(const struct ps_roster *self, uint64_t now_ms, struct ps_part_offer *ret_offers);
/* The walls of all: full, or the first that is weaker. "" while no engine was UP. Lent until the next step. */
const char *ps_roster_walls(const struct ps_roster *self);

/* Has the engine loaded anew, whether or not its files changed: UP or STAYS (DOWN, when it was not UP) follows. 0;
 * PS_ERR_UNAVAILABLE when it is off or its directory was removed. */
int ps_roster_reload(struct ps_roster *self, unsigned engine, uint64_t now_ms);
/* Switches it on or off, until the worker ends. Off: what runs ends in peace, nothing more is taken; DOWN follows. On: it
 * is loaded, UP or DOWN follows. Does nothing when it is so already. */
void ps_roster_switch(struct ps_roster *self, unsigned engine, bool on, uint64_t now_ms);
bool ps_roster_is_on(const struct ps_roster *self, unsigned engine);

/* As ps_host_run, on the engine's host. */
int ps_roster_run(struct ps_roster *self, unsigned engine, unsigned slot, const struct ps_host_job *job,
                  uint64_t now_ms);
void ps_roster_kill(struct ps_roster *self, unsigned engine, unsigned slot, const char *why, uint64_t now_ms);
/* True when a child of the engine idles in slot. */
bool ps_roster_warm(const struct ps_roster *self, unsigned engine, unsigned slot);

#endif
