/* tests/unit/broker_stage.h: a core on a stage: what is said to it and what it says, over the real codec, with a
 * clock that the test turns. */
#ifndef PS_TESTS_BROKER_STAGE_H
#define PS_TESTS_BROKER_STAGE_H

#include "unit.h"

#include "base/outcome.h"
#include "broker/core/core.h"
#include "proto/codec.h"

#define STAGE_LINES_MAX 20000
#define STAGE_BOOT      0xb007u

struct stage_line {
    uint32_t peer;
    struct ps_msg msg;    /* borrows from record */
    struct ps_buf record; /* one record */
    bool dropped;         /* not a message: the peer was dropped */
    bool taken;           /* the test has read it */
    bool carried;         /* passed with a frame */
};

struct stage {
    struct ps_core *core;
    struct ps_core_options options;
    uint64_t now_ms;
    uint32_t who;                             /* whose key what is said now comes with; 0: nobody's */
    uint64_t denied_n;                        /* what the door says that it dropped */
    struct stage_line lines[STAGE_LINES_MAX]; /* what the core said, in order */
    size_t n;
    char last_event[64]; /* last log event */
    bool unaudited;      /* don't look through all books at every step: it takes as long as there are jobs */
};

/* Options with defaults; change them before stage_open. */
struct stage *stage_new(void);
void stage_open(struct stage *self);
void stage_free(struct stage *self);
/* A new core with another boot id, the same stage: a broker restart. Peers keep their numbers. */
void stage_restart(struct stage *self);

/* Peer says msg (through encoder and decoder). */
void stage_say(struct stage *self, uint32_t peer, const struct ps_msg *msg);
/* The same with a frame of n bytes. */
void stage_carry(struct stage *self, uint32_t peer, const struct ps_msg *msg, size_t n);
void stage_event(struct stage *self, enum ps_event_kind kind, uint32_t peer);
/* The key of that number is not allowed any more. */
void stage_ban(struct stage *self, uint32_t who);
void stage_turn(struct stage *self);
/* Lets ms pass in ticks of PS_CORE_TICK_MS. */
void stage_pass(struct stage *self, uint64_t ms);
/* Lets ms pass, with heartbeats of nobody: in one jump. */
void stage_jump(struct stage *self, uint64_t ms);

/* The next message of that id to the peer that was not read yet, and marks it; NULL when there is none. */
const struct ps_msg *stage_heard(struct stage *self, uint32_t peer, enum ps_msg_id id);
/* It must be there. */
const struct ps_msg *stage_expect(struct stage *self, uint32_t peer, enum ps_msg_id id);
void stage_expect_none(struct stage *self, uint32_t peer, enum ps_msg_id id);
bool stage_dropped(struct stage *self, uint32_t peer); /* and not said before */
/* Marks all as read. */
void stage_forget(struct stage *self);
struct ps_core_counts stage_counts(struct stage *self);

/* ---- people ---- */

struct stage_session {
    uint64_t id;
    uint64_t boot;
    uint8_t token[PS_TOKEN_BYTES];
    bool resumed;
};

/* HELLO and WELCOME. */
struct stage_session stage_hello(struct stage *self, uint32_t peer, enum ps_role role,
                                 const struct stage_session *resume);
/* A master with epoch 1 and a grant. */
struct stage_session stage_master(struct stage *self, uint32_t peer, uint32_t grant);
/* A worker that offers the engines named (comma-separated). */
struct stage_session stage_worker(struct stage *self, uint32_t peer, const char *engines, uint32_t slots,
                                  uint32_t window);
void stage_ready(struct stage *self, uint32_t peer, const char *engines, uint32_t slots, uint32_t window,
                 const struct ps_part_held *held, size_t held_n, const struct ps_part_lease_ref *results,
                 size_t results_n);

struct stage_submit {
    uint64_t job;        /* first job's id; the others follow */
    const char *engines; /* comma-separated; default "clamav" */
    uint8_t sample;      /* fills the hash; default: from the job */
    uint64_t size;       /* default 3, with bytes */
    bool no_data;
    uint32_t band, deadline_ms, lost;
    uint64_t owner, epoch; /* epoch defaults to 1 */
};
void stage_submit(struct stage *self, uint32_t peer, struct stage_submit submit);
#define SUBMIT(self, peer, ...) stage_submit(self, peer, (struct stage_submit){__VA_ARGS__})

/* The only lease of a JOB. */
struct ps_part_lease stage_lease(const struct ps_msg *job);
/* The next JOB's only lease; fails when there is none. */
struct ps_part_lease stage_job(struct stage *self, uint32_t peer);
void stage_result(struct stage *self, uint32_t peer, uint64_t boot, uint64_t seq, uint64_t job,
                  const char *engine);
void stage_committed(struct stage *self, uint32_t peer, uint64_t job);
void stage_beat(struct stage *self, uint32_t peer, const struct stage_session *session,
                const struct ps_part_lease_ref *running, size_t n);
/* Lets ms pass while the workers on these peers beat, naming one lease each (job 0: none). */
struct stage_beater {
    uint32_t peer;
    const struct stage_session *session;
    struct ps_part_lease_ref running; /* job 0: none */
};
void stage_pass_beating(struct stage *self, uint64_t ms, const struct stage_beater *beaters, size_t n);

#endif
