#include "worker/roster.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "base/layout.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "worker/sigdir.h"

#define EVENTS_N  16  /* hosts looked at per wake-up */
#define STEPS_MAX 512 /* looks at hosts before the session gets its turn, whether or not they had an event */

struct child {
    bool there;      /* a child waits or works in this slot */
    bool busy;       /* the slot has a job */
    uint32_t served; /* jobs that this child, or the one that is being forked, was given */
};

struct engine {
    struct ps_engine_facts facts;
    char plugin[PS_PATH_MAX];
    char file[PS_PATH_MAX]; /* what describes it, when plugin is an adapter; "" */
    char data[PS_PATH_MAX]; /* "" for none */
    struct ps_sigdir signatures;
    const char **settings; /* owned array of texts lent by the configuration */
    size_t settings_n;
    struct ps_host *host; /* NULL while it waits for restart_ms */
    bool up;
    bool tried;                           /* its first load is over, well or not */
    bool failed;                          /* this host said that it can't be offered */
    uint64_t up_ms;                       /* monotonic: when it came up */
    uint64_t restart_ms;                  /* monotonic: when to start the next host */
    uint64_t backoff_ms;                  /* the last pause before a restart; 0 while all is well */
    uint64_t deaths_ms[PS_ROSTER_DEATHS]; /* monotonic: the last ones, a ring */
    unsigned deaths_n;                    /* counter */
    struct child *children;               /* owned; one a slot */
    char problem[PS_TEXT_MAX + 1];        /* "" while up */
};

struct ps_roster {
    struct ps_roster_conf conf;
    struct engine *engines; /* owned */
    size_t n;
    int epoll_fd;      /* watches the hosts; data is the engine's number */
    unsigned stepping; /* engine whose host may have more to say; n: none */
    struct epoll_event ready[EVENTS_N];
    int ready_n;          /* of these, still to be looked at */
    bool polled;          /* in this round, which lasts until step says that there is no more */
    struct ps_host *dead; /* kept until its last texts are not lent any more */
};

static void set_problem(struct engine *engine, const char *text)
{
    size_t len = ps_utf8_cut(text, strlen(text), PS_TEXT_MAX);

    memcpy(engine->problem, text, len);
    engine->problem[len] = '\0';
}

/* ---- start, death, start ---- */

static int start_host(struct ps_roster *self, unsigned number, uint64_t now_ms, struct ps_error *reterr)
{
    struct engine *engine = &self->engines[number];
    const struct ps_roster_conf *conf = &self->conf;
    struct ps_host_conf host = {
        .program = conf->program,
        .engine = engine->facts.name,
        .plugin = engine->plugin,
        .signatures = engine->signatures.path[0] ? engine->signatures.path : NULL,
        .data = engine->data[0] ? engine->data : NULL,
        .file = engine->file[0] ? engine->file : NULL,
        .tmp = conf->tmp,
        .files = conf->files,
        .settings = engine->settings,
        .settings_n = engine->settings_n,
        .options = conf->options,
        .options_n = conf->options_n,
        .slots = conf->slots,
        .launcher = conf->launcher,
    };
    struct epoll_event watch = {.events = EPOLLIN, .data.u32 = number};
    int error = ps_host_start(&engine->host, &host, now_ms, reterr);

    if (error)
        return error;
    engine->failed = false;
    memset(engine->children, 0, conf->slots * sizeof(engine->children[0]));
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, ps_host_fd(engine->host), &watch) == 0)
        return 0;
    ps_host_free(&engine->host);
    return ps_error_set(reterr, PS_ERR_IO, "epoll: %s", strerror(errno));
}

static unsigned recent_deaths(const struct engine *engine, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PS_MIN(engine->deaths_n, PS_ROSTER_DEATHS); i++)
        n += now_ms - engine->deaths_ms[i] < PS_ROSTER_WINDOW_MS;
    return n;
}

static uint64_t double_backoff(const struct engine *engine)
{
    return PS_MIN(PS_MAX(2 * engine->backoff_ms, PS_ROSTER_RETRY_MS), PS_ROSTER_BACKOFF_MAX_MS);
}

/* A host that never came up is no better for being tried at once. */
static void plan_restart(struct engine *engine, bool was_up, uint64_t now_ms)
{
    engine->deaths_ms[engine->deaths_n++ % PS_ROSTER_DEATHS] = now_ms;

    unsigned deaths = recent_deaths(engine, now_ms);
    if (!was_up || deaths >= PS_ROSTER_DEATHS)
        engine->backoff_ms = double_backoff(engine);
    else
        engine->backoff_ms = deaths > 1 ? PS_ROSTER_AGAIN_MS : 0;
    engine->restart_ms = now_ms + engine->backoff_ms;
}

static void restart(struct ps_roster *self, unsigned number, uint64_t now_ms)
{
    struct ps_error error;
    struct engine *engine = &self->engines[number];

    if (!start_host(self, number, now_ms, &error))
        return;
    set_problem(engine, error.text);
    engine->tried = true;
    engine->backoff_ms = double_backoff(engine);
    engine->restart_ms = now_ms + engine->backoff_ms;
}

/* ---- what hosts say ---- */

static void copy_text(char *to, size_t max, const char *text)
{
    size_t len = ps_utf8_cut(text, strlen(text), max);

    memcpy(to, text, len);
    to[len] = '\0';
}

static void learn(struct engine *engine, const struct ps_host_info *info, uint64_t now_ms)
{
    struct ps_engine_facts *facts = &engine->facts;

    facts->kind = info->kind;
    facts->signatures = info->signatures;
    facts->age_s = info->age_s;
    facts->run_ms = info->run_ms;
    copy_text(facts->version, PS_VERSION_MAX, info->version);
    copy_text(facts->definitions, PS_VERSION_MAX, info->definitions);
    copy_text(facts->origin, PS_NAME_MAX, info->origin[0] ? info->origin : engine->signatures.origin);
    copy_text(facts->types, PS_TEXT_MAX, info->types);
    copy_text(facts->note, PS_TEXT_MAX, info->note);
    copy_text(facts->walls, PS_TEXT_MAX, info->walls);
    engine->problem[0] = '\0';
    engine->tried = engine->up = true;
    engine->up_ms = now_ms;
}

/* The host's texts may still be lent to whoever holds the last event: it is freed with the next step. */
static void bury(struct ps_roster *self, unsigned number, const char *text, uint64_t now_ms)
{
    struct engine *engine = &self->engines[number];

    if (!engine->failed || engine->problem[0] == '\0')
        set_problem(engine, text);
    plan_restart(engine, engine->up, now_ms);
    engine->up = false;
    engine->tried = true;
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, ps_host_fd(engine->host),
                    NULL); /* it is in, so it comes out */
    self->dead = PS_TAKE(engine->host);
}

/* Its child had other samples before this one, or the host went with it: one of those may have done it. */
static bool says_nothing(const struct engine *engine, const struct ps_host_event *event)
{
    const struct ps_host_result *result = event->result;

    if (result->outcome != PS_OUTCOME_FAILURE)
        return false;
    return result->lost || (result->crashed && engine->children[event->slot].served > 1);
}

/* True when the event is one for the session. */
static bool translate(struct ps_roster *self, unsigned number, const struct ps_host_event *event,
                      uint64_t now_ms, struct ps_roster_event *ret_event)
{
    struct engine *engine = &self->engines[number];
    struct ps_roster_event out = {.engine = number, .slot = event->slot};

    switch (event->kind) {
    case PS_HOST_LOADED:
        learn(engine, ps_host_info(engine->host), now_ms);
        out.kind = PS_ROSTER_UP;
        break;
    case PS_HOST_FAILED:
        engine->failed = true;
        set_problem(engine, event->text);
        return false;
    case PS_HOST_READY:
        engine->children[event->slot].there = true;
        engine->children[event->slot].served = engine->children[event->slot].busy;
        return false;
    case PS_HOST_EXITED:
        engine->children[event->slot].there = false;
        return false;
    case PS_HOST_HAVE:
        out.kind = PS_ROSTER_HAVE;
        break;
    case PS_HOST_RESULT:
        out.kind = PS_ROSTER_RESULT;
        out.result = event->result;
        out.again = says_nothing(engine, event);
        engine->children[event->slot].busy = false;
        break;
    case PS_HOST_GONE:
        bury(self, number, event->text, now_ms);
        out.kind = PS_ROSTER_DOWN;
        break;
    }
    *ret_event = out;
    return true;
}

/* The next engine whose host may have something: those that poll names, asked once a round, and those whose time has
 * come. */
static bool next_host(struct ps_roster *self, uint64_t now_ms)
{
    if (!self->polled)
        self->ready_n = PS_MAX(epoll_wait(self->epoll_fd, self->ready, EVENTS_N, 0), 0);
    self->polled = true;
    if (self->ready_n > 0) {
        self->stepping = self->ready[--self->ready_n].data.u32;
        return true;
    }
    for (unsigned i = 0; i < self->n; i++) {
        if (self->engines[i].host && ps_host_due_ms(self->engines[i].host) <= now_ms) {
            self->stepping = i;
            return true;
        }
    }
    return false;
}

static void restart_due(struct ps_roster *self, uint64_t now_ms)
{
    for (unsigned i = 0; i < self->n; i++)
        if (!self->engines[i].host && self->engines[i].restart_ms <= now_ms)
            restart(self, i, now_ms);
}

bool ps_roster_step(struct ps_roster *self, uint64_t now_ms, struct ps_roster_event *ret_event)
{
    struct ps_host_event event;

    ps_host_free(&self->dead);
    /* Bounded: a host that stays readable without a word must not stop the session. */
    for (size_t turn = 0; turn < STEPS_MAX; turn++) {
        if (self->stepping == self->n && !next_host(self, now_ms)) {
            restart_due(self, now_ms);
            self->polled = false;
            return false;
        }
        unsigned number = self->stepping;
        struct engine *engine = &self->engines[number];
        if (!engine->host || ps_host_step(engine->host, now_ms, &event) != 1)
            self->stepping = (unsigned)self->n;
        else if (translate(self, number, &event, now_ms, ret_event))
            return true;
    }
    return false;
}

int ps_roster_fd(const struct ps_roster *self)
{
    return self->epoll_fd;
}

uint64_t ps_roster_due_ms(const struct ps_roster *self)
{
    uint64_t due_ms = UINT64_MAX;

    for (size_t i = 0; i < self->n; i++) {
        const struct engine *engine = &self->engines[i];
        due_ms = PS_MIN(due_ms, engine->host ? ps_host_due_ms(engine->host) : engine->restart_ms);
    }
    return due_ms;
}

/* ---- what it knows ---- */

size_t ps_roster_n(const struct ps_roster *self)
{
    return self->n;
}

int ps_roster_find(const struct ps_roster *self, struct ps_bytes name)
{
    for (size_t i = 0; i < self->n; i++)
        if (ps_bytes_is(name, self->engines[i].facts.name))
            return (int)i;
    return -1;
}

const struct ps_engine_facts *ps_roster_facts(const struct ps_roster *self, unsigned engine)
{
    return &self->engines[engine].facts;
}

const char *ps_roster_problem(const struct ps_roster *self, unsigned engine)
{
    return self->engines[engine].problem;
}

bool ps_roster_is_up(const struct ps_roster *self, unsigned engine)
{
    return self->engines[engine].up;
}

bool ps_roster_settled(const struct ps_roster *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (!self->engines[i].tried)
            return false;
    return true;
}

size_t ps_roster_offers(const struct ps_roster *self, uint64_t now_ms, struct ps_part_offer *ret_offers)
{
    for (size_t i = 0; i < self->n; i++) {
        const struct engine *engine = &self->engines[i];
        const struct ps_engine_facts *facts = &engine->facts;
        uint64_t since_s = engine->tried && facts->age_s > 0 ? (now_ms - engine->up_ms) / 1000 : 0;
        ret_offers[i] = (struct ps_part_offer){
            .name = ps_bytes_of(facts->name),
            .kind = facts->kind,
            .version = ps_bytes_of(facts->version),
            .definitions = ps_bytes_of(facts->definitions),
            .origin = ps_bytes_of(facts->origin),
            .signatures = facts->signatures,
            .age_s = facts->age_s + since_s,
            .run_ms = facts->run_ms,
            .types = ps_bytes_of(facts->types),
            .problem = ps_bytes_of(engine->problem),
        };
    }
    return self->n;
}

const char *ps_roster_walls(const struct ps_roster *self)
{
    const char *walls = "";

    for (size_t i = 0; i < self->n; i++) {
        const char *own = self->engines[i].facts.walls;
        if (own[0] && strcmp(own, "full") != 0)
            return own;
        if (own[0])
            walls = own;
    }
    return walls;
}

/* ---- jobs ---- */

int ps_roster_run(struct ps_roster *self, unsigned number, unsigned slot, const struct ps_host_job *job,
                  uint64_t now_ms)
{
    struct engine *engine = &self->engines[number];

    if (!engine->up)
        return PS_ERR_UNAVAILABLE;
    int error = ps_host_run(engine->host, slot, job, now_ms);
    if (!error) {
        engine->children[slot].busy = true;
        engine->children[slot].served++;
    }
    return error;
}

void ps_roster_kill(struct ps_roster *self, unsigned number, unsigned slot, const char *why, uint64_t now_ms)
{
    if (self->engines[number].host)
        ps_host_kill(self->engines[number].host, slot, why, now_ms);
}

bool ps_roster_warm(const struct ps_roster *self, unsigned number, unsigned slot)
{
    return self->engines[number].up && self->engines[number].children[slot].there;
}

/* ---- the list ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct engine *)a)->facts.name, ((const struct engine *)b)->facts.name);
}

static bool wanted(const struct ps_opt_list *only, const char *name)
{
    for (size_t i = 0; i < only->n; i++)
        if (strcmp(only->at[i], name) == 0)
            return true;
    return only->n == 0;
}

/* A name that the wire and the engine host take. */
static bool proper_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= PS_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

/* Three ways to write an engine: what lies in its directory says which. An adapter is a plug-in that becomes the engine
 * which a file describes. */
static const struct way {
    const char *suffix;  /* of NAME/NAMEsuffix */
    const char *adapter; /* directory whose adapter.so reads that file; NULL: it is the plug-in itself */
} ways[] = {{".so", NULL}, {".engine", "manifest"}, {".py", "python"}};

static bool fits(int n)
{
    return n >= 0 && n < PS_PATH_MAX;
}

static bool fill_plugin(struct engine *engine, const char *engine_dir, const char *name)
{
    for (size_t i = 0; i < PS_ARRAY_N(ways); i++) {
        char *file = ways[i].adapter ? engine->file : engine->plugin;

        if (!fits(snprintf(file, PS_PATH_MAX, "%s/%s/%s%s", engine_dir, name, name, ways[i].suffix)) ||
            access(file, R_OK) < 0)
            continue;
        return !ways[i].adapter ||
               fits(snprintf(engine->plugin, PS_PATH_MAX, "%s/%s/adapter.so", engine_dir, ways[i].adapter));
    }
    return false;
}

static bool fill_paths(struct engine *engine, const struct ps_roster_conf *conf, const char *name)
{
    if (!fill_plugin(engine, conf->engine_dir, name))
        return false;
    (void)snprintf(engine->data, PS_PATH_MAX, "%s/%s/data", conf->engine_dir,
                   name); /* cut: then it is not there */
    if (access(engine->data, R_OK | X_OK) < 0)
        engine->data[0] = '\0';
    ps_sigdir_find(&engine->signatures, name, conf->engine_dir, conf->signatures, PS_SIGDIR_SYSTEM);
    copy_text(engine->facts.name, PS_NAME_MAX, name);
    set_problem(engine, "it is being loaded");
    return true;
}

static int add_engine(struct ps_roster *self, const char *name, struct ps_error *reterr)
{
    struct engine engine = {.up = false};

    if (!proper_name(name) || !wanted(self->conf.only, name) || !fill_paths(&engine, &self->conf, name))
        return 0;
    if (self->n == PS_ENGINES_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "more than %d engines in %s", PS_ENGINES_MAX,
                            self->conf.engine_dir);

    engine.children = ps_alloc(self->conf.slots, sizeof(*engine.children));
    if (!engine.children || ps_realloc(&self->engines, self->n + 1, sizeof(*self->engines))) {
        free(engine.children);
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    self->engines[self->n++] = engine;
    return 0;
}

static int list_engines(struct ps_roster *self, struct ps_error *reterr)
{
    DIR *dir = opendir(self->conf.engine_dir);
    int error = 0;

    if (!dir)
        return ps_error_set(reterr, ps_err_from_errno(errno), "engine directory %s: %s",
                            self->conf.engine_dir, strerror(errno));
    for (const struct dirent *entry; !error && (entry = readdir(dir));)
        error = add_engine(self, entry->d_name, reterr);
    (void)closedir(dir); /* it was only read */
    if (error)
        return error;

    if (self->n == 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "no engine in %s", self->conf.engine_dir);
    qsort(self->engines, self->n, sizeof(*self->engines), by_name);
    for (size_t i = 0; i < self->conf.only->n; i++)
        if (ps_roster_find(self, ps_bytes_of(self->conf.only->at[i])) < 0)
            return ps_error_set(reterr, PS_ERR_NOTFOUND, "no engine %s in %s", self->conf.only->at[i],
                                self->conf.engine_dir);
    return 0;
}

/* "clamav.max-files=100" goes to clamav as "max-files=100". */
static int add_setting(struct ps_roster *self, const char *text, struct ps_error *reterr)
{
    const char *dot = strchr(text, '.');
    int number =
        dot ? ps_roster_find(self, (struct ps_bytes){(const uint8_t *)text, (size_t)(dot - text)}) : -1;

    if (!dot || !strchr(dot, '='))
        return ps_error_set(reterr, PS_ERR_INVALID, "--set wants engine.key=value, not %s", text);
    if (number < 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "--set %s: there is no such engine here", text);

    struct engine *engine = &self->engines[number];
    if (engine->settings_n == PS_HOST_SETTINGS_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "--set %s: more than %d settings for one engine", text,
                            PS_HOST_SETTINGS_MAX);
    if (ps_realloc(&engine->settings, engine->settings_n + 1, sizeof(*engine->settings)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    engine->settings[engine->settings_n++] = dot + 1;
    return 0;
}

int ps_roster_new(struct ps_roster **ret_self, const struct ps_roster_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr)
{
    PS_CLEANUP(ps_roster_free) struct ps_roster *self = PS_NEW(struct ps_roster);
    int error = 0;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->conf = *conf;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "epoll: %s", strerror(errno));

    error = list_engines(self, reterr);
    for (size_t i = 0; !error && i < conf->settings->n; i++)
        error = add_setting(self, conf->settings->at[i], reterr);
    if (error)
        return error;

    self->stepping = (unsigned)self->n;
    for (unsigned i = 0; i < self->n; i++)
        restart(self, i, now_ms);
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_roster_free(struct ps_roster **self_p)
{
    struct ps_roster *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_host_free(&self->dead);
    for (size_t i = 0; i < self->n; i++) {
        ps_host_free(&self->engines[i].host);
        free(self->engines[i].children);
        free(self->engines[i].settings);
    }
    free(self->engines);
    ps_close_fd_p(&self->epoll_fd);
    free(self);
}
