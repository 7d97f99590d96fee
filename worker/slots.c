#include "worker/slots.h"

#include <stdio.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "worker/types.h"

struct ps_task {
    uint8_t sha256[PS_SHA256_BYTES]; /* key */
    UT_hash_handle hh;
    struct ps_sample *sample;   /* pinned once */
    struct ps_job *jobs;        /* all of them, typing runs and dropped ones too */
    struct ps_job *typist;      /* the job that will tell the type; NULL: none */
    bool typeless;              /* the type engine had no answer, or went away: it is not waited for */
    char type[PS_NAME_MAX + 1]; /* what the broker knows; "" for nothing */
};

struct ps_slots {
    struct ps_slots_io io;
    struct ps_job *by_job;  /* leases */
    struct ps_task *by_sha; /* samples in work */
    struct ps_heap queue;   /* QUEUED */
    size_t limit_n;         /* leases */
    uint64_t arrivals;      /* counter: ties in the heap */
    unsigned slots_n;
    unsigned running_n;    /* busy slots */
    size_t held_n;         /* 0: no job is HELD; else there may be some */
    bool alone;            /* the one that runs, runs alone */
    struct ps_job *slot[]; /* slots_n */
};

/* ---- ends ---- */

static bool in_slot(const struct ps_job *job)
{
    return job->state == PS_JOB_RUNNING || job->state == PS_JOB_DROPPED;
}

/* The task stays, even without jobs: the caller tends it. A typist that leaves takes the promise of a type along. */
static void drop(struct ps_slots *self, struct ps_job *job)
{
    struct ps_task *task = job->task;

    ps_heap_remove(&self->queue, &job->node);
    if (!job->typing && job->state != PS_JOB_DROPPED)
        HASH_DEL(self->by_job, job);
    DL_DELETE(task->jobs, job);
    if (task->typist == job)
        task->typist = NULL;
    free(job);
}

static void settle(struct ps_slots *self, struct ps_job *job, enum ps_outcome outcome, const char *reason)
{
    if (!job->typing)
        self->io.settle(self->io.context, job, outcome, reason);
    drop(self, job);
}

static uint64_t key_of(const struct ps_job *job)
{
    return job->arrived_us + (uint64_t)job->band * PS_JOB_BAND_MS * 1000;
}

/* Without memory for the queue the lease is dropped: it ends at the broker. */
static void queue(struct ps_slots *self, struct ps_job *job)
{
    job->state = PS_JOB_QUEUED;
    if (ps_heap_put(&self->queue, &job->node, key_of(job), self->arrivals++))
        drop(self, job);
}

/* ---- types ---- */

static const char *type_of(const struct ps_task *task)
{
    return task->type[0] ? task->type : ps_sample_type(task->sample);
}

static struct ps_job *new_job(struct ps_task *task, const struct ps_job_ask *ask, uint64_t now_us)
{
    struct ps_job *job = PS_NEW(struct ps_job);

    if (!job)
        return NULL;
    job->boot = ask->boot;
    job->seq = ask->seq;
    job->job = ask->job;
    job->engine = ask->engine;
    job->run_ms = ask->run_ms;
    job->band = ask->band;
    job->alone = ask->alone;
    job->arrived_us = now_us;
    job->sample = task->sample;
    job->task = task;
    job->node.pos = PS_HEAP_NONE;
    DL_APPEND(task->jobs, job);
    return job;
}

static void find_typist(struct ps_slots *self, struct ps_task *task, const struct ps_job *waiter,
                        unsigned typer)
{
    struct ps_job *job;

    DL_FOREACH (task->jobs, job) {
        if (job->engine == typer && job->state != PS_JOB_DROPPED && job->state != PS_JOB_PARKED) {
            task->typist = job;
            return;
        }
    }

    struct ps_job_ask ask = {.engine = typer, .run_ms = PS_JOB_TYPING_MS, .band = waiter->band};
    job = new_job(task, &ask, waiter->arrived_us);
    if (!job)
        return;
    job->typing = true;
    task->typist = job;
    queue(self, job);
}

/* True when the job has to wait for a type that somebody will tell. */
static bool await_type(struct ps_slots *self, struct ps_job *job)
{
    struct ps_task *task = job->task;
    int typer = self->io.typer(self->io.context);

    if (typer < 0 || (unsigned)typer == job->engine || task->typeless)
        return false;

    job->state = PS_JOB_TYPE;
    if (!task->typist)
        find_typist(self, task, job, (unsigned)typer);
    return task->typist != NULL;
}

/* The sample is here: to the queue, to the wait for its type, or to the end when that does not match. */
static void advance(struct ps_slots *self, struct ps_job *job)
{
    const char *globs = self->io.types(self->io.context, job->engine);
    const char *type = type_of(job->task);

    if (globs[0] && type[0] && !ps_types_match(globs, type)) {
        char reason[PS_TEXT_MAX];
        (void)snprintf(reason, sizeof(reason), "it does not take %s",
                       type); /* a type is shorter than a reason */
        settle(self, job, PS_OUTCOME_TYPE_UNSUPPORTED, reason);
        return;
    }
    if (globs[0] && !type[0] && await_type(self, job))
        return;
    queue(self, job);
}

/* ---- tasks ---- */

static void fail_all(struct ps_slots *self, struct ps_task *task)
{
    struct ps_job *job, *next;

    DL_FOREACH_SAFE (task->jobs, job, next)
        if (!in_slot(job))
            settle(self, job, PS_OUTCOME_FAILURE, ps_sample_reason(task->sample));
}

/* Moves every job of the task on that can move, and ends the task after its last job. Call it after whatever changed
 * for it. A typing run that queue() drops for want of memory leaves its waiters for the next call. */
static void tend(struct ps_slots *self, struct ps_task *task)
{
    struct ps_job *job, *next;

    if (ps_sample_state(task->sample) == PS_SAMPLE_FAILED)
        fail_all(self, task);
    if (ps_sample_state(task->sample) == PS_SAMPLE_READY) {
        DL_FOREACH_SAFE (task->jobs, job, next)
            if (job->state == PS_JOB_BYTES || job->state == PS_JOB_TYPE)
                advance(self, job);
    }
    if (task->jobs)
        return;

    HASH_DEL(self->by_sha, task);
    self->io.unpin(self->io.context, &task->sample);
    free(task);
}

static struct ps_task *find_task(const struct ps_slots *self, const struct ps_sample *sample)
{
    struct ps_task *task;

    HASH_FIND(hh, self->by_sha, ps_sample_sha256(sample), PS_SHA256_BYTES, task);
    return task;
}

/* Takes the pin, or gives it back when there is one already. */
static struct ps_task *enter_task(struct ps_slots *self, struct ps_sample **sample_p)
{
    struct ps_task *task = find_task(self, *sample_p);

    if (task) {
        self->io.unpin(self->io.context, sample_p);
        return task;
    }

    task = PS_NEW(struct ps_task);
    if (!task) {
        self->io.unpin(self->io.context, sample_p);
        return NULL;
    }
    memcpy(task->sha256, ps_sample_sha256(*sample_p), PS_SHA256_BYTES);
    task->sample = PS_TAKE(*sample_p);
    HASH_ADD(hh, self->by_sha, sha256, PS_SHA256_BYTES, task);
    return task;
}

static struct ps_job *find_job(const struct ps_slots *self, uint64_t id)
{
    struct ps_job *job;

    HASH_FIND(hh, self->by_job, &id, sizeof(id), job);
    return job;
}

bool ps_slots_rebind(struct ps_slots *self, uint64_t id, uint64_t boot, uint64_t seq)
{
    struct ps_job *job = find_job(self, id);

    if (!job)
        return false;
    job->boot = boot;
    job->seq = seq;
    return true;
}

static void learn_type(struct ps_task *task, struct ps_bytes type)
{
    if (type.len == 0 || type.len > PS_NAME_MAX)
        return;
    memcpy(task->type, type.at, type.len);
    task->type[type.len] = '\0';
}

int ps_slots_add(struct ps_slots *self, struct ps_sample **sample_p, struct ps_bytes type,
                 const struct ps_job_ask *asks, size_t n, uint64_t now_us, size_t *ret_taken)
{
    struct ps_task *task = enter_task(self, sample_p);
    size_t taken = 0;

    if (!task)
        return PS_ERR_NOMEM;
    learn_type(task, type);
    for (; taken < n && HASH_COUNT(self->by_job) < self->limit_n; taken++) {
        const struct ps_job_ask *ask = &asks[taken];
        if (ps_slots_rebind(self, ask->job, ask->boot, ask->seq))
            continue;
        struct ps_job *job = new_job(task, ask, now_us);
        if (!job)
            break;
        HASH_ADD(hh, self->by_job, job, sizeof(job->job), job);
    }
    tend(self, task);
    *ret_taken = taken;
    return 0;
}

void ps_slots_sample(struct ps_slots *self, const struct ps_sample *sample)
{
    struct ps_task *task = find_task(self, sample);

    if (task)
        tend(self, task);
}

void ps_slots_engine(struct ps_slots *self, unsigned engine)
{
    struct ps_job *job, *next;

    HASH_ITER (hh, self->by_job, job, next)
        if ((job->state == PS_JOB_PARKED || job->state == PS_JOB_HELD) && job->engine == engine)
            queue(self, job);
}

/* ---- slots ---- */

/* A slot where a child of that engine idles saves a fork. */
static unsigned choose_slot(const struct ps_slots *self, unsigned engine)
{
    unsigned any = self->slots_n;

    for (unsigned i = 0; i < self->slots_n; i++) {
        if (self->slot[i])
            continue;
        if (self->io.warm(self->io.context, engine, i))
            return i;
        if (any == self->slots_n)
            any = i;
    }
    return any;
}

/* Nobody waits for a type that the engine may never tell. */
static void engine_away(struct ps_slots *self, struct ps_job *job)
{
    struct ps_task *task = job->task;

    if (task->typist == job) {
        task->typist = NULL;
        task->typeless = true;
    }
    if (job->starts > 0 && !job->typing)
        job->state = PS_JOB_PARKED;
    else
        settle(self, job, PS_OUTCOME_CANCELLED, "the engine is not available at this worker now");
    tend(self, task);
}

static void start(struct ps_slots *self, struct ps_job *job, uint64_t now_us)
{
    struct ps_task *task = job->task;
    unsigned slot = choose_slot(self, job->engine);

    ps_heap_remove(&self->queue, &job->node);
    int error = self->io.run(self->io.context, job, slot);
    if (error == PS_ERR_UNAVAILABLE) {
        engine_away(self, job);
        return;
    }
    if (error) {
        char reason[PS_TEXT_MAX];
        (void)snprintf(reason, sizeof(reason), "it could not be started: %s", ps_err_text(error));
        settle(self, job, PS_OUTCOME_FAILURE, reason);
        tend(self, task);
        return;
    }

    job->state = PS_JOB_RUNNING;
    job->slot = slot;
    job->starts++;
    job->started_us = now_us;
    self->slot[slot] = job;
    self->running_n++;
    self->alone = job->alone;
}

/* Out of others' way until there is room. */
static void hold(struct ps_slots *self, struct ps_job *job)
{
    ps_heap_remove(&self->queue, &job->node);
    job->state = PS_JOB_HELD;
    self->held_n++;
}

/* One job of the engine has ended: its held ones queue again, and those that find no room are held again. */
static void release(struct ps_slots *self, unsigned engine)
{
    if (self->held_n == 0)
        return;
    self->held_n = 0; /* counted anew: it says no more than whether the walk is worth while */
    for (struct ps_job *job = self->by_job; job; job = job->hh.next)
        self->held_n += job->state == PS_JOB_HELD && job->engine != engine;
    ps_slots_engine(self, engine);
}

void ps_slots_step(struct ps_slots *self, uint64_t now_us)
{
    struct ps_heap_node *node;

    while (self->running_n < self->slots_n && (node = ps_heap_first(&self->queue))) {
        struct ps_job *job = PS_CONTAINER_OF(node, struct ps_job, node);
        if (self->running_n > 0 && (self->alone || job->alone))
            return;
        if (self->io.has_room(self->io.context, job->engine))
            start(self, job, now_us);
        else
            hold(self, job);
    }
}

/* A typist without an answer is not waited for again, on this occasion. */
static void learn_answer(const struct ps_job *job, const char *type)
{
    if (type && type[0])
        ps_sample_set_type(job->sample, type);
    else if (job->task->typist == job)
        job->task->typeless = true;
}

void ps_slots_finish(struct ps_slots *self, unsigned slot, const struct ps_job_end *end)
{
    struct ps_job *job = self->slot[slot];

    if (!job)
        return;
    struct ps_task *task = job->task;
    self->slot[slot] = NULL;
    self->running_n--;
    self->alone = false;
    unsigned engine = job->engine;

    if (job->state == PS_JOB_DROPPED) {
        drop(self, job);
    } else if (end->again && job->starts < PS_JOB_STARTS_MAX) {
        queue(self, job);
    } else {
        learn_answer(job, end->type);
        if (!job->typing)
            self->io.report(self->io.context, job, end->finished);
        drop(self, job);
    }
    tend(self, task);
    release(self, engine);
}

bool ps_slots_cancel(struct ps_slots *self, uint64_t boot, uint64_t seq, uint64_t id)
{
    struct ps_job *job = find_job(self, id);

    if (!job || (boot != 0 && (job->boot != boot || job->seq != seq)))
        return false;

    struct ps_task *task = job->task;
    if (job->state == PS_JOB_RUNNING) {
        HASH_DEL(self->by_job, job);
        job->state = PS_JOB_DROPPED;
        if (task->typist == job)
            task->typist = NULL;
        self->io.kill(self->io.context, job);
    } else {
        drop(self, job);
    }
    tend(self, task);
    return true;
}

/* What leaves can move others of its task, so the walk starts anew after each. */
static bool give_back_first(struct ps_slots *self, const char *reason)
{
    struct ps_job *job, *next;

    HASH_ITER (hh, self->by_job, job, next) {
        if (job->state == PS_JOB_RUNNING)
            continue;
        struct ps_task *task = job->task;
        settle(self, job, PS_OUTCOME_CANCELLED, reason);
        tend(self, task);
        return true;
    }
    return false;
}

size_t ps_slots_give_back(struct ps_slots *self, const char *reason)
{
    size_t n = 0;

    while (give_back_first(self, reason))
        n++;
    return n;
}

const char *ps_slots_type(const struct ps_job *job)
{
    return type_of(job->task);
}

size_t ps_slots_held(const struct ps_slots *self)
{
    return HASH_COUNT(self->by_job);
}

unsigned ps_slots_running(const struct ps_slots *self)
{
    return self->running_n;
}

const struct ps_job *ps_slots_job(const struct ps_slots *self, unsigned slot)
{
    return slot < self->slots_n ? self->slot[slot] : NULL;
}

const struct ps_job *ps_slots_next(const struct ps_slots *self, const struct ps_job *last)
{
    return last ? last->hh.next : self->by_job;
}

int ps_slots_new(struct ps_slots **ret_self, unsigned slots_n, size_t limit_n, const struct ps_slots_io *io)
{
    if (slots_n == 0 || slots_n > PS_SLOTS_MAX || limit_n == 0)
        return PS_ERR_INVALID;

    struct ps_slots *self = ps_alloc(1, sizeof(*self) + slots_n * sizeof(struct ps_job *));
    if (!self)
        return PS_ERR_NOMEM;

    self->io = *io;
    self->slots_n = slots_n;
    self->limit_n = limit_n;
    ps_heap_init(&self->queue);
    *ret_self = self;
    return 0;
}

static void free_task(struct ps_slots *self, struct ps_task *task)
{
    struct ps_job *job, *next;

    DL_FOREACH_SAFE (task->jobs, job, next)
        drop(self, job);
    HASH_DEL(self->by_sha, task);
    self->io.unpin(self->io.context, &task->sample);
    free(task);
}

void ps_slots_free(struct ps_slots **self_p)
{
    struct ps_slots *self = PS_TAKE(*self_p);
    struct ps_task *task, *next;

    if (!self)
        return;
    HASH_ITER (hh, self->by_sha, task, next)
        free_task(self, task);
    ps_heap_fini(&self->queue);
    free(self);
}
