/* tests/sim/sim.h: a small world around the broker's core: a master with a database, workers with heartbeats, connections
 * that delay and break, everything by one seed and one clock.
 *
 * What a run has to show is in judge.c. */
#ifndef PS_TESTS_SIM_H
#define PS_TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/outcome.h"
#include "broker/core/core.h"
#include "proto/codec.h"

#define SIM_STEP_MS 50
#define SIM_LINKS   48 /* connections at once; a peer's number is its place and one */
#define SIM_WORKERS 5
#define SIM_JOBS    240   /* at most; a flood has so many, any other run fewer */
#define SIM_ENGINES 4     /* the last one is offered by nobody */
#define SIM_LIMITED 2     /* the one with a limit, when there is one */
#define SIM_RUN_MS  20000 /* a worker ends what runs longer */
#define SIM_DEAD_MS 5000
#define SIM_LEASES  256 /* in a worker's hands */
#define SIM_GRANT   24

/* What goes wrong in a run. */
struct sim_faults {
    bool kill_worker, stop_worker, hang_worker, break_link;
    bool kill_broker, stop_broker;
    bool kill_master, stop_master, slow_database, ghost_master;
    bool poison;       /* samples that kill their worker */
    bool small_limits; /* the core is refused room often */
    bool cancels;
    bool give_back;  /* workers answer leases with cancelled */
    bool limits;     /* an engine has a licence */
    bool bans;       /* keys are removed, and come back */
    bool deaf;       /* peers that do not read */
    bool garble;     /* what does not decode */
    bool jumps;      /* the machine sleeps; the broker's clock goes back */
    bool slow_runs;  /* some take much longer than is usual */
    bool short_time; /* scans whose time is soon over */
    bool repeats;    /* peers say things twice, and what they were told to forget */
};

/* What happened in a run: kinds of event that a number of runs must have met, or they show nothing of them. */
/* clang-format off */
#define SIM_EVENTS(X)                                                                                    \
    X(worker_killed) X(worker_stopped) X(worker_hung) X(link_broken) X(broker_killed) X(broker_stopped)  \
    X(master_killed) X(master_stopped) X(database_slow) X(poison_killed) X(busy) X(cancelled)            \
    X(given_back) X(banned) X(deaf) X(garbled) X(jumped) X(went_back) X(timed_out) X(expired)            \
    X(repeated) X(said_after) X(lost) X(late) X(buried) X(unavailable) X(requeued) X(copied)             \
    X(refused_beats) X(refused_epochs) X(dropped_chunks) X(resumed) X(cut_off) X(limit_reached)

enum sim_event {
#define X(name) SIM_SAW_##name,
    SIM_EVENTS(X)
#undef X
    SIM_EVENTS_N
};
/* clang-format on */

struct sim_message {
    struct sim_message *next;
    uint64_t due_ms;
    size_t carry_bytes;
    bool carries;
    size_t len;
    uint8_t bytes[];
};

struct sim_queue {
    struct sim_message *first, **last;
};

struct sim_link {
    bool used;    /* the place is taken */
    bool up;      /* connected */
    uint32_t who; /* whose key it is */
    int serial;   /* how many connections had this place before */
    struct sim_queue to_broker, to_peer;
};

/* What every peer's library does. */
struct sim_peer {
    enum { DOWN, GREETING, OPEN } state;
    int link; /* -1: none */
    uint32_t who;
    uint64_t at_ms; /* DOWN: next try; GREETING: give up */
    uint64_t heard_ms;
    uint64_t session;
    uint8_t token[PS_TOKEN_BYTES];
    uint64_t boot;
};

struct sim_lease {
    uint64_t boot, seq, job;
    enum { WAITS, RUNS, RESULT } state;
    uint64_t size, have; /* bytes of the sample, and how many are here */
    uint64_t asked;      /* up to where they are asked for */
    uint64_t end_ms;
    uint32_t run_ms; /* it may run so long */
    bool timed_out;  /* it will, or has */
    bool alone;
};

struct sim_worker {
    bool alive;
    uint64_t birth_ms;                  /* when it starts again */
    uint64_t stopped_ms;                /* until then */
    uint64_t hung_ms;                   /* until then, but the heart beats */
    uint64_t turn_ms;                   /* its last turn */
    uint64_t alone_ms;                  /* without a session until then, it begins nothing more; 0: not so */
    struct ps_part_lease_ref forgotten; /* a result that was committed */
    struct sim_peer talk;
    int beat_link;
    uint64_t beat_ms;
    struct sim_lease leases[SIM_LEASES];
    unsigned leases_n;
    uint32_t slots, window;
    unsigned deaths; /* of its own doing */
};

struct sim_job {
    uint64_t id;
    unsigned engine, owner, band;
    uint64_t size;
    bool poison;
    uint32_t time_ms;   /* its scan's */
    uint64_t due_ms;    /* when a user submits it */
    bool fed, accepted; /* in the broker's hands, as the master sees it */
    bool seen;          /* was submitted once */
    bool final;
    uint32_t outcome;
    bool decided;      /* by the broker */
    unsigned rank;     /* the how many-th that was final */
    unsigned due_rank; /* how many were when it was submitted first */
    uint32_t lost;     /* column in its row */
    unsigned repeats;  /* results that came when it was final */
    unsigned kills;    /* workers that it took along */
    unsigned runs;     /* times it ran to its end */
    unsigned starts;   /* times it began to */
};

struct sim_master {
    uint64_t birth_ms, stopped_ms, slow_ms;
    struct sim_peer talk;
    uint64_t epoch;
    uint64_t pulse_ms, feed_ms;
    uint64_t commit_ms; /* when the batch is committed; 0: none */
    struct {
        uint64_t job;
        uint32_t outcome;
        bool decided;
    } batch[1024];
    unsigned batch_n;
    uint64_t fleets_n;
    bool leads; /* the broker takes its word: it has accepted something */
};

struct sim {
    uint64_t seed, state; /* of the generator */
    uint64_t now_ms, end_of_faults_ms, end_ms;
    struct sim_faults faults;
    struct ps_core *core;
    struct ps_core_options options;
    uint64_t broker_stopped_ms;
    unsigned restarts;                   /* of broker and master */
    bool gone[SIM_LINKS];                /* the core is to be told */
    uint64_t banned_ms[SIM_WORKERS + 2]; /* by who: until then */
    struct ps_core_limit limit;
    uint64_t saw[SIM_EVENTS_N];
    bool flood; /* no faults, and more work than hands: shows order */
    struct sim_link links[SIM_LINKS];
    struct sim_master master;
    struct sim_worker workers[SIM_WORKERS];
    unsigned workers_n;
    struct sim_job jobs[SIM_JOBS];
    unsigned jobs_n, final_n;
    int ghost_link;    /* of a master that was replaced */
    uint64_t ghost_ms; /* when it wakes up */
    uint64_t ghost_epoch;
    uint64_t steps_n, messages_n;
    bool verbose;
    const char *broken; /* what does not hold */
};

/* ---- net.c ---- */
uint64_t sim_draw(struct sim *sim, uint64_t below);
bool sim_chance(struct sim *sim, unsigned in); /* once in so many */
/* A link for who; -1 when the broker is not there. Its number says which place and which connection there, so that who
 * sleeps over the end of his does not find another's. */
int sim_connect(struct sim *sim, uint32_t who);
bool sim_is_up(struct sim *sim, int link);
void sim_disconnect(struct sim *sim, int link);
void sim_say(struct sim *sim, int link, const struct ps_msg *msg, size_t carry_bytes);
/* The next message that has arrived at the peer's end; NULL when there is none. The caller frees it. */
struct sim_message *sim_hear(struct sim *sim, int link, struct ps_msg *ret_msg);
void sim_net_fini(struct sim *sim);
/* A new broker process. */
void sim_broker_start(struct sim *sim);
void sim_broker_kill(struct sim *sim);
/* The key is not allowed any more, for so long. */
void sim_broker_ban(struct sim *sim, uint32_t who, uint64_t for_ms);
/* The broker finds that a peer does not read. */
void sim_broker_full(struct sim *sim, int link);
/* Delivers to the core, and lets it take its turn. */
void sim_broker_run(struct sim *sim);

/* The peer's library: connects, greets, notices. role as on the wire. True when the session has just opened or resumed.
 * *ret_lost: it has just been lost. */
bool sim_peer_run(struct sim *sim, struct sim_peer *peer, uint32_t role);
void sim_peer_lose(struct sim *sim, struct sim_peer *peer, bool forget);
/* Looks at a message that any peer understands. True when it was one. */
bool sim_peer_takes(struct sim *sim, struct sim_peer *peer, const struct ps_msg *msg, bool *ret_opened);

/* ---- worker.c, master.c ---- */
void sim_worker_run(struct sim *sim, struct sim_worker *worker);
void sim_worker_kill(struct sim *sim, struct sim_worker *worker);
void sim_worker_break(struct sim *sim, struct sim_worker *worker);
void sim_master_run(struct sim *sim);
void sim_master_kill(struct sim *sim);
const char *sim_engine(unsigned i);
struct sim_job *sim_job(struct sim *sim, uint64_t id);

/* ---- judge.c ---- */
/* One run. NULL, or what went wrong (lent). saw: what happened is added there. */
const char *sim_run(uint64_t seed, bool verbose, uint64_t saw[SIM_EVENTS_N]);
/* How many a licensed engine's runs there are, whoever knows of them. */
unsigned sim_workers_running(struct sim *sim, unsigned engine);

#endif
