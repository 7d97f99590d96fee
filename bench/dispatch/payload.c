#include "bench/dispatch/payload.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#define FACTOR  0x9e3779b97f4a7c15u
#define FILLING 'a'

static _Alignas(64) uint8_t noise[PAYLOAD_PIECE];
static size_t size_bytes;
/* Of a whole piece and of the last one: the sum with a job number 0, and what the number is multiplied by. */
static uint64_t plain[2], power[2];

uint64_t payload_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static uint64_t polynomial(const uint8_t *at, size_t len)
{
    uint64_t sum = 0;

    for (size_t i = 0; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t))
        sum = sum * FACTOR + word_at(at + i);
    return sum;
}

static size_t last_piece(void)
{
    return size_bytes % PAYLOAD_PIECE ? size_bytes % PAYLOAD_PIECE : PAYLOAD_PIECE;
}

void payload_init(size_t size)
{
    const size_t lengths[2] = {PAYLOAD_PIECE, size % PAYLOAD_PIECE ? size % PAYLOAD_PIECE : PAYLOAD_PIECE};

    assert(size >= 8 && size <= PAYLOAD_MAX && size % 8 == 0);
    size_bytes = size;
    for (size_t i = 0; i < PAYLOAD_PIECE; i += sizeof(uint64_t)) {
        uint64_t word = i ? payload_mix(i) : 0;

        memcpy(noise + i, &word, sizeof(word));
    }
    for (size_t i = 0; i < PS_ARRAY_N(lengths); i++) {
        plain[i] = polynomial(noise, lengths[i]);
        power[i] = 1;
        for (size_t n = 8; n < lengths[i]; n += 8)
            power[i] *= FACTOR;
    }
}

size_t payload_size(void)
{
    return size_bytes;
}

const uint8_t *payload_piece(uint64_t job, size_t offset, size_t *ret_len)
{
    memcpy(noise, &job, sizeof(job));
    *ret_len = PS_MIN((size_t)PAYLOAD_PIECE, size_bytes - offset);
    return noise;
}

void payload_write(uint8_t *at, uint64_t job)
{
    for (size_t offset = 0, len; offset < size_bytes; offset += len) {
        const uint8_t *piece = payload_piece(job, offset, &len);

        memcpy(at + offset, piece, len);
    }
}

uint64_t payload_sum_piece(uint64_t sum, const uint8_t *at, size_t len)
{
    return payload_mix(sum ^ polynomial(at, len));
}

uint64_t payload_sum(const uint8_t *at, size_t len)
{
    uint64_t sum = 0;

    for (size_t offset = 0; offset < len; offset += PAYLOAD_PIECE)
        sum = payload_sum_piece(sum, at + offset, PS_MIN((size_t)PAYLOAD_PIECE, len - offset));
    return sum;
}

uint64_t payload_job(const uint8_t *at)
{
    return word_at(at);
}

uint64_t payload_expected(uint64_t job)
{
    size_t pieces = (size_bytes + PAYLOAD_PIECE - 1) / PAYLOAD_PIECE;
    uint64_t sum = 0;

    for (size_t i = 0; i < pieces; i++) {
        bool last = i + 1 == pieces && last_piece() != PAYLOAD_PIECE;

        sum = payload_mix(sum ^ (plain[last] + job * power[last]));
    }
    return sum;
}

void answer_write(uint8_t at[ANSWER_BYTES], uint64_t job, uint64_t sum)
{
    memcpy(at, &job, sizeof(job));
    memcpy(at + sizeof(job), &sum, sizeof(sum));
    memset(at + 2 * sizeof(uint64_t), FILLING, ANSWER_BYTES - 2 * sizeof(uint64_t));
}

bool answer_check(const uint8_t *at, size_t len, uint64_t *ret_job)
{
    uint8_t right[ANSWER_BYTES];
    uint64_t job;

    if (len != ANSWER_BYTES)
        return false;
    job = word_at(at);
    answer_write(right, job, payload_expected(job));
    *ret_job = job;
    return memcmp(at, right, ANSWER_BYTES) == 0;
}
