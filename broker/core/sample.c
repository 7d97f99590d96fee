#include "broker/core/state.h"

struct ps_sample *ps_sample_at(const struct ps_core *core, uint32_t sample)
{
    return ps_pool_at(&core->samples, sample);
}

uint32_t ps_sample_find(const struct ps_core *core, const uint8_t sha256[PS_SHA256_BYTES])
{
    uint64_t key;
    uint32_t sample;

    memcpy(&key, sha256, sizeof(key));
    sample = ps_index_first(&core->sample_by_sha, key);
    while (sample && memcmp(ps_sample_at(core, sample)->sha256, sha256, PS_SHA256_BYTES) != 0)
        sample = ps_index_next(&core->sample_by_sha, sample);
    return sample;
}

uint32_t ps_sample_add(struct ps_core *core, const uint8_t sha256[PS_SHA256_BYTES], uint64_t size)
{
    uint32_t number = ps_pool_take(&core->samples);
    struct ps_sample *sample;

    if (!number)
        return 0;
    sample = ps_sample_at(core, number);
    memcpy(sample->sha256, sha256, PS_SHA256_BYTES);
    sample->size = size;
    if (ps_index_put(&core->sample_by_sha, number)) {
        ps_pool_give(&core->samples, number);
        return 0;
    }
    return number;
}

void ps_sample_type(struct ps_core *core, struct ps_sample *sample, struct ps_bytes type)
{
    if (type.len)
        sample->type = ps_names_put(&core->types, type); /* 0, unknown, when the table is full */
}

struct ps_bytes ps_sample_type_text(const struct ps_core *core, const struct ps_sample *sample)
{
    return ps_names_text(&core->types, sample->type);
}

int ps_sample_keep(struct ps_core *core, struct ps_sample *sample, struct ps_bytes data)
{
    if (sample->data || !data.len)
        return 0;
    if (core->inlines.used_bytes + ps_block_rounded(data.len) > core->options.inline_budget_bytes)
        return PS_ERR_BUSY;
    sample->data = ps_block_copy(&core->inlines, data.at, data.len);
    return sample->data ? 0 : PS_ERR_NOMEM;
}

static void drop_data(struct ps_core *core, struct ps_sample *sample)
{
    ps_block_give(&core->inlines, sample->data, (size_t)sample->size);
    sample->data = NULL;
}

static void leave_idle(struct ps_core *core, struct ps_sample *sample)
{
    if (!sample->idle)
        return;
    if (sample->first)
        ps_sample_at(core, sample->first)->last = sample->last;
    else
        core->idle_first = sample->last;
    if (sample->last)
        ps_sample_at(core, sample->last)->first = sample->first;
    else
        core->idle_last = sample->first;
    sample->first = sample->last = 0;
    sample->idle = false;
    core->idle_n--;
}

static void forget(struct ps_core *core, uint32_t number)
{
    struct ps_sample *sample = ps_sample_at(core, number);

    leave_idle(core, sample);
    drop_data(core, sample);
    ps_index_remove(&core->sample_by_sha, number);
    ps_pool_give(&core->samples, number);
}

/* first is the older neighbour, last the newer one. */
static void enter_idle(struct ps_core *core, uint32_t number)
{
    struct ps_sample *sample = ps_sample_at(core, number);

    sample->first = core->idle_last;
    sample->last = 0;
    if (core->idle_last)
        ps_sample_at(core, core->idle_last)->last = number;
    else
        core->idle_first = number;
    core->idle_last = number;
    sample->idle = true;
    if (++core->idle_n > PS_SAMPLES_IDLE_MAX)
        forget(core, core->idle_first);
}

void ps_sample_release(struct ps_core *core, uint32_t number)
{
    struct ps_sample *sample = ps_sample_at(core, number);

    if (sample->idle || sample->first)
        return;
    drop_data(core, sample);
    if (sample->holder && sample->size > PS_INLINE_MAX)
        enter_idle(core, number);
    else
        forget(core, number);
}

void ps_sample_join(struct ps_core *core, uint32_t number, uint32_t job_number)
{
    struct ps_sample *sample = ps_sample_at(core, number);
    struct ps_job *job = ps_job_at(core, job_number);

    leave_idle(core, sample);
    job->sample = number;
    job->sibling_prev = sample->last;
    job->sibling_next = 0;
    if (sample->last)
        ps_job_at(core, sample->last)->sibling_next = job_number;
    else
        sample->first = job_number;
    sample->last = job_number;
}

void ps_sample_leave(struct ps_core *core, uint32_t job_number)
{
    struct ps_job *job = ps_job_at(core, job_number);
    struct ps_sample *sample = ps_sample_at(core, job->sample);

    if (job->sibling_prev)
        ps_job_at(core, job->sibling_prev)->sibling_next = job->sibling_next;
    else
        sample->first = job->sibling_next;
    if (job->sibling_next)
        ps_job_at(core, job->sibling_next)->sibling_prev = job->sibling_prev;
    else
        sample->last = job->sibling_prev;
    ps_sample_release(core, job->sample);
}

void ps_sample_need(struct ps_core *core, struct ps_sample *sample, bool more)
{
    sample->need_n += more ? 1 : (uint32_t)-1;
    if (!sample->need_n)
        drop_data(core, sample);
}

void ps_sample_sent(struct ps_sample *sample, uint64_t session)
{
    if (sample->holder != session) {
        sample->holder = session;
        sample->holder_n = 0;
    }
    sample->holder_n++;
}

void ps_sample_done(struct ps_sample *sample, uint64_t session)
{
    if (sample->holder == session && sample->holder_n)
        sample->holder_n--;
}
