/* master/scan/post.h: what the threads of master/scan say to each other: plain messages, each in one block of memory,
 * sent through mailboxes and freed by their taker. Private to master/scan and its tests.
 *
 *   link -> collect   struct ps_finding   a result, a decision, a lost lease
 *   link -> drive     struct ps_news      sessions, ACCEPTED, BUSY, a changed fleet
 *   collect -> drive  struct ps_news      jobs that are settled
 *   drive -> link     struct ps_order     a SUBMIT
 *   collect -> link   struct ps_news      the same settled jobs, for COMMITTED
 *   link -> feed      struct ps_wish      a FETCH
 *   feed -> link      struct ps_piece     a CHUNK or GONE
 *   link -> keep      struct ps_word      a KEEP or PIECE
 *   keep -> link      struct ps_reply     a WANT or KEPT */
#ifndef PS_MASTER_SCAN_POST_H
#define PS_MASTER_SCAN_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"

#define PS_BROKERS_MAX 8 /* brokers of a master */

#define PS_FINDINGS_N \
    131072 /* findings that wait for collect; over it link lets the session go: see link.c */
#define PS_FINDINGS_BYTES (256u * 1024 * 1024) /* of them, in bytes */
#define PS_NEWS_N         4096                 /* news that wait for drive; over it drive starts afresh */
#define PS_ORDERS_N       1024                 /* SUBMITs that wait for link; over it drive waits */
#define PS_SETTLED_N      256                  /* settled lists that wait for link; over it collect waits */
#define PS_WISHES_N       4096 /* FETCHes that wait for feed; over it the worker is told GONE */
#define PS_PIECES_N       32   /* CHUNKs that wait for link; over it feed waits */
#define PS_WORDS_N        8192 /* KEEPs and PIECEs that wait for keep; over it they are dropped, and come again */
#define PS_REPLIES_N \
    8192 /* WANTs and KEPTs that wait for link; over it they are dropped, and asked for again */

enum ps_finding_kind { PS_FINDING_RESULT, PS_FINDING_DECIDED, PS_FINDING_LOST };

/* A file that an engine derived. */
struct ps_derived {
    const char *name, *mime; /* never NULL, NUL-terminated */
    uint64_t size;
    uint8_t sha256[PS_SHA256_BYTES];
    bool picture;
};

/* Something about a job. Texts are never NULL, NUL-terminated, UTF-8, and lie in the same block. */
struct ps_finding {
    enum ps_finding_kind kind;
    uint64_t epoch;   /* the epoch in which link took it: collect drops those of another */
    uint64_t job;     /* the job */
    unsigned outcome; /* RESULT, DECIDED: a valid enum ps_outcome */
    bool counted;     /* RESULT: silence counts */
    uint32_t lost;    /* LOST: its count now */
    uint64_t wait_us; /* RESULT: timing; microseconds */
    uint64_t run_us;
    uint64_t cpu_us;
    size_t bytes;      /* of this block */
    size_t traits_len; /* bytes of traits without the NUL */
    const char *engine, *label, *reason, *type, *version, *definitions, *origin, *worker;
    const char *traits; /* "" for none; checked to be a JSON object that PostgreSQL takes, else dropped */
    const struct ps_derived *files; /* RESULT: that the engine derived; in the same block */
    size_t files_n;
};

/* Makes a finding of a decoded message: RESULT, DECIDED or LOST. 0; PS_ERR_INVALID for an outcome that does not
 * exist or a job 0; PS_ERR_NOMEM. Traits that are no JSON object are left out: *ret_bad_traits. */
int ps_finding_new(struct ps_finding **ret_self, const struct ps_msg *msg, uint64_t epoch,
                   bool *ret_bad_traits);
void ps_finding_free(void *self); /* for mailboxes too; accepts NULL */

enum ps_news_kind {
    PS_NEWS_OPENED,   /* a session is open (new or resumed): say again what is open */
    PS_NEWS_CLOSED,   /* it is gone */
    PS_NEWS_ACCEPTED, /* jobs[] are in the broker's hands */
    PS_NEWS_BUSY,     /* jobs[] are not taken; again after retry_ms */
    PS_NEWS_SETTLED,  /* jobs[] have a final result in the database */
    PS_NEWS_FLEET,    /* workers or offers changed */
    PS_NEWS_LOOK      /* a nudge: something else changed, see there */
};

struct ps_news {
    enum ps_news_kind kind;
    unsigned broker;   /* OPENED, CLOSED, ACCEPTED, BUSY: which */
    uint64_t epoch;    /* SETTLED: in which it was committed */
    uint32_t retry_ms; /* BUSY */
    uint32_t dead_ms;  /* OPENED: the broker's */
    char *limits; /* OPENED: engines it limits, each with a NUL, ended by an empty one; owned; NULL: none */
    uint32_t jobs_n;
    uint64_t jobs[];
};

/* jobs may be NULL: they are zero then, to be filled in. NULL without memory. */
struct ps_news *ps_news_new(enum ps_news_kind kind, const uint64_t *jobs, size_t jobs_n);
void ps_news_free(void *self); /* accepts NULL and &ps_news_look */
/* A nudge that needs no memory; never freed. */
extern struct ps_news ps_news_look;

struct ps_order_ask {
    uint64_t job;
    uint32_t run_ms, lost;
    char engine[PS_NAME_MAX + 1];
};

/* One SUBMIT. */
struct ps_order {
    uint64_t epoch, scan, size, owner;
    uint8_t sha256[PS_SHA256_BYTES];
    char type[PS_NAME_MAX + 1];
    uint32_t band, deadline_ms;
    unsigned broker; /* that it is for */
    uint8_t *data;   /* owned; NULL: workers FETCH it */
    size_t data_len;
    size_t asks_n; /* at most PS_ENGINES_MAX */
    struct ps_order_ask asks[];
};

/* Room for asks_n asks, all zero. NULL without memory. */
struct ps_order *ps_order_new(size_t asks_n);
void ps_order_free(void *self); /* accepts NULL */

/* A worker wants bytes of a sample. */
struct ps_wish {
    uint64_t peer, offset;
    uint32_t bytes;
    uint8_t sha256[PS_SHA256_BYTES];
    int fd;        /* feed: the open sample, -1 before */
    uint64_t size; /* feed: of the sample */
};

/* A CHUNK, or a GONE with its reason. */
struct ps_piece {
    uint64_t peer, offset, size;
    uint8_t sha256[PS_SHA256_BYTES];
    char reason[PS_TEXT_MAX + 1]; /* "": a CHUNK */
    size_t len;                   /* bytes of data */
    uint8_t data[];
};

/* A worker has a file, or sends a piece of one. */
struct ps_word {
    uint64_t epoch; /* in which link took it */
    unsigned broker;
    bool piece; /* a PIECE; else a KEEP */
    uint64_t peer, size, offset;
    uint8_t sha256[PS_SHA256_BYTES];
    size_t len; /* PIECE: bytes of data */
    uint8_t data[];
};

/* A WANT, or a KEPT with its reason. */
struct ps_reply {
    uint64_t epoch, peer, offset;
    uint32_t bytes;
    bool kept;
    uint8_t sha256[PS_SHA256_BYTES];
    char reason[128]; /* KEPT: "" when it is */
};

#endif
