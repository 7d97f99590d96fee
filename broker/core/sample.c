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
    uint32_t number = size <= PS_SAMPLE_MAX ? ps_pool_take(&core->samples) : 0;
    struct ps_sample *sample;

    if (!number)
        return 0;
    sample = ps_sample_at(core, number);
    memcpy(sample->sha256, sha256, PS_SHA256_BYTES);
    sample->size = (uint32_t)size;
    if (ps_index_put(&core->sample_by_sha, number)) {
        ps_pool_give(&core->samples, number);
        return 0;
    }
    return number;
}

void ps_sample_type(struct ps_core *core, struct ps_sample *sample, struct ps_bytes type)
{
    if (type.len)
        sample->type = ps_names_put(&core->types, type) & 0x7fff; /* 0, unknown, when the table is full */
}

struct ps_bytes ps_sample_type_text(const struct ps_core *core, const struct ps_sample *sample)
{
    return ps_names_text(&core->types, sample->type);
}

struct ps_bytes ps_sample_data(const struct ps_core *core, const struct ps_sample *sample)
{
    return (struct ps_bytes){ps_block_at(&core->inlines, sample->data), sample->data ? sample->size : 0};
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
    ps_block_give(&core->inlines, sample->data, sample->size);
    sample->data = 0;
}

static void leave_idle(struct ps_core *core, struct ps_sample *sample)
{
    if (!sample->idle)
        return;
    if (sample->older)
        ps_sample_at(core, sample->older)->newer = sample->newer;
    else
        core->idle_first = sample->newer;
    if (sample->newer)
        ps_sample_at(core, sample->newer)->older = sample->older;
    else
        core->idle_last = sample->older;
    sample->older = sample->newer = 0;
    sample->idle = 0;
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

static void enter_idle(struct ps_core *core, uint32_t number)
{
    struct ps_sample *sample = ps_sample_at(core, number);

    sample->older = core->idle_last;
    sample->newer = 0;
    if (core->idle_last)
        ps_sample_at(core, core->idle_last)->newer = number;
    else
        core->idle_first = number;
    core->idle_last = number;
    sample->idle = 1;
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

/* The first one's sibling_prev is the last one. */
void ps_sample_join(struct ps_core *core, uint32_t number, uint32_t job_number)
{
    struct ps_sample *sample = ps_sample_at(core, number);
    struct ps_job *job = ps_job_at(core, job_number), *first;

    leave_idle(core, sample);
    job->sample = number;
    job->sibling_next = 0;
    if (!sample->first)
        sample->first = job_number;
    first = ps_job_at(core, sample->first);
    job->sibling_prev = first == job ? job_number : first->sibling_prev;
    if (first != job)
        ps_job_at(core, first->sibling_prev)->sibling_next = job_number;
    first->sibling_prev = job_number;
}

void ps_sample_leave(struct ps_core *core, uint32_t job_number)
{
    const struct ps_job *job = ps_job_at(core, job_number);
    struct ps_sample *sample = ps_sample_at(core, job->sample);
    uint32_t next = job->sibling_next, prev = job->sibling_prev;

    if (sample->first == job_number)
        sample->first = next;
    else
        ps_job_at(core, prev)->sibling_next = next;
    if (next)
        ps_job_at(core, next)->sibling_prev = prev;
    else if (sample->first)
        ps_job_at(core, sample->first)->sibling_prev = prev;
    ps_sample_release(core, job->sample);
}

void ps_sample_need(struct ps_core *core, struct ps_sample *sample, bool more)
{
    sample->need_n += more ? 1 : (uint32_t)-1;
    if (!sample->need_n)
        drop_data(core, sample);
}

void ps_sample_sent(struct ps_sample *sample, uint32_t session)
{
    if (sample->holder != session) {
        sample->holder = session;
        sample->holder_n = 0;
    }
    sample->holder_n++;
}

void ps_sample_done(struct ps_sample *sample, uint32_t session)
{
    if (sample->holder == session && sample->holder_n)
        sample->holder_n--;
}
