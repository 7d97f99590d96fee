#include "master/scan/post.h"

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/outcome.h"

struct ps_news ps_news_look = {.kind = PS_NEWS_LOOK};

/* The texts of a finding, gathered before they are copied into its block. */
struct texts {
    struct ps_bytes engine, label, reason, type, version, definitions, origin, worker, traits;
    struct ps_list_file files;
};

static const char *copy_text(char **at, struct ps_bytes text)
{
    char *to = *at;

    if (text.len > 0)
        memcpy(to, text.at, text.len);
    to[text.len] = '\0';
    *at += text.len + 1;
    return to;
}

/* Bytes that copies of the files take. */
static size_t files_bytes(struct ps_list_file list)
{
    size_t total = list.n * sizeof(struct ps_derived);
    struct ps_part_file file;

    while (ps_file_next(&list, &file))
        total += file.name.len + file.mime.len + 2;
    return total;
}

static void copy_files(struct ps_finding *self, char *at, struct ps_list_file list)
{
    struct ps_derived *files = (struct ps_derived *)(void *)(self + 1); /* first behind it, so aligned */
    struct ps_part_file file;

    self->files = files;
    while (ps_file_next(&list, &file)) {
        struct ps_derived *to = &files[self->files_n++];
        to->size = file.size;
        to->picture = file.picture;
        memcpy(to->sha256, file.sha256, PS_SHA256_BYTES);
        to->name = copy_text(&at, file.name);
        to->mime = copy_text(&at, file.mime);
    }
}

static struct ps_finding *finding_alloc(const struct texts *t)
{
    size_t files_n = files_bytes(t->files), texts_n = t->engine.len + t->label.len + t->reason.len +
                                                      t->type.len + t->version.len + t->definitions.len +
                                                      t->origin.len + t->worker.len + t->traits.len + 9;
    struct ps_finding *self = ps_alloc(1, sizeof(*self) + files_n + texts_n);

    if (!self)
        return NULL;
    char *at = (char *)(self + 1) + t->files.n * sizeof(struct ps_derived);
    self->bytes = sizeof(*self) + files_n + texts_n;
    self->engine = copy_text(&at, t->engine);
    self->label = copy_text(&at, t->label);
    self->reason = copy_text(&at, t->reason);
    self->type = copy_text(&at, t->type);
    self->version = copy_text(&at, t->version);
    self->definitions = copy_text(&at, t->definitions);
    self->origin = copy_text(&at, t->origin);
    self->worker = copy_text(&at, t->worker);
    self->traits = copy_text(&at, t->traits);
    self->traits_len = t->traits.len;
    copy_files(self, at, t->files);
    return self;
}

/* jsonb refuses what is not JSON and fails the whole batch with it: look before. Jansson is as strict, and
 * refuses NUL and lone surrogates, which jsonb can't hold either. */
static bool is_object(struct ps_bytes json)
{
    json_t *value = json_loadb((const char *)json.at, json.len, 0, NULL);
    bool object = json_is_object(value);

    json_decref(value);
    return object;
}

static int result_new(struct ps_finding **ret_self, const struct ps_msg_RESULT *result, bool *ret_bad_traits)
{
    struct texts texts = {
        .engine = result->engine,
        .label = result->label,
        .reason = result->reason,
        .type = result->type,
        .version = result->version,
        .definitions = result->definitions,
        .origin = result->origin,
        .worker = result->worker,
        .traits = result->traits,
        .files = result->files,
    };

    *ret_bad_traits = result->traits.len > 0 && !is_object(result->traits);
    if (*ret_bad_traits)
        texts.traits = (struct ps_bytes){0};
    if (result->job == 0 || !ps_outcome_valid(result->outcome))
        return PS_ERR_INVALID;
    struct ps_finding *self = finding_alloc(&texts);
    if (!self)
        return PS_ERR_NOMEM;

    self->kind = PS_FINDING_RESULT;
    self->job = result->job;
    self->outcome = result->outcome;
    self->counted = result->counted;
    self->wait_us = result->wait_us;
    self->run_us = result->run_us;
    self->cpu_us = result->cpu_us;
    *ret_self = self;
    return 0;
}

static int decided_new(struct ps_finding **ret_self, const struct ps_msg_DECIDED *decided)
{
    struct texts texts = {.engine = decided->engine, .reason = decided->reason};

    if (decided->job == 0 || !ps_outcome_valid(decided->outcome))
        return PS_ERR_INVALID;
    struct ps_finding *self = finding_alloc(&texts);
    if (!self)
        return PS_ERR_NOMEM;

    self->kind = PS_FINDING_DECIDED;
    self->job = decided->job;
    self->outcome = decided->outcome;
    *ret_self = self;
    return 0;
}

static int lost_new(struct ps_finding **ret_self, const struct ps_msg_LOST *lost)
{
    struct texts texts = {.engine = lost->engine, .worker = lost->worker, .reason = lost->reason};

    if (lost->job == 0)
        return PS_ERR_INVALID;
    struct ps_finding *self = finding_alloc(&texts);
    if (!self)
        return PS_ERR_NOMEM;

    self->kind = PS_FINDING_LOST;
    self->job = lost->job;
    self->lost = lost->lost;
    *ret_self = self;
    return 0;
}

int ps_finding_new(struct ps_finding **ret_self, const struct ps_msg *msg, uint64_t epoch,
                   bool *ret_bad_traits)
{
    int r;

    *ret_bad_traits = false;
    switch (msg->id) {
    case PS_MSG_RESULT:
        r = result_new(ret_self, &msg->RESULT, ret_bad_traits);
        break;
    case PS_MSG_DECIDED:
        r = decided_new(ret_self, &msg->DECIDED);
        break;
    case PS_MSG_LOST:
        r = lost_new(ret_self, &msg->LOST);
        break;
    default:
        r = PS_ERR_INVALID;
    }
    if (r == 0)
        (*ret_self)->epoch = epoch;
    return r;
}

void ps_finding_free(void *self)
{
    free(self);
}

struct ps_news *ps_news_new(enum ps_news_kind kind, const uint64_t *jobs, size_t jobs_n)
{
    struct ps_news *self = ps_alloc(1, sizeof(*self) + jobs_n * sizeof(self->jobs[0]));

    if (!self)
        return NULL;
    self->kind = kind;
    self->jobs_n = (uint32_t)jobs_n;
    if (jobs)
        memcpy(self->jobs, jobs, jobs_n * sizeof(self->jobs[0]));
    return self;
}

void ps_news_free(void *self)
{
    struct ps_news *news = self;

    if (!news || news == &ps_news_look)
        return;
    free(news->limits);
    free(news);
}

struct ps_order *ps_order_new(size_t asks_n)
{
    struct ps_order *self = ps_alloc(1, sizeof(*self) + asks_n * sizeof(self->asks[0]));

    if (self)
        self->asks_n = asks_n;
    return self;
}

void ps_order_free(void *self)
{
    struct ps_order *order = self;

    if (order)
        free(order->data);
    free(order);
}
