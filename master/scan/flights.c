#include "master/scan/flights.h"

#include <uthash.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/limits.h"

enum state { SENT, ACCEPTED, AGAIN };

struct flight {
    UT_hash_handle hh;
    uint64_t scan;
    uint64_t open[PS_JOB_ORDINALS / 64]; /* a bit for each unsettled job */
    uint64_t sent_ms;
    uint16_t jobs_n; /* bits set in open */
    uint8_t band;
    uint8_t state;
    struct flight *prev, *next; /* in the list of its state; ACCEPTED is in none */
};

struct ps_flights {
    struct flight *by_scan;
    struct flight *sent;              /* SENT, oldest first */
    struct flight *again[PS_BANDS_N]; /* AGAIN, oldest first */
    size_t again_n[PS_BANDS_N];
    size_t jobs_n[PS_BANDS_N];
};

int ps_flights_new(struct ps_flights **ret_self)
{
    struct ps_flights *self = PS_NEW(struct ps_flights);

    if (!self)
        return PS_ERR_NOMEM;
    *ret_self = self;
    return 0;
}

static struct flight *find(const struct ps_flights *self, uint64_t scan)
{
    struct flight *flight;

    HASH_FIND(hh, self->by_scan, &scan, sizeof(scan), flight);
    return flight;
}

static void leave_list(struct ps_flights *self, struct flight *f)
{
    if (f->state == SENT)
        DL_DELETE(self->sent, f);
    if (f->state == AGAIN) {
        DL_DELETE(self->again[f->band], f);
        self->again_n[f->band]--;
    }
}

static void enter_state(struct ps_flights *self, struct flight *f, enum state state)
{
    f->state = (uint8_t)state;
    if (state == SENT)
        DL_APPEND(self->sent, f);
    if (state == AGAIN) {
        DL_APPEND(self->again[f->band], f);
        self->again_n[f->band]++;
    }
}

static void end(struct ps_flights *self, struct flight *f)
{
    leave_list(self, f);
    self->jobs_n[f->band] -= f->jobs_n;
    HASH_DEL(self->by_scan, f);
    free(f);
}

void ps_flights_clear(struct ps_flights *self)
{
    struct flight *flight, *next;

    HASH_ITER (hh, self->by_scan, flight, next)
        end(self, flight);
}

void ps_flights_free(struct ps_flights **self_p)
{
    struct ps_flights *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_flights_clear(self);
    free(self);
}

static uint64_t *word_of(struct flight *f, uint64_t job)
{
    return &f->open[job % PS_JOB_ORDINALS / 64];
}

static uint64_t bit_of(uint64_t job)
{
    return UINT64_C(1) << (job % 64);
}

static void set_jobs(struct ps_flights *self, struct flight *f, const uint64_t *jobs, size_t jobs_n)
{
    self->jobs_n[f->band] -= f->jobs_n;
    memset(f->open, 0, sizeof(f->open));
    for (size_t i = 0; i < jobs_n; i++)
        *word_of(f, jobs[i]) |= bit_of(jobs[i]);
    f->jobs_n = 0;
    for (size_t i = 0; i < PS_ARRAY_N(f->open); i++)
        f->jobs_n = (uint16_t)(f->jobs_n + __builtin_popcountll(f->open[i]));
    self->jobs_n[f->band] += f->jobs_n;
}

int ps_flights_send(struct ps_flights *self, uint64_t scan, unsigned band, const uint64_t *jobs,
                    size_t jobs_n, uint64_t now_ms)
{
    struct flight *f = find(self, scan);

    assert(band < PS_BANDS_N && jobs_n > 0);
    if (f) {
        leave_list(self, f);
    } else {
        f = PS_NEW(struct flight);
        if (!f)
            return PS_ERR_NOMEM;
        f->scan = scan;
        f->band = (uint8_t)band;
        HASH_ADD(hh, self->by_scan, scan, sizeof(f->scan), f);
    }
    set_jobs(self, f, jobs, jobs_n);
    f->sent_ms = now_ms;
    enter_state(self, f, SENT);
    return 0;
}

bool ps_flights_has(const struct ps_flights *self, uint64_t scan)
{
    return find(self, scan) != NULL;
}

void ps_flights_accept(struct ps_flights *self, uint64_t job)
{
    struct flight *f = find(self, job / PS_JOB_ORDINALS);

    /* One that was refused in part stays AGAIN: it has to be sent once more. */
    if (!f || f->state != SENT)
        return;
    leave_list(self, f);
    enter_state(self, f, ACCEPTED);
}

static void make_again(struct ps_flights *self, struct flight *f)
{
    if (f->state == AGAIN)
        return;
    leave_list(self, f);
    enter_state(self, f, AGAIN);
}

void ps_flights_refuse(struct ps_flights *self, uint64_t job)
{
    struct flight *f = find(self, job / PS_JOB_ORDINALS);

    if (f)
        make_again(self, f);
}

bool ps_flights_settle(struct ps_flights *self, uint64_t job)
{
    struct flight *f = find(self, job / PS_JOB_ORDINALS);

    if (!f || !(*word_of(f, job) & bit_of(job)))
        return false;
    *word_of(f, job) &= ~bit_of(job);
    f->jobs_n--;
    self->jobs_n[f->band]--;
    if (f->jobs_n > 0)
        return false;
    end(self, f);
    return true;
}

void ps_flights_end(struct ps_flights *self, uint64_t scan)
{
    struct flight *f = find(self, scan);

    if (f)
        end(self, f);
}

size_t ps_flights_overdue(struct ps_flights *self, uint64_t sent_before_ms)
{
    size_t n = 0;

    for (; self->sent && self->sent->sent_ms < sent_before_ms; n++)
        make_again(self, self->sent);
    return n;
}

size_t ps_flights_again(const struct ps_flights *self, unsigned band, uint64_t *ret_scans, size_t max)
{
    struct flight *f;
    size_t n = 0;

    DL_FOREACH (self->again[band], f) {
        if (n == max)
            break;
        ret_scans[n++] = f->scan;
    }
    return n;
}

size_t ps_flights_again_n(const struct ps_flights *self, unsigned band)
{
    return self->again_n[band];
}

size_t ps_flights_jobs_n(const struct ps_flights *self, unsigned band)
{
    return self->jobs_n[band];
}

size_t ps_flights_n(const struct ps_flights *self)
{
    return HASH_COUNT(self->by_scan);
}
