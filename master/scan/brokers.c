#include "master/scan/brokers.h"

#include <assert.h>
#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"

enum state { GONE, AWAY, OPEN };

struct broker {
    enum state state;
    uint64_t passed_ms;                     /* AWAY: GONE from then on */
    uint32_t dead_ms;                       /* as it told */
    uint32_t run_ms;                        /* the longest that was given to it */
    uint64_t size;                          /* the largest sample */
    uint64_t given;                         /* the newest scan of which it was given something */
    uint64_t moved;                         /* up to this scan others have its jobs for good */
    uint8_t key[crypto_shorthash_KEYBYTES]; /* of its weights: made of its name */
};

/* An engine that is served or limited. */
struct engine {
    char name[PS_NAME_MAX + 1];
    unsigned served; /* by workers of these brokers: a bit each */
    bool limited;
    int home; /* the broker that has it, when limited; -1: none yet */
};

struct ps_brokers {
    struct broker brokers[PS_BROKERS_MAX];
    unsigned n;
    struct engine engines[PS_ENGINES_MAX];
    size_t engines_n;
    uint64_t homes_ms; /* no new home before */
    bool homes_due;    /* that time has not been told by a tick yet */
};

int ps_brokers_new(struct ps_brokers **ret_self, const char *const *names, size_t names_n)
{
    struct ps_brokers *self = PS_NEW(struct ps_brokers);

    assert(names_n > 0 && names_n <= PS_BROKERS_MAX);
    if (!self)
        return PS_ERR_NOMEM;
    self->n = (unsigned)names_n;
    for (unsigned i = 0; i < self->n; i++) {
        struct broker *b = &self->brokers[i];
        b->dead_ms = PS_BROKERS_DEAD_MS;
        b->run_ms = PS_BROKERS_RUN_MS;
        (void)crypto_generichash(b->key, sizeof(b->key), (const uint8_t *)names[i], strlen(names[i]), NULL,
                                 0); /* fails for lengths that it does not have only */
    }
    *ret_self = self;
    return 0;
}

void ps_brokers_free(struct ps_brokers **self_p)
{
    free(PS_TAKE(*self_p));
}

void ps_brokers_longest_run(struct ps_brokers *self, uint32_t run_ms)
{
    for (unsigned i = 0; i < self->n; i++)
        self->brokers[i].run_ms = run_ms;
}

/* How long what was given to it may still run once it is out of sight: it notices late, its worker notices late, and the
 * lease itself. */
static uint64_t passes_in_ms(const struct broker *b)
{
    return (uint64_t)3 * b->dead_ms + b->run_ms + PS_BROKERS_MARGIN_MS + b->size / (PS_BROKERS_RATE / 1000);
}

void ps_brokers_begin(struct ps_brokers *self, uint64_t now_ms)
{
    self->homes_ms = now_ms;
    self->homes_due = self->n > 1;
    for (unsigned i = 0; i < self->n && self->n > 1; i++) {
        struct broker *b = &self->brokers[i];
        b->given = b->moved = 0;
        self->homes_ms = PS_MAX(self->homes_ms, now_ms + passes_in_ms(b));
    }
    for (size_t i = 0; i < self->engines_n; i++)
        self->engines[i].home = -1;
}

/* NULL when the table is full. */
static struct engine *engine_of(struct ps_brokers *self, const char *name, bool add)
{
    for (size_t i = 0; i < self->engines_n; i++)
        if (strcmp(self->engines[i].name, name) == 0)
            return &self->engines[i];
    if (!add || self->engines_n == PS_ENGINES_MAX || strlen(name) > PS_NAME_MAX)
        return NULL;

    struct engine *engine = &self->engines[self->engines_n++];
    *engine = (struct engine){.home = -1};
    memcpy(engine->name, name, strlen(name) + 1);
    return engine;
}

void ps_brokers_opened(struct ps_brokers *self, unsigned broker, uint32_t dead_ms, const char *limits)
{
    struct broker *b = &self->brokers[broker];

    b->state = OPEN;
    b->dead_ms = dead_ms ? dead_ms : PS_BROKERS_DEAD_MS;
    for (; limits && *limits; limits += strlen(limits) + 1) {
        struct engine *engine = engine_of(self, limits, true);
        if (engine)
            engine->limited = true;
    }
}

void ps_brokers_closed(struct ps_brokers *self, unsigned broker, uint64_t now_ms)
{
    struct broker *b = &self->brokers[broker];

    if (b->state != OPEN)
        return;
    b->state = AWAY;
    b->passed_ms = now_ms + passes_in_ms(b);
}

bool ps_brokers_is_open(const struct ps_brokers *self, unsigned broker)
{
    return self->brokers[broker].state == OPEN;
}

bool ps_brokers_any_open(const struct ps_brokers *self)
{
    for (unsigned i = 0; i < self->n; i++)
        if (self->brokers[i].state == OPEN)
            return true;
    return false;
}

void ps_brokers_serve(struct ps_brokers *self, const char *engine, unsigned brokers_mask)
{
    struct engine *found = engine_of(self, engine, true);

    if (found)
        found->served = brokers_mask;
}

void ps_brokers_serve_none(struct ps_brokers *self)
{
    for (size_t i = 0; i < self->engines_n; i++)
        self->engines[i].served = 0;
}

static uint64_t weight(const struct broker *b, const void *key, size_t len)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t n;

    (void)crypto_shorthash(hash, key, len, b->key); /* can't fail */
    static_assert(sizeof(hash) == sizeof(n), "SipHash-2-4");
    memcpy(&n, hash, sizeof(n));
    return n;
}

/* Of the brokers in mask the one with the highest weight; -1 for none. */
static int heaviest(const struct ps_brokers *self, unsigned mask, const void *key, size_t len)
{
    uint64_t most = 0;
    int best = -1;

    for (unsigned i = 0; i < self->n; i++) {
        uint64_t w = mask & 1u << i ? weight(&self->brokers[i], key, len) : 0;
        if (mask & 1u << i && (best < 0 || w > most)) {
            most = w;
            best = (int)i;
        }
    }
    return best;
}

/* Those that are in a state, as a mask; of_scan: and did not lose the jobs of that scan to others (0: whoever). */
static unsigned in_state(const struct ps_brokers *self, enum state state, uint64_t of_scan)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < self->n; i++)
        if (self->brokers[i].state == state && (of_scan == 0 || of_scan > self->brokers[i].moved))
            mask |= 1u << i;
    return mask;
}

static unsigned prefer(unsigned mask, unsigned served)
{
    return mask & served ? mask & served : mask;
}

static int pick_home(struct ps_brokers *self, struct engine *engine, uint64_t now_ms)
{
    if (engine->home >= 0 && self->brokers[engine->home].state == GONE)
        engine->home = -1;
    if (engine->home < 0 && now_ms >= self->homes_ms)
        engine->home = heaviest(self, prefer(in_state(self, OPEN, 0), engine->served), engine->name,
                                strlen(engine->name));
    return engine->home >= 0 && self->brokers[engine->home].state == OPEN ? engine->home : -1;
}

static int pick_any(const struct ps_brokers *self, const struct engine *engine,
                    const struct ps_brokers_job *job)
{
    unsigned open = in_state(self, OPEN, job->scan), away = 0, served = engine ? engine->served : 0;

    if (!open) /* whoever is there now has to */
        open = in_state(self, OPEN, 0);
    for (unsigned i = 0; i < self->n; i++)
        if (self->brokers[i].state == AWAY && job->scan <= self->brokers[i].given &&
            job->scan > self->brokers[i].moved)
            away |= 1u << i;
    /* The one that would have it if it were there: then it may have it. It is not known who served the engine there. */
    int best = heaviest(self, prefer(open, served) | away, job->sha256, PS_SHA256_BYTES);
    return best >= 0 && self->brokers[best].state == OPEN ? best : -1;
}

int ps_brokers_pick(struct ps_brokers *self, const struct ps_brokers_job *job, uint64_t now_ms)
{
    if (self->n == 1)
        return self->brokers[0].state == OPEN ? 0 : -1;

    struct engine *engine = engine_of(self, job->engine, false);
    int picked = engine && engine->limited ? pick_home(self, engine, now_ms) : pick_any(self, engine, job);
    if (picked >= 0) {
        struct broker *b = &self->brokers[picked];
        b->given = PS_MAX(b->given, job->scan);
        b->run_ms = PS_MAX(b->run_ms, job->run_ms);
        b->size = PS_MAX(b->size, job->size);
    }
    return picked;
}

bool ps_brokers_tick(struct ps_brokers *self, uint64_t now_ms)
{
    bool more = false;

    if (self->homes_due && now_ms >= self->homes_ms) {
        self->homes_due = false;
        more = true;
    }
    for (unsigned i = 0; i < self->n && self->n > 1; i++) {
        struct broker *b = &self->brokers[i];
        if (b->state == AWAY && now_ms >= b->passed_ms) {
            b->state = GONE;
            b->moved = b->given;
            more = true;
        }
    }
    return more;
}

bool ps_brokers_hold(const struct ps_brokers *self, uint64_t now_ms)
{
    return self->n > 1 && (in_state(self, AWAY, 0) != 0 || now_ms < self->homes_ms);
}
