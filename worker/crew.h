/* worker/crew.h: one host of an engine with the children in its slots, and what it said of itself. An engine has one crew
 * that takes jobs, at most one that is being loaded to take its place, and at most one that ends in peace. Belongs to the
 * roster's thread. */
#ifndef PS_WORKER_CREW_H
#define PS_WORKER_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"
#include "worker/host/host.h"

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
    uint32_t at_once;                     /* scans at once on this worker; 0 for any number */
    uint32_t licence_scans;               /* scans at once in the fleet; 0 for any number */
    uint64_t licence_left_s;     /* until the licence ended, when it was loaded; 0 for none or unknown */
    uint32_t left_out;           /* files of definitions that could not be used */
    char types[PS_TEXT_MAX + 1]; /* comma-separated globs; "" for all */
    char note[PS_TEXT_MAX + 1];  /* what people should know; "" for nothing */
    char walls[PS_TEXT_MAX + 1]; /* full, or weaker and which are missing */
};

struct ps_crew_child {
    bool there;      /* a child waits or works in this slot */
    bool busy;       /* the slot has a job */
    uint32_t served; /* jobs that this child, or the one that is being forked, was given */
};

struct ps_crew {
    struct ps_host *host;
    unsigned engine;                /* its number in the roster */
    bool loaded;                    /* facts are filled in */
    bool leaving;                   /* it takes no more jobs, and ends with its last */
    uint64_t probe_ms;              /* monotonic: when its probe is to be asked again; once loaded */
    uint64_t probed_ms;             /* monotonic: when it was asked last */
    uint64_t loaded_ms;             /* monotonic: since when */
    unsigned busy_n;                /* slots with a job */
    struct ps_crew_child *children; /* owned; one a slot */
    char failure[PS_TEXT_MAX + 1];  /* why it can't be loaded, in the host's words; "" */
    struct ps_engine_facts facts;   /* once loaded */
    struct ps_crew *prev, *next;    /* all crews of the roster, or the closed ones */
};

/* Starts the host that conf describes. 0; or a ps_err with the story. */
int ps_crew_new(struct ps_crew **ret_self, unsigned engine, const struct ps_host_conf *conf, uint64_t now_ms,
                struct ps_error *reterr);
void ps_crew_free(struct ps_crew **self_p);
/* The host is loaded: takes over what it says. origin is what the directory of the signatures says. */
void ps_crew_learn(struct ps_crew *self, const char *name, const char *origin, uint64_t now_ms);
/* The result that the host gives for slot says nothing about the sample: its child had other samples before this one, or
 * the host went with it, and one of those may have done it. */
bool ps_crew_says_nothing(const struct ps_crew *self, const struct ps_host_event *event);

/* Copies text, at most max bytes of it, whole characters; to has room for one more. */
void ps_crew_text(char *to, size_t max, const char *text);

#endif
