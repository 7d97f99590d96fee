#include "worker/host/result.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "worker/host/files.h"
#include "worker/host/packet.h"

#define MAGIC       0x72736c74u
#define TRAIT_EXTRA 8 /* bytes that quotes, colon and comma of one trait may take, and to spare */
#define KEY_GROWTH  6 /* a byte of a key is at most \u00XX in JSON */

enum stage { BEFORE_HAVE, AFTER_HAVE, AFTER_DONE };

struct ps_collect {
    uint32_t magic;
    uint64_t job;
    enum ps_engine_kind_no kind;
    enum stage stage;
    size_t packets_n, findings_n, traits_n; /* seen */
    size_t traits_bytes;                    /* upper bound of the text that traits will give */
    json_t *traits;                         /* owned; an object; NULL for none */
    enum ps_outcome worst;                  /* of the findings; 0 for none */
    bool cut;                               /* over a limit: something was dropped */
    bool last, silence_counts;              /* of DONE */
    enum ps_outcome said;                   /* outcome of DONE */
    uint64_t run_us, cpu_us;                /* of DONE */
    const char *breach;                     /* what the child did; static; NULL for nothing */
    char label[PS_LABEL_MAX + 1];
    char reason[PS_TEXT_MAX + 1];
    char type[PS_NAME_MAX + 1];
    char *text; /* owned: traits as text */
    struct ps_files files;
    struct ps_host_result result;
};

int ps_collect_new(struct ps_collect **ret_self, const char *dir)
{
    struct ps_collect *self = PS_NEW(struct ps_collect);

    if (!self)
        return PS_ERR_NOMEM;
    self->magic = MAGIC;
    ps_files_init(&self->files, dir);
    *ret_self = self;
    return 0;
}

static void drop_traits(struct ps_collect *self)
{
    json_decref(self->traits);
    self->traits = NULL;
    self->traits_n = self->traits_bytes = 0;
}

void ps_collect_free(struct ps_collect **self_p)
{
    struct ps_collect *self = *self_p;

    if (!self)
        return;
    PS_CHECK_MAGIC(self, MAGIC);
    drop_traits(self);
    free(self->text);
    ps_files_fini(&self->files);
    self->magic = 0;
    free(self);
    *self_p = NULL;
}

void ps_collect_restart(struct ps_collect *self)
{
    drop_traits(self);
    free(PS_TAKE(self->text));
    ps_files_clear(&self->files);
    self->stage = BEFORE_HAVE;
    self->packets_n = self->findings_n = 0;
    self->worst = self->said = 0;
    self->cut = self->last = false;
    self->silence_counts = true;
    self->run_us = self->cpu_us = 0;
    self->breach = NULL;
    self->label[0] = self->reason[0] = self->type[0] = '\0';
    self->result = (struct ps_host_result){0};
}

void ps_collect_start(struct ps_collect *self, uint64_t job, enum ps_engine_kind_no kind)
{
    PS_CHECK_MAGIC(self, MAGIC);
    ps_collect_restart(self);
    self->job = job;
    self->kind = kind;
}

/* How much an outcome weighs against another of the same job: the heaviest decides. A hit outweighs an error, because
 * it is true whatever came after; an error outweighs every answer that sounds like an all-clear. */
static unsigned weight(enum ps_outcome outcome)
{
    switch (outcome) {
    case PS_OUTCOME_MALICIOUS:
        return 9;
    case PS_OUTCOME_SUSPICIOUS:
        return 8;
    case PS_OUTCOME_CANCELLED:
        return 7;
    case PS_OUTCOME_FAILURE:
        return 6;
    case PS_OUTCOME_TIMEOUT:
        return 5;
    case PS_OUTCOME_INCOMPLETE:
        return 4;
    case PS_OUTCOME_HARMLESS:
        return 3;
    case PS_OUTCOME_TYPE_UNSUPPORTED:
        return 2;
    default:
        return 1;
    }
}

static enum ps_collected breach(struct ps_collect *self, const char *what)
{
    self->breach = what;
    return PS_COLLECT_BREACH;
}

static enum ps_collected take_finding(struct ps_collect *self, const struct ps_msg_H_FINDING *msg)
{
    bool judged = msg->outcome != PS_OUTCOME_INCOMPLETE;

    if (msg->outcome != PS_OUTCOME_MALICIOUS && msg->outcome != PS_OUTCOME_SUSPICIOUS &&
        msg->outcome != PS_OUTCOME_HARMLESS && msg->outcome != PS_OUTCOME_INCOMPLETE)
        return breach(self, "it sent a finding that is none");
    if (judged && self->kind != PS_KIND_EVILNESS)
        return breach(self, "it judged, and its engine only describes");
    if (self->findings_n++ >= PS_HOST_FINDINGS_MAX) {
        self->cut = true;
        return PS_COLLECT_MORE;
    }
    if (weight(msg->outcome) > weight(self->worst)) {
        self->worst = msg->outcome;
        ps_text_copy(self->label, sizeof(self->label), msg->label);
    }
    return PS_COLLECT_MORE;
}

/* The size that value has as text, 0 when it can't be told. Reals grow on the way through the library. */
static size_t text_size(const json_t *value)
{
    return json_dumpb(value, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
}

static enum ps_collected take_trait(struct ps_collect *self, const struct ps_msg_H_TRAIT *msg)
{
    char key[PS_NAME_MAX + 1];
    json_t *value = NULL;
    size_t size;

    if (msg->key.len == 0)
        return breach(self, "it sent a trait without a name");
    /* What is over the limit as it came is not even parsed: parsing is work that a child can make for us. */
    if (self->traits_n >= PS_HOST_TRAITS_N_MAX || self->traits_bytes + msg->json.len > PS_TRAITS_MAX) {
        self->cut = true;
        return PS_COLLECT_MORE;
    }
    value = json_loadb((const char *)msg->json.at, msg->json.len, JSON_DECODE_ANY, NULL);
    if (!value)
        return breach(self, "it sent a trait that is no JSON");
    size = PS_MAX(text_size(value), msg->json.len) + msg->key.len * KEY_GROWTH + TRAIT_EXTRA;
    if (self->traits_bytes + size > PS_TRAITS_MAX - TRAIT_EXTRA) {
        self->cut = true;
        json_decref(value);
        return PS_COLLECT_MORE;
    }
    ps_text_copy(key, sizeof(key), msg->key);
    if (!self->traits)
        self->traits = json_object();
    if (json_object_set_new(self->traits, key, value) != 0) /* takes value; a repeated key is replaced */
        self->cut = true;                                   /* out of memory */
    self->traits_n++;
    self->traits_bytes += size;
    return PS_COLLECT_MORE;
}

static enum ps_collected take_file(struct ps_collect *self, const struct ps_msg_H_FILE *msg)
{
    return ps_files_begin(&self->files, msg->picture, msg->name, msg->mime, msg->size)
               ? PS_COLLECT_MORE
               : breach(self, "it began a file before the last one had ended");
}

static enum ps_collected take_bytes(struct ps_collect *self, const struct ps_msg_H_BYTES *msg)
{
    return ps_files_bytes(&self->files, msg->bytes)
               ? PS_COLLECT_MORE
               : breach(self, "it sent bytes of a file that it had not announced so");
}

static bool kind_can_say(enum ps_engine_kind_no kind, uint32_t outcome)
{
    switch (outcome) {
    case PS_OUTCOME_INCOMPLETE:
    case PS_OUTCOME_TYPE_UNSUPPORTED:
    case PS_OUTCOME_FAILURE:
        return true;
    case PS_OUTCOME_MALICIOUS:
    case PS_OUTCOME_SUSPICIOUS:
    case PS_OUTCOME_UNDETECTED:
    case PS_OUTCOME_HARMLESS:
        return kind == PS_KIND_EVILNESS;
    case PS_OUTCOME_DESCRIBED:
        return kind == PS_KIND_METADATA;
    default:
        return false;
    }
}

static enum ps_collected take_done(struct ps_collect *self, const struct ps_msg_H_DONE *msg)
{
    if (!kind_can_say(self->kind, msg->outcome))
        return breach(self, "it ended with an outcome that its kind of engine can't have");
    if (self->files.left > 0)
        return breach(self, "it ended in the middle of a file");
    self->stage = AFTER_DONE;
    self->said = msg->outcome;
    self->silence_counts = msg->counted;
    self->last = msg->last;
    self->run_us = msg->run_us;
    self->cpu_us = msg->cpu_us;
    ps_text_copy(self->reason, sizeof(self->reason), msg->reason);
    ps_text_copy(self->type, sizeof(self->type), msg->type);
    return PS_COLLECT_DONE;
}

/* The job that a packet names; packets of other kinds name none. */
static bool names_job(const struct ps_msg *msg, uint64_t job)
{
    switch (msg->id) {
    case PS_MSG_H_HAVE:
        return msg->H_HAVE.job == job;
    case PS_MSG_H_FINDING:
        return msg->H_FINDING.job == job;
    case PS_MSG_H_TRAIT:
        return msg->H_TRAIT.job == job;
    case PS_MSG_H_FILE:
        return msg->H_FILE.job == job;
    case PS_MSG_H_BYTES:
        return msg->H_BYTES.job == job;
    case PS_MSG_H_DONE:
        return msg->H_DONE.job == job;
    default:
        return false;
    }
}

enum ps_collected ps_collect_take(struct ps_collect *self, const struct ps_msg *msg)
{
    PS_CHECK_MAGIC(self, MAGIC);
    if (!msg)
        return breach(self, "it sent a malformed packet");
    if (self->packets_n++ >= PS_HOST_PACKETS_MAX)
        return breach(self, "it flooded the session with packets");
    if (!names_job(msg, self->job))
        return breach(self, "it spoke of a job that it does not have");
    if ((msg->id == PS_MSG_H_HAVE) != (self->stage == BEFORE_HAVE) || self->stage == AFTER_DONE)
        return breach(self, "it spoke out of turn");
    switch (msg->id) {
    case PS_MSG_H_HAVE:
        self->stage = AFTER_HAVE;
        return PS_COLLECT_HAVE;
    case PS_MSG_H_FINDING:
        return take_finding(self, &msg->H_FINDING);
    case PS_MSG_H_TRAIT:
        return take_trait(self, &msg->H_TRAIT);
    case PS_MSG_H_FILE:
        return take_file(self, &msg->H_FILE);
    case PS_MSG_H_BYTES:
        return take_bytes(self, &msg->H_BYTES);
    default:
        return take_done(self, &msg->H_DONE);
    }
}

bool ps_collect_last(const struct ps_collect *self)
{
    return self->last;
}

static enum ps_outcome outcome_of(const struct ps_collect *self, enum ps_fate fate)
{
    switch (fate) {
    case PS_FATE_DONE:
        return self->said;
    case PS_FATE_TIMEOUT:
        return PS_OUTCOME_TIMEOUT;
    case PS_FATE_CANCELLED:
        return PS_OUTCOME_CANCELLED;
    default:
        return PS_OUTCOME_FAILURE;
    }
}

/* A child that broke the rules may have invented its findings; nobody waits for those of a cancelled job. */
static bool findings_stand(enum ps_fate fate)
{
    return fate == PS_FATE_DONE || fate == PS_FATE_CRASHED || fate == PS_FATE_TIMEOUT;
}

static void render_traits(struct ps_collect *self)
{
    self->text = self->traits ? json_dumps(self->traits, JSON_COMPACT) : NULL;
    if (self->traits && (!self->text || strlen(self->text) > PS_TRAITS_MAX)) {
        free(PS_TAKE(self->text));
        self->cut = true;
    }
}

/* Those that came whole stand; the one that was under way does not. */
static void settle_files(struct ps_collect *self, bool stand)
{
    if (!stand) {
        ps_files_clear(&self->files);
        return;
    }
    ps_files_end(&self->files);
    self->cut |= self->files.cut != NULL;
}

static void explain(struct ps_collect *self, enum ps_fate fate, const char *why)
{
    const char *extra = self->cut ? "over the limits of findings or traits: some were dropped" : "";

    if (self->files.cut)
        extra = self->files.cut;
    if (fate == PS_FATE_BREACH && self->breach)
        why = self->breach;
    if (why && why[0])
        extra = why;
    if (self->reason[0] == '\0')
        (void)snprintf(self->reason, sizeof(self->reason), "%s%s", /* cut is readable */
                       fate == PS_FATE_BREACH ? "the engine's process was stopped: " : "", extra);
}

struct ps_host_result *ps_collect_finish(struct ps_collect *self, enum ps_fate fate, const char *why)
{
    struct ps_host_result *result = &self->result;
    enum ps_outcome outcome = outcome_of(self, fate);
    bool stand = findings_stand(fate);

    PS_CHECK_MAGIC(self, MAGIC);
    if (stand)
        render_traits(self);
    settle_files(self, stand);
    if (self->cut && weight(outcome) < weight(PS_OUTCOME_INCOMPLETE))
        outcome = PS_OUTCOME_INCOMPLETE;
    if (stand && weight(self->worst) > weight(outcome))
        outcome = self->worst;
    explain(self, fate, why);
    *result = (struct ps_host_result){.job = self->job,
                                      .outcome = outcome,
                                      .counted = outcome != PS_OUTCOME_UNDETECTED || self->silence_counts,
                                      .crashed = fate == PS_FATE_CRASHED,
                                      .timed_out = fate == PS_FATE_TIMEOUT,
                                      .lost = fate == PS_FATE_FAILED,
                                      .label = outcome == self->worst ? self->label : "",
                                      .reason = self->reason,
                                      .type = self->type,
                                      .traits = self->text ? self->text : "",
                                      .files = self->files.items,
                                      .files_n = self->files.n,
                                      .files_fd = self->files.fd,
                                      .run_us = self->run_us,
                                      .cpu_us = self->cpu_us};
    result->traits_len = strlen(result->traits);
    return result;
}
