/* broker/core/sample.h: samples that jobs are about: hash, size, type, inline bytes, and who holds them.
 *
 * A sample lives while it has jobs; one that had to be fetched is remembered a while longer (the newest
 * PS_SAMPLES_IDLE_MAX), so that a rescan goes to the worker that has it. Its inline bytes are kept, once for all its
 * jobs, while one of them may still have to be sent to a worker.
 *
 * Invariant: need_n = its queued and leased jobs; bytes only while need_n > 0. */
#ifndef PS_BROKER_CORE_SAMPLE_H
#define PS_BROKER_CORE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct ps_core;
struct ps_job;
struct ps_session;

#define PS_SAMPLES_IDLE_MAX 16384      /* samples without jobs remembered; the oldest is forgotten */
#define PS_SAMPLE_MAX       UINT32_MAX /* bytes; masters refuse more than half of it */
#define PS_TYPES_MAX        1024 /* different MIME types remembered; others count as unknown, the worker finds out */

/* 60 bytes: a million of them wait in memory. */
struct ps_sample {
    uint8_t sha256[PS_SHA256_BYTES]; /* the first eight bytes are the index's key */
    uint32_t size;                   /* bytes */
    uint32_t data;                   /* block of its bytes; 0 when there are none */
    uint32_t holder; /* session that it was sent to last; 0: none. A hint while holder_n is 0 */
    uint32_t chain;  /* next in the index */
    union {
        uint32_t first; /* of its jobs */
        uint32_t older; /* idle: neighbour */
    };
    union {
        uint32_t need_n; /* jobs queued or leased */
        uint32_t newer;  /* idle: neighbour */
    };
    uint16_t holder_n;  /* its leases at the holder now */
    uint16_t type : 15; /* place in the types' table; 0 unknown */
    uint16_t idle : 1;  /* without jobs, in the list of idle ones */
};

struct ps_sample *ps_sample_at(const struct ps_core *core, uint32_t sample);
uint32_t ps_sample_find(const struct ps_core *core, const uint8_t sha256[PS_SHA256_BYTES]);
/* A new one without jobs; 0 without memory, or when it is over PS_SAMPLE_MAX. Enter a job or call ps_sample_release. */
uint32_t ps_sample_add(struct ps_core *core, const uint8_t sha256[PS_SHA256_BYTES], uint64_t size);
/* Remembers the type, if it says one. */
void ps_sample_type(struct ps_core *core, struct ps_sample *sample, struct ps_bytes type);
struct ps_bytes ps_sample_type_text(const struct ps_core *core, const struct ps_sample *sample);
/* Its bytes, when they are here; good until the next call that keeps or drops some. */
struct ps_bytes ps_sample_data(const struct ps_core *core, const struct ps_sample *sample);
/* Keeps the bytes, when there are none yet. 0; PS_ERR_BUSY over the budget; PS_ERR_NOMEM. */
int ps_sample_keep(struct ps_core *core, struct ps_sample *sample, struct ps_bytes data);
void ps_sample_join(struct ps_core *core, uint32_t sample, uint32_t job);
void ps_sample_leave(struct ps_core *core, uint32_t job);
/* A job was queued or leased (more = true) or is not any longer. */
void ps_sample_need(struct ps_core *core, struct ps_sample *sample, bool more);
/* Forgets, or remembers as idle, a sample that has no jobs. */
void ps_sample_release(struct ps_core *core, uint32_t sample);
/* A lease of it goes to a worker (or has ended there): notes who holds the bytes. */
void ps_sample_sent(struct ps_sample *sample, uint32_t session);
void ps_sample_done(struct ps_sample *sample, uint32_t session);

#endif
