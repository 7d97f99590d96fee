#include "worker/crew.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "worker/roster.h"

void ps_crew_text(char *to, size_t max, const char *text)
{
    size_t len = ps_utf8_cut(text, strlen(text), max);

    memcpy(to, text, len);
    to[len] = '\0';
}

int ps_crew_new(struct ps_crew **ret_self, unsigned engine, const struct ps_host_conf *conf, uint64_t now_ms,
                struct ps_error *reterr)
{
    PS_CLEANUP(ps_crew_free) struct ps_crew *self = PS_NEW(struct ps_crew);

    if (!self || !(self->children = ps_alloc(conf->slots, sizeof(*self->children))))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->engine = engine;
    int error = ps_host_start(&self->host, conf, now_ms, reterr);
    if (!error)
        *ret_self = PS_TAKE(self);
    return error;
}

void ps_crew_free(struct ps_crew **self_p)
{
    struct ps_crew *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_host_free(&self->host);
    free(self->children);
    free(self);
}

void ps_crew_learn(struct ps_crew *self, const char *name, const char *origin, uint64_t now_ms)
{
    const struct ps_host_info *info = ps_host_info(self->host);
    struct ps_engine_facts *facts = &self->facts;

    ps_crew_text(facts->name, PS_NAME_MAX, name);
    facts->kind = info->kind;
    facts->signatures = info->signatures;
    facts->age_s = info->age_s;
    facts->run_ms = info->run_ms;
    facts->at_once = info->at_once;
    facts->licence_scans = info->licence_scans;
    facts->licence_left_s = info->licence_left_s;
    facts->left_out = info->left_out;
    ps_crew_text(facts->version, PS_VERSION_MAX, info->version);
    ps_crew_text(facts->definitions, PS_VERSION_MAX, info->definitions);
    ps_crew_text(facts->origin, PS_NAME_MAX, info->origin[0] ? info->origin : origin);
    ps_crew_text(facts->types, PS_TEXT_MAX, info->types);
    ps_crew_text(facts->note, PS_TEXT_MAX, info->note);
    ps_crew_text(facts->walls, PS_TEXT_MAX, info->walls);
    self->loaded = true;
    self->loaded_ms = self->probed_ms = now_ms;
    self->probe_ms = now_ms + PS_ROSTER_PROBE_MS;
}

bool ps_crew_says_nothing(const struct ps_crew *self, const struct ps_host_event *event)
{
    const struct ps_host_result *result = event->result;

    if (result->outcome != PS_OUTCOME_FAILURE)
        return false;
    return result->lost || (result->crashed && self->children[event->slot].served > 1);
}
