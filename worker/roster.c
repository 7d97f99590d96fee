#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "worker/roster_in.h"

#define STEPS_MAX 512 /* looks at hosts before the session gets its turn, whether or not they had an event */

void ps_roster_problem_set(struct ps_roster_engine *engine, const char *text)
{
    ps_crew_text(engine->problem, PS_TEXT_MAX, text);
}

void ps_roster_tell(struct ps_roster *self, struct ps_roster_engine *engine, enum ps_roster_event_kind kind)
{
    self->tell_n += engine->tell == 0;
    engine->tell = kind;
}

/* ---- crews come and go ---- */

uint64_t ps_roster_print(const struct ps_roster *self, const struct ps_roster_engine *engine)
{
    uint64_t print = ps_watch_print(self->watch, engine->place.home, 0);

    if (engine->place.file[0])
        print = ps_watch_print(self->watch, engine->place.plugin, print);
    if (engine->place.signatures.path[0])
        print = ps_watch_print(self->watch, engine->place.signatures.path, print);
    return print;
}

static int start_crew(struct ps_roster *self, unsigned number, uint64_t now_ms, struct ps_error *reterr)
{
    struct ps_roster_engine *engine = self->engines[number];
    const struct ps_enginedir *place = &engine->place;
    const struct ps_roster_conf *conf = &self->conf;
    struct ps_host_conf host = {
        .program = conf->program,
        .engine = place->name,
        .plugin = place->plugin,
        .signatures = place->signatures.path[0] ? place->signatures.path : NULL,
        .data = place->data[0] ? place->data : NULL,
        .file = place->file[0] ? place->file : NULL,
        .tmp = conf->tmp,
        .files = conf->files,
        .settings = engine->settings,
        .settings_n = engine->settings_n,
        .options = conf->options,
        .options_n = conf->options_n,
        .slots = conf->slots,
        .launcher = conf->launcher,
    };
    struct epoll_event watch = {.events = EPOLLIN};
    int error;

    /* Taken before: what changes while it is being loaded is found as a change. */
    engine->print = conf->still ? 0 : ps_roster_print(self, engine);
    if (place->refusal[0])
        return ps_error_set(reterr, PS_ERR_DENIED, "%s", place->refusal);
    error = ps_crew_new(&engine->coming, number, &host, now_ms, reterr);
    if (error)
        return error;
    watch.data.ptr = engine->coming;
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, ps_host_fd(engine->coming->host), &watch) < 0) {
        ps_crew_free(&engine->coming);
        return ps_error_set(reterr, PS_ERR_IO, "epoll: %s", strerror(errno));
    }
    DL_APPEND(self->crews, engine->coming);
    return 0;
}

/* The host's texts may still be lent to whoever holds the last event: it is freed with the next step. */
void ps_roster_close(struct ps_roster *self, struct ps_crew **crew_p)
{
    struct ps_crew *crew = PS_TAKE(*crew_p);

    if (!crew)
        return;
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, ps_host_fd(crew->host),
                    NULL); /* it is in, so it comes out */
    for (int i = 0; i < self->ready_n; i++)
        if (self->ready[i].data.ptr == crew)
            self->ready[i] = self->ready[--self->ready_n]; /* a crew is named once */
    if (self->stepping == crew)
        self->stepping = NULL;
    DL_DELETE(self->crews, crew);
    DL_APPEND(self->closed, crew);
}

static void free_closed(struct ps_roster *self)
{
    struct ps_crew *crew, *next;

    DL_FOREACH_SAFE (self->closed, crew, next) {
        DL_DELETE(self->closed, crew);
        ps_crew_free(&crew);
    }
}

void ps_roster_retire(struct ps_roster *self, struct ps_roster_engine *engine)
{
    struct ps_crew *crew = PS_TAKE(engine->current);

    if (!crew)
        return;
    if (crew->busy_n == 0) {
        ps_roster_close(self, &crew);
        return;
    }
    crew->leaving = true;
    engine->leaving_n++;
}

/* ---- start, death, start ---- */

static unsigned recent_deaths(const struct ps_roster_engine *engine, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PS_MIN(engine->deaths_n, PS_ROSTER_DEATHS); i++)
        n += now_ms - engine->deaths_ms[i] < PS_ROSTER_WINDOW_MS;
    return n;
}

static uint64_t double_backoff(const struct ps_roster_engine *engine)
{
    return PS_MIN(PS_MAX(2 * engine->backoff_ms, PS_ROSTER_RETRY_MS), PS_ROSTER_BACKOFF_MAX_MS);
}

/* A host that never came up is no better for being tried at once. */
static void plan_restart(struct ps_roster_engine *engine, bool was_up, uint64_t now_ms)
{
    engine->deaths_ms[engine->deaths_n++ % PS_ROSTER_DEATHS] = now_ms;

    unsigned deaths = recent_deaths(engine, now_ms);
    if (!was_up || deaths >= PS_ROSTER_DEATHS)
        engine->backoff_ms = double_backoff(engine);
    else
        engine->backoff_ms = deaths > 1 ? PS_ROSTER_AGAIN_MS : 0;
    engine->restart_ms = now_ms + engine->backoff_ms;
}

/* The old crew goes on: the new one could not be loaded. */
static void stay(struct ps_roster *self, struct ps_roster_engine *engine, const char *why, uint64_t now_ms)
{
    char text[PS_TEXT_MAX + sizeof("new definitions were not taken: ")];

    (void)snprintf(text, sizeof(text), "new definitions were not taken: %s", why); /* fits */
    ps_crew_text(engine->stale, PS_TEXT_MAX, text);
    engine->reload = false;
    engine->restart_ms = now_ms + PS_ROSTER_RELOAD_MS;
    ps_roster_tell(self, engine, PS_ROSTER_STAYS);
}

static void start(struct ps_roster *self, unsigned number, uint64_t now_ms)
{
    struct ps_error error = {0};
    struct ps_roster_engine *engine = self->engines[number];

    if (!start_crew(self, number, now_ms, &error))
        return;
    if (engine->current) {
        stay(self, engine, error.text, now_ms);
        return;
    }
    ps_roster_tell(self, engine, PS_ROSTER_DOWN);
    ps_roster_problem_set(engine, error.text);
    engine->tried = true;
    engine->backoff_ms = double_backoff(engine);
    engine->restart_ms = now_ms + engine->backoff_ms;
}

static bool wanted(const struct ps_roster_engine *engine)
{
    return !engine->removed && !engine->off;
}

static bool someone_reloads(const struct ps_roster *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->engines[i]->coming && self->engines[i]->current)
            return true;
    return false;
}

/* One at a time, one generation after the other, and a serial engine with a scan less. */
static bool may_reload(const struct ps_roster *self, const struct ps_roster_engine *engine)
{
    uint32_t at_once = engine->current->facts.at_once;

    return engine->reload && !engine->leaving_n && (at_once == 0 || engine->current->busy_n < at_once) &&
           !someone_reloads(self);
}

static void start_due(struct ps_roster *self, uint64_t now_ms)
{
    for (unsigned i = 0; i < self->n; i++) {
        struct ps_roster_engine *engine = self->engines[i];

        if (!wanted(engine) || engine->coming)
            continue;
        if (engine->current && engine->stale[0] && engine->restart_ms <= now_ms)
            engine->reload = true;
        if (engine->current ? may_reload(self, engine) : !engine->leaving_n && engine->restart_ms <= now_ms)
            start(self, i, now_ms);
    }
}

/* ---- what hosts say ---- */

/* A broken rule file may leave an engine that loads well and finds less. */
static bool is_worse(const struct ps_crew *coming, const struct ps_crew *current)
{
    const struct ps_engine_facts *is = &coming->facts;

    return current &&
           (is->left_out > current->facts.left_out || (is->signatures == 0 && current->facts.signatures > 0));
}

/* True when the engine is UP by this crew. */
static bool take_over(struct ps_roster *self, struct ps_roster_engine *engine, uint64_t now_ms)
{
    struct ps_crew *crew = engine->coming;

    ps_crew_learn(crew, engine->place.name, engine->place.signatures.origin, now_ms);
    if (is_worse(crew, engine->current)) {
        stay(self, engine, crew->facts.note[0] ? crew->facts.note : "they are empty", now_ms);
        ps_roster_close(self, &engine->coming);
        return false;
    }
    ps_roster_retire(self, engine);
    engine->current = PS_TAKE(engine->coming);
    engine->facts = crew->facts;
    engine->problem[0] = engine->stale[0] = '\0';
    engine->reload = false;
    engine->tried = true;
    self->tell_n -= engine->tell != 0;
    engine->tell = 0;
    return true;
}

/* True when the engine is DOWN by this end. */
static bool bury(struct ps_roster *self, struct ps_crew *crew, const char *text, uint64_t now_ms)
{
    struct ps_roster_engine *engine = self->engines[crew->engine];
    bool was_up = crew->loaded;
    char why[PS_TEXT_MAX + 1];

    ps_crew_text(why, PS_TEXT_MAX, crew->failure[0] ? crew->failure : text);
    if (crew->leaving) {
        engine->leaving_n--;
        ps_roster_close(self, &crew);
        return false;
    }
    if (crew == engine->coming && engine->current) {
        ps_roster_close(self, &engine->coming);
        stay(self, engine, why, now_ms);
        return false;
    }
    ps_roster_close(self, crew == engine->coming ? &engine->coming : &engine->current);
    engine->reload = false;
    ps_roster_problem_set(engine, why);
    plan_restart(engine, was_up, now_ms);
    engine->tried = true;
    return true;
}

void ps_roster_down(struct ps_roster *self, struct ps_roster_engine *engine, const char *why, uint64_t now_ms)
{
    ps_roster_problem_set(engine, why);
    ps_roster_close(self, &engine->coming);
    ps_roster_retire(self, engine);
    engine->reload = false;
    engine->stale[0] = '\0';
    engine->backoff_ms = PS_ROSTER_RETRY_MS;
    engine->restart_ms = now_ms + engine->backoff_ms;
    ps_roster_tell(self, engine, PS_ROSTER_DOWN);
}

/* A crew that leaves goes with its last job. The result is still lent: it is freed with the next step. */
static void end_job(struct ps_roster *self, struct ps_crew *crew, unsigned slot)
{
    struct ps_roster_engine *engine = self->engines[crew->engine];

    crew->busy_n -= crew->children[slot].busy;
    crew->children[slot].busy = false;
    if (crew->leaving && crew->busy_n == 0) {
        engine->leaving_n--;
        ps_roster_close(self, &crew);
    }
}

/* True when the event is one for the session. */
static bool translate(struct ps_roster *self, struct ps_crew *crew, const struct ps_host_event *event,
                      uint64_t now_ms, struct ps_roster_event *ret_event)
{
    struct ps_roster_event out = {.engine = crew->engine, .slot = event->slot};

    switch (event->kind) {
    case PS_HOST_LOADED:
        if (!take_over(self, self->engines[crew->engine], now_ms))
            return false;
        out.kind = PS_ROSTER_UP;
        break;
    case PS_HOST_FAILED:
        ps_crew_text(crew->failure, PS_TEXT_MAX, event->text);
        return false;
    case PS_HOST_READY:
        crew->children[event->slot].there = true;
        crew->children[event->slot].served = crew->children[event->slot].busy;
        return false;
    case PS_HOST_EXITED:
        crew->children[event->slot].there = false;
        return false;
    case PS_HOST_HAVE:
        out.kind = PS_ROSTER_HAVE;
        break;
    case PS_HOST_RESULT:
        out.kind = PS_ROSTER_RESULT;
        out.result = event->result;
        out.facts = &crew->facts;
        out.again = ps_crew_says_nothing(crew, event);
        if (event->result->outcome == PS_OUTCOME_FAILURE) /* it may be the engine's: look soon */
            crew->probe_ms = PS_MIN(crew->probe_ms, PS_MAX(now_ms, crew->probed_ms + PS_ROSTER_SUSPECT_MS));
        end_job(self, crew, event->slot);
        break;
    case PS_HOST_PROBED:
        if (crew == self->engines[crew->engine]->current && event->text[0])
            ps_roster_down(self, self->engines[crew->engine], event->text, now_ms);
        return false;
    case PS_HOST_GONE:
        if (!bury(self, crew, event->text, now_ms))
            return false;
        out.kind = PS_ROSTER_DOWN;
        break;
    }
    *ret_event = out;
    return true;
}

/* ---- turns ---- */

/* The next crew whose host may have something: those that poll names, asked once a round, and those whose time has
 * come. */
static bool next_crew(struct ps_roster *self, uint64_t now_ms)
{
    struct ps_crew *crew;

    if (!self->polled)
        self->ready_n = PS_MAX(epoll_wait(self->epoll_fd, self->ready, PS_ROSTER_EVENTS_N, 0), 0);
    self->polled = true;
    while (self->ready_n > 0) {
        self->stepping = self->ready[--self->ready_n].data.ptr;
        if (self->stepping)
            return true;
        ps_watch_read(self->watch, now_ms);
    }
    DL_FOREACH (self->crews, crew) {
        if (ps_host_due_ms(crew->host) <= now_ms) {
            self->stepping = crew;
            return true;
        }
    }
    return false;
}

static bool take_told(struct ps_roster *self, struct ps_roster_event *ret_event)
{
    for (unsigned i = 0; i < self->n && self->tell_n > 0; i++) {
        struct ps_roster_engine *engine = self->engines[i];

        if (!engine->tell)
            continue;
        *ret_event = (struct ps_roster_event){.kind = engine->tell, .engine = i};
        engine->tell = 0;
        self->tell_n--;
        return true;
    }
    return false;
}

static void probe_due(struct ps_roster *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n; i++) {
        struct ps_crew *crew = self->engines[i]->current;

        if (!crew || crew->probe_ms > now_ms)
            continue;
        crew->probed_ms = now_ms;
        crew->probe_ms = now_ms + PS_ROSTER_PROBE_MS;
        ps_host_probe(crew->host, now_ms);
    }
}

/* The end of a round: what is not a host's word. */
static void tend(struct ps_roster *self, uint64_t now_ms)
{
    if (self->watch && ps_watch_due(self->watch, now_ms))
        ps_roster_look(self, now_ms);
    ps_roster_end_licences(self, now_ms);
    probe_due(self, now_ms);
    start_due(self, now_ms);
}

bool ps_roster_step(struct ps_roster *self, uint64_t now_ms, struct ps_roster_event *ret_event)
{
    struct ps_host_event event;

    free_closed(self);
    /* Bounded: a host that stays readable without a word must not stop the session. */
    for (size_t turn = 0; turn < STEPS_MAX; turn++) {
        if (take_told(self, ret_event))
            return true;
        if (!self->stepping && !next_crew(self, now_ms)) {
            tend(self, now_ms);
            self->polled = false;
            if (take_told(self, ret_event))
                return true;
            break;
        }
        struct ps_crew *crew = self->stepping;
        if (ps_host_step(crew->host, now_ms, &event) != 1)
            self->stepping = NULL;
        else if (translate(self, crew, &event, now_ms, ret_event))
            return true;
    }
    free_closed(self); /* nothing of theirs is lent now */
    return false;
}

int ps_roster_fd(const struct ps_roster *self)
{
    return self->epoll_fd;
}

static uint64_t engine_due_ms(const struct ps_roster *self, const struct ps_roster_engine *engine)
{
    uint64_t due_ms = ps_roster_licence_due_ms(engine);

    if (engine->current)
        due_ms = PS_MIN(due_ms, engine->current->probe_ms);

    if (!wanted(engine) || engine->coming)
        return due_ms;
    if (engine->current && may_reload(self, engine))
        return 0;
    if (engine->current ? engine->stale[0] && !engine->reload : !engine->leaving_n)
        due_ms = PS_MIN(due_ms, engine->restart_ms);
    return due_ms;
}

uint64_t ps_roster_due_ms(const struct ps_roster *self)
{
    uint64_t due_ms = self->watch ? ps_watch_due_ms(self->watch) : UINT64_MAX;
    const struct ps_crew *crew;

    for (size_t i = 0; i < self->n; i++)
        due_ms = PS_MIN(due_ms, engine_due_ms(self, self->engines[i]));
    DL_FOREACH (self->crews, crew)
        due_ms = PS_MIN(due_ms, ps_host_due_ms(crew->host));
    return self->tell_n > 0 ? 0 : due_ms;
}
/* ---- orders ---- */

int ps_roster_reload(struct ps_roster *self, unsigned number, uint64_t now_ms)
{
    struct ps_roster_engine *engine = self->engines[number];

    if (!wanted(engine))
        return PS_ERR_UNAVAILABLE;
    engine->reload = engine->current != NULL;
    if (!engine->current)
        engine->restart_ms = now_ms;
    return 0;
}

void ps_roster_switch(struct ps_roster *self, unsigned number, bool on, uint64_t now_ms)
{
    struct ps_roster_engine *engine = self->engines[number];

    if (engine->off == !on)
        return;
    engine->off = !on;
    engine->restart_ms = now_ms;
    engine->stale[0] = '\0';
    engine->reload = false;
    ps_roster_problem_set(engine, engine->removed ? PS_ROSTER_REMOVED
                                  : on            ? "it is being loaded"
                                                  : PS_ROSTER_OFF);
    if (on)
        return;
    ps_roster_close(self, &engine->coming);
    ps_roster_retire(self, engine);
    engine->tried = true;
    ps_roster_tell(self, engine, PS_ROSTER_DOWN);
}

/* ---- jobs ---- */

static unsigned busy_n(const struct ps_roster *self, unsigned number)
{
    const struct ps_crew *crew;
    unsigned n = 0;

    DL_FOREACH (self->crews, crew)
        n += crew->engine == number ? crew->busy_n : 0;
    return n;
}

bool ps_roster_has_room(const struct ps_roster *self, unsigned number)
{
    const struct ps_roster_engine *engine = self->engines[number];
    uint32_t at_once = engine->facts.at_once;

    if (at_once == 0 || !engine->current)
        return true; /* run says that it is away */
    bool loading = engine->coming || (engine->reload && !someone_reloads(self));
    return busy_n(self, number) + loading < at_once;
}

int ps_roster_run(struct ps_roster *self, unsigned number, unsigned slot, const struct ps_host_job *job,
                  uint64_t now_ms)
{
    struct ps_crew *crew = self->engines[number]->current;

    if (!crew)
        return PS_ERR_UNAVAILABLE;
    int error = ps_host_run(crew->host, slot, job, now_ms);
    if (!error) {
        crew->busy_n += !crew->children[slot].busy;
        crew->children[slot].busy = true;
        crew->children[slot].served++;
    }
    return error;
}

/* A slot has one job at most, whichever crew has it. */
void ps_roster_kill(struct ps_roster *self, unsigned number, unsigned slot, const char *why, uint64_t now_ms)
{
    struct ps_crew *crew;

    DL_FOREACH (self->crews, crew)
        if (crew->engine == number && crew->children[slot].busy)
            ps_host_kill(crew->host, slot, why, now_ms);
}

bool ps_roster_warm(const struct ps_roster *self, unsigned number, unsigned slot)
{
    const struct ps_crew *crew = self->engines[number]->current;

    return crew && crew->children[slot].there;
}

/* ---- birth ---- */

static int check_wanted(const struct ps_roster *self, struct ps_error *reterr)
{
    const struct ps_opt_list *only = self->conf.dirs.only;

    for (size_t i = 0; i < only->n; i++)
        if (ps_roster_find(self, ps_bytes_of(only->at[i])) < 0)
            return ps_error_set(reterr, PS_ERR_NOTFOUND, "no engine %s in %s", only->at[i],
                                self->conf.dirs.shipped);
    return 0;
}

/* "clamav.max-files=100" goes to clamav as "max-files=100". */
static int check_settings(const struct ps_roster *self, struct ps_error *reterr)
{
    for (size_t i = 0; i < self->conf.settings->n; i++) {
        const char *text = self->conf.settings->at[i], *dot = strchr(text, '.');

        if (!dot || !strchr(dot, '='))
            return ps_error_set(reterr, PS_ERR_INVALID, "--set wants engine.key=value, not %s", text);
        if (ps_roster_find(self, (struct ps_bytes){(const uint8_t *)text, (size_t)(dot - text)}) < 0)
            return ps_error_set(reterr, PS_ERR_INVALID, "--set %s: there is no such engine here", text);
    }
    return 0;
}

static int list_engines(struct ps_roster *self, uint64_t now_ms, struct ps_error *reterr)
{
    PS_FREE struct ps_enginedir *places = NULL;
    size_t n = 0;
    int error = ps_enginedirs_list(&self->conf.dirs, &places, &n, reterr);

    if (!error && n == 0)
        error = ps_error_set(reterr, PS_ERR_NOTFOUND, "no engine in %s", self->conf.dirs.shipped);
    for (size_t i = 0; !error && i < n; i++)
        error = ps_roster_add(self, &places[i], now_ms, reterr);
    if (!error)
        error = check_wanted(self, reterr);
    return error ? error : check_settings(self, reterr);
}

/* Without inotify the files are not watched, and all else works. */
static void begin_watch(struct ps_roster *self, uint64_t now_ms)
{
    struct epoll_event event = {.events = EPOLLIN};
    int error = ps_watch_new(&self->watch, now_ms);

    if (!error && epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, ps_watch_fd(self->watch), &event) == 0)
        return;
    ps_watch_free(&self->watch);
    ps_log(PS_LOG_WARN, "files-not-watched", "why=%s", PS_LOGQ(ps_err_text(error ? error : PS_ERR_IO)));
}

int ps_roster_new(struct ps_roster **ret_self, const struct ps_roster_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr)
{
    PS_CLEANUP(ps_roster_free) struct ps_roster *self = PS_NEW(struct ps_roster);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->conf = *conf;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "epoll: %s", strerror(errno));
    if (!conf->still)
        begin_watch(self, now_ms);

    int error = list_engines(self, now_ms, reterr);
    if (error)
        return error;
    if (self->watch)
        ps_roster_look(self, now_ms); /* now that there is somebody to watch for */
    start_due(self, now_ms);
    for (size_t i = 0; i < self->n; i++) /* nobody knows anything yet */
        self->engines[i]->tell = 0;
    self->tell_n = 0;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_roster_free(struct ps_roster **self_p)
{
    struct ps_roster *self = PS_TAKE(*self_p);
    struct ps_crew *crew, *next;

    if (!self)
        return;
    free_closed(self);
    DL_FOREACH_SAFE (self->crews, crew, next) {
        DL_DELETE(self->crews, crew);
        ps_crew_free(&crew);
    }
    for (size_t i = 0; i < self->n; i++)
        ps_roster_forget(self->engines[i]);
    free(self->engines);
    ps_watch_free(&self->watch);
    ps_close_fd_p(&self->epoll_fd);
    free(self);
}
