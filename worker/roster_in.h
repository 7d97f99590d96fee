/* worker/roster_in.h: the inside of a roster, shared by roster.c (crews), reload.c (what changes on the disk) and facts.c
 * (what it tells). Nobody else includes it. */
#ifndef PS_WORKER_ROSTER_IN_H
#define PS_WORKER_ROSTER_IN_H

#include <sys/epoll.h>

#include "worker/roster.h"
#include "worker/watch.h"

#define PS_ROSTER_EVENTS_N 16 /* hosts looked at per wake-up */
#define PS_ROSTER_REMOVED  "its directory was removed"
#define PS_ROSTER_OFF      "it is switched off"

/* All of it belongs to the roster. */
struct ps_roster_engine {
    struct ps_engine_facts facts; /* of the crew that was UP last; before that its name */
    struct ps_enginedir place;
    const char **settings; /* owned array of texts lent by the configuration */
    size_t settings_n;
    struct ps_crew *current; /* takes jobs; NULL while the engine is not UP */
    struct ps_crew *coming;  /* is being loaded; NULL */
    unsigned leaving_n; /* crews that end their jobs in peace: one, but for engines that are switched about */
    bool tried;         /* its first load is over, well or not */
    bool removed;       /* its directory is gone */
    bool off;           /* switched off */
    bool reload;        /* current is to be replaced */
    enum ps_roster_event_kind tell; /* DOWN or STAYS that the session does not know of yet; 0 */
    uint64_t print;                 /* of its files when the last crew was started */
    uint64_t restart_ms; /* monotonic: when to start the next crew; with current: when to try again */
    uint64_t backoff_ms; /* the last pause before a restart; 0 while all is well */
    uint64_t deaths_ms[PS_ROSTER_DEATHS]; /* monotonic: the last ones, a ring */
    unsigned deaths_n;                    /* counter */
    char problem[PS_TEXT_MAX + 1];        /* why it is not UP; "" while it is */
    char stale[PS_TEXT_MAX + 1];          /* why the last reload failed; "" */
    char said[PS_TEXT_MAX + 1];           /* lent by ps_roster_note */
};

struct ps_roster {
    struct ps_roster_conf conf;
    struct ps_roster_engine **engines; /* owned, each */
    size_t n;
    struct ps_watch *watch;   /* NULL: files are not watched */
    struct ps_crew *crews;    /* all that are looked at; owned */
    struct ps_crew *closed;   /* kept until their last texts are not lent any more; owned */
    int epoll_fd;             /* of the crews' hosts, data.ptr the crew, and of watch, data.ptr NULL */
    struct ps_crew *stepping; /* whose host may have more to say; NULL */
    struct epoll_event ready[PS_ROSTER_EVENTS_N];
    int ready_n;   /* of these, still to be looked at */
    bool polled;   /* in this round, which lasts until step says that there is no more */
    size_t tell_n; /* engines with something to tell */
};

/* roster.c */

void ps_roster_problem_set(struct ps_roster_engine *engine, const char *text);
/* The session is to hear of it with one of the next steps. */
void ps_roster_tell(struct ps_roster *self, struct ps_roster_engine *engine, enum ps_roster_event_kind kind);
/* A print of all files that the engine is made of. */
uint64_t ps_roster_print(const struct ps_roster *self, const struct ps_roster_engine *engine);
/* Takes the crew out (NULL is fine): it is freed when nothing of it is lent any more. */
void ps_roster_close(struct ps_roster *self, struct ps_crew **crew_p);
/* The current crew takes no more jobs, and goes after its last one. */
void ps_roster_retire(struct ps_roster *self, struct ps_roster_engine *engine);

/* It can't work any more, though its host lives: what runs ends in peace, and it is tried again as one that could not be
 * loaded. */
void ps_roster_down(struct ps_roster *self, struct ps_roster_engine *engine, const char *why,
                    uint64_t now_ms);

/* reload.c */

/* Looks at the directories: starts no crew, but says which are to be started anew. */
void ps_roster_look(struct ps_roster *self, uint64_t now_ms);
int ps_roster_add(struct ps_roster *self, const struct ps_enginedir *place, uint64_t now_ms,
                  struct ps_error *reterr);
void ps_roster_forget(struct ps_roster_engine *engine);

/* facts.c */

/* When the licence of the crew that is UP ends; UINT64_MAX. */
uint64_t ps_roster_licence_due_ms(const struct ps_roster_engine *engine);
/* Takes engines DOWN whose licence has ended. */
void ps_roster_end_licences(struct ps_roster *self, uint64_t now_ms);

#endif
