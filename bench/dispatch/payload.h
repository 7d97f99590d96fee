/* bench/dispatch/payload.h: what jobs carry and what answers say, so that every answer can be checked: identity and
 * content. Any thread.
 *
 * A payload is the same noise for all jobs, but every piece of PAYLOAD_PIECE bytes begins with the job's number: bytes
 * of another job, at another place, or damaged, give another sum. The sum of a whole payload is known without making it
 * again. */
#ifndef PS_BENCH_PAYLOAD_H
#define PS_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_PIECE (64 * 1024)
#define PAYLOAD_MAX   (16 * 1024 * 1024)
#define ANSWER_BYTES  96 /* peers' answers: as long as our RESULT record is (dispatch_ours says it) */

/* A bijection that spreads bits. */
uint64_t payload_mix(uint64_t x);

/* Call once; size: bytes of a payload, a multiple of 8, at most PAYLOAD_MAX. */
void payload_init(size_t size);
size_t payload_size(void);
/* The piece of the job's payload at offset (a multiple of PAYLOAD_PIECE), lent until the next call. One thread. */
const uint8_t *payload_piece(uint64_t job, size_t offset, size_t *ret_len);
/* Writes the whole payload. */
void payload_write(uint8_t *at, uint64_t job);

/* What a worker works out: piece by piece, in order. */
uint64_t payload_sum_piece(uint64_t sum, const uint8_t *at, size_t len);
uint64_t payload_sum(const uint8_t *at, size_t len);
/* The number that the payload begins with. */
uint64_t payload_job(const uint8_t *at);
/* What the sum of the job's payload must be. */
uint64_t payload_expected(uint64_t job);

/* An answer of ANSWER_BYTES, and its check: true with *ret_job when it is whole and its sum right. */
void answer_write(uint8_t at[ANSWER_BYTES], uint64_t job, uint64_t sum);
bool answer_check(const uint8_t *at, size_t len, uint64_t *ret_job);

#endif
