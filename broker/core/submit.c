/* broker/core/submit.c: SUBMIT: new jobs, all that have room. */
#include "broker/core/state.h"

#define RETRY_MS 1000

struct refs {
    struct ps_part_lease_ref at[PS_ENGINES_MAX];
    size_t n;
};

static void note(struct refs *refs, uint64_t boot, uint64_t job)
{
    if (refs->n < PS_ENGINES_MAX) /* the codec lets no more in */
        refs->at[refs->n++] = (struct ps_part_lease_ref){.boot = boot, .job = job};
}

/* Bytes that are all of the sample; any others are of no use, workers fetch it then. */
static struct ps_bytes usable(const struct ps_msg_SUBMIT *msg)
{
    return msg->data.len == msg->size ? msg->data : (struct ps_bytes){NULL, 0};
}

static bool over_budget(const struct ps_core *core, uint32_t sample, struct ps_bytes data)
{
    return data.len && !(sample && ps_sample_at(core, sample)->data) &&
           core->inlines.used_bytes + ps_block_rounded(data.len) > core->options.inline_budget_bytes;
}

static uint16_t in_seconds(uint32_t ms)
{
    return (uint16_t)PS_MIN((ms + 999ull) / 1000, (uint64_t)UINT16_MAX);
}

static uint32_t in_run_units(uint32_t ms)
{
    uint32_t most = PS_LEASE_MAX_MS >> PS_RUN_SHIFT;

    static_assert(PS_LEASE_MAX_MS >> PS_RUN_SHIFT < 1u << 22, "fits into a job");
    return PS_MIN(ms / (1u << PS_RUN_SHIFT) + (ms % (1u << PS_RUN_SHIFT) != 0), most);
}

/* A new job, counted and in its sample's list; 0 when there is no room. */
static uint32_t make_job(struct ps_core *core, const struct ps_msg_SUBMIT *msg, const struct ps_part_ask *ask,
                         uint32_t sample)
{
    uint16_t engine = ps_engine_get(core, ask->engine);
    uint32_t owner = engine ? ps_owner_get(core, msg->owner) : 0,
             number = owner ? ps_pool_take(&core->jobs) : 0;
    struct ps_job *job;

    if (number) {
        job = ps_job_at(core, number);
        *job = (struct ps_job){.id = ask->job,
                               .sample = sample,
                               .owner = (uint16_t)owner,
                               .time_s = in_seconds(msg->deadline_ms),
                               .since = ps_core_units(core),
                               .run = in_run_units(ask->run_ms),
                               .engine = (uint8_t)engine,
                               .band = PS_MIN(msg->band, (uint32_t)PS_BAND_IDLE) & 3u,
                               .lost = (uint8_t)PS_MIN(ask->lost, (uint32_t)UINT8_MAX)};
        if (ps_job_enter(core, number))
            number = 0;
    }
    if (owner)
        ps_owner_release(core, owner); /* if nothing came of it */
    return number;
}

static bool take(struct ps_core *core, const struct ps_msg_SUBMIT *msg, const struct ps_part_ask *ask,
                 uint32_t *sample)
{
    struct ps_bytes data = usable(msg);
    uint32_t job;

    if (core->jobs.used_n >= core->options.jobs_max || over_budget(core, *sample, data))
        return false;
    if (!*sample)
        *sample = ps_sample_add(core, msg->sha256, msg->size);
    if (!*sample)
        return false;
    job = make_job(core, msg, ask, *sample);
    if (!job)
        return false;
    ps_sample_type(core, ps_sample_at(core, *sample), msg->type);
    if (data.len && ps_sample_at(core, *sample)->size == data.len)
        (void)ps_sample_keep(core, ps_sample_at(core, *sample),
                             data); /* without memory for it, workers fetch it */
    if (ps_queue_put(core, job)) {
        ps_core_fail(core);
        return false;
    }
    ps_strays_adopt(core, job);
    if (ps_job_at(core, job)->state == PS_JOB_QUEUED)
        (void)ps_life_is_over(core, job, NULL);
    return true;
}

void ps_submit(struct ps_core *core, uint32_t session, const struct ps_msg_SUBMIT *msg)
{
    struct ps_list_ask cursor = msg->jobs;
    struct ps_part_ask ask;
    struct refs refused;
    uint32_t sample = ps_sample_find(core, msg->sha256);

    refused.n = 0;
    while (ps_ask_next(&cursor, &ask) && !core->failed) {
        if (ps_job_find(core, ask.job) || take(core, msg, &ask, &sample))
            ps_session_accepted(core, session,
                                (struct ps_part_lease_ref){.boot = core->options.boot, .job = ask.job});
        else
            note(&refused, core->options.boot, ask.job);
    }
    if (sample)
        ps_sample_release(core, sample); /* if nothing came of it */
    if (refused.n)
        ps_core_send(core, session,
                     PS_MSG(BUSY, .retry_ms = RETRY_MS, .jobs = {.items = refused.at, .n = refused.n}));
}
