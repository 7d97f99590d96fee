/* Of a roster: what changes on the disk. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "worker/roster_in.h"

static int add_settings(struct ps_roster *self, struct ps_roster_engine *engine, struct ps_error *reterr)
{
    size_t len = strlen(engine->place.name);

    for (size_t i = 0; i < self->conf.settings->n; i++) {
        const char *text = self->conf.settings->at[i];

        if (strncmp(text, engine->place.name, len) != 0 || text[len] != '.')
            continue;
        if (engine->settings_n == PS_HOST_SETTINGS_MAX)
            return ps_error_set(reterr, PS_ERR_LIMIT, "--set %s: more than %d settings for one engine", text,
                                PS_HOST_SETTINGS_MAX);
        if (ps_realloc(&engine->settings, engine->settings_n + 1, sizeof(*engine->settings)))
            return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
        engine->settings[engine->settings_n++] = text + len + 1;
    }
    return 0;
}

void ps_roster_forget(struct ps_roster_engine *engine)
{
    if (engine)
        free(engine->settings);
    free(engine);
}

int ps_roster_add(struct ps_roster *self, const struct ps_enginedir *place, uint64_t now_ms,
                  struct ps_error *reterr)
{
    struct ps_roster_engine *engine;

    if (self->n == PS_ENGINES_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "more than %d engines since the start", PS_ENGINES_MAX);
    engine = PS_NEW(struct ps_roster_engine);
    if (!engine || ps_realloc(&self->engines, self->n + 1, sizeof(struct ps_roster_engine *))) {
        ps_roster_forget(engine);
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    engine->place = *place;
    ps_crew_text(engine->facts.name, PS_NAME_MAX, place->name);
    ps_roster_problem_set(engine, "it is being loaded");
    engine->restart_ms = now_ms;
    self->engines[self->n++] = engine;
    return add_settings(self, engine, reterr);
}

static void remove_engine(struct ps_roster *self, struct ps_roster_engine *engine)
{
    engine->removed = true;
    ps_roster_close(self, &engine->coming);
    ps_roster_retire(self, engine);
    ps_roster_problem_set(engine, PS_ROSTER_REMOVED);
    engine->stale[0] = '\0';
    ps_roster_tell(self, engine, PS_ROSTER_DOWN);
}

/* It is as it was, or came back, or lies elsewhere now (the operator's own goes before the shipped one). */
static void look_again(struct ps_roster *self, struct ps_roster_engine *engine,
                       const struct ps_enginedir *place, uint64_t now_ms)
{
    bool back = engine->removed;

    engine->place = *place;
    engine->removed = false;
    if (!back && (engine->off || ps_roster_print(self, engine) == engine->print))
        return;
    if (engine->current) {
        engine->reload = true;
        return;
    }
    engine->restart_ms = now_ms; /* at once: it may be repaired */
    if (back)
        ps_roster_problem_set(engine, engine->off ? PS_ROSTER_OFF : "it is being loaded");
}

static void look_at(struct ps_roster *self, const struct ps_enginedir *places, size_t n, uint64_t now_ms)
{
    size_t known_n = self->n;
    struct ps_error error;

    for (size_t e = 0; e < known_n; e++) {
        struct ps_roster_engine *engine = self->engines[e];
        size_t i = 0;
        while (i < n && strcmp(places[i].name, engine->place.name) != 0)
            i++;
        if (i < n)
            look_again(self, engine, &places[i], now_ms);
        else if (!engine->removed)
            remove_engine(self, engine);
    }
    for (size_t i = 0; i < n; i++)
        if (ps_roster_find(self, ps_bytes_of(places[i].name)) < 0 &&
            ps_roster_add(self, &places[i], now_ms, &error))
            ps_log(PS_LOG_ERROR, "engine-not-added", "engine=%s why=%s", places[i].name, PS_LOGQ(error.text));
}

/* A directory that can't be listed for a moment takes nobody's engine away. */
void ps_roster_look(struct ps_roster *self, uint64_t now_ms)
{
    PS_FREE struct ps_enginedir *places = NULL;
    struct ps_error error;
    size_t n = 0;

    (void)ps_watch_print(self->watch, self->conf.dirs.shipped, 0); /* for the watches alone */
    if (self->conf.dirs.own && access(self->conf.dirs.own, F_OK) == 0)
        (void)ps_watch_print(self->watch, self->conf.dirs.own, 0);
    else if (self->conf.dirs.own)
        ps_watch_parent(self->watch, self->conf.dirs.own);
    if (ps_enginedirs_list(&self->conf.dirs, &places, &n, &error))
        ps_log(PS_LOG_WARN, "engines-not-listed", "why=%s", PS_LOGQ(error.text));
    else
        look_at(self, places, n, now_ms);
}
