/* master/main.c: phagescan-master. The web runs on the main thread and listens first; one thread waits for the database,
 * brings its schema up to date and starts what works with it. */
#include <czmq.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/migrate.h"
#include "db/pg.h"
#include "db/store/store.h"
#include "master/ingest/ingest.h"
#include "master/mdp/service.h"
#include "master/scan/scan.h"
#include "master/settings.h"
#include "master/web/web.h"
#include "proto/peer/keys.h"

#define RETRY_MS 1000 /* after a migration that failed for no lasting reason */
#define LEAD_MS  3000 /* readiness waits so long for the epoch; then another master leads */
#define LOOK_MS  20

struct master {
    struct ps_master_settings settings;
    struct ps_store *store;
    struct ps_scan *scan;
    struct ps_ingest *ingest;
    struct ps_web *web;
    struct ps_mdp_service *mdp; /* NULL: off */
    struct ps_keys keys;        /* filled when the broker is on tcp */
    void *context;              /* libzmq's */
    int signal_fd;              /* -1 before */
    int wake_fd;                /* ends the boot thread's waiting; -1 before */
    pthread_t boot;
    bool booting;       /* the thread is to be joined */
    atomic_bool failed; /* it can't go on: the database's schema is a newer program's */
};

/* ---- when the database is there ---- */

/* True when the program shall end meanwhile. */
static bool pause_ms(const struct master *self, int ms)
{
    struct pollfd fd = {.fd = self->wake_fd, .events = POLLIN};

    return poll(&fd, 1, ms) > 0;
}

static int reach_database(struct master *self, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = NULL;
    int applied = 0;
    int r = ps_pg_new(&pg, self->settings.database, "phagescan-boot");

    while (!r) {
        r = ps_pg_wait_ready(pg, -1, self->wake_fd, reterr);
        if (!r)
            r = ps_migrate(pg, &applied, reterr);
        if (!r || r == PS_ERR_CANCELLED || r == PS_ERR_CONFLICT)
            break;
        ps_log(PS_LOG_WARN, "database-not-ready", "why=%s", PS_LOGQ(reterr->text));
        r = pause_ms(self, RETRY_MS) ? PS_ERR_CANCELLED : 0;
    }
    if (!r)
        ps_log(PS_LOG_INFO, "database", "schema=%d applied=%d", ps_migrate_newest(), applied);
    return r;
}

/* A client that comes right after "ready" must not find a master that is about to lead. */
static void await_epoch(struct master *self)
{
    for (int ms = 0; ms < LEAD_MS && !self->settings.standby && !ps_scan_leads(self->scan); ms += LOOK_MS)
        if (pause_ms(self, LOOK_MS))
            return;
}

static void tell_ready(const struct ps_master_settings *settings)
{
    static const char line[] = "ready\n";

    if (settings->ready_fd == 0)
        return;
    /* Nobody there to read it is no reason to stop. */
    if (write((int)settings->ready_fd, line, sizeof(line) - 1) < 0)
        ps_log(PS_LOG_WARN, "ready-unheard", "fd=%llu", (unsigned long long)settings->ready_fd);
    (void)close((int)settings->ready_fd); /* it has done its work */
}

static void *boot(void *arg)
{
    struct master *self = arg;
    struct ps_error error = {0};
    int r = reach_database(self, &error);

    if (!r)
        r = ps_scan_start(self->scan, &error);
    if (!r) {
        ps_web_set_ready(self->web);
        await_epoch(self);
        ps_log(PS_LOG_INFO, "ready", "host=%s port=%u epoch=%llu", PS_LOGQ(self->settings.host),
               ps_web_port(self->web), (unsigned long long)ps_scan_epoch(self->scan));
        tell_ready(&self->settings);
    } else if (r != PS_ERR_CANCELLED) {
        ps_log(PS_LOG_ERROR, "not-started", "why=%s", PS_LOGQ(error.text));
        atomic_store(&self->failed, true);
        ps_web_stop(self->web);
    }
    return NULL;
}

/* ---- parts ---- */

/* What ingest has committed. On its thread. */
static void on_news(void *arg, const struct ps_ingest_news *news)
{
    struct master *self = arg;

    ps_scan_nudge(self->scan, news->bands);
    if (news->submissions_n)
        ps_web_submitted(self->web, news->first_submission, news->last_submission);
}

static void on_stale(void *arg, uint64_t epoch)
{
    struct master *self = arg;

    ps_scan_suspect(self->scan, epoch);
}

/* czmq reads limits and more from the environment; ours come from our options. */
static void clear_environment(void)
{
    static const char *const names[] = {
        "ZSYS_IO_THREADS", "ZSYS_MAX_SOCKETS", "ZSYS_MAX_MSGSZ", "ZSYS_LINGER",       "ZSYS_SNDHWM",
        "ZSYS_RCVHWM",     "ZSYS_PIPEHWM",     "ZSYS_IPV6",      "ZSYS_IPV6_ADDRESS", "ZSYS_INTERFACE",
        "ZSYS_LOGSTREAM",  "ZSYS_LOGIDENT",    "ZSYS_LOGSYSTEM", "ZSYS_LOGSENDER",    "ZSYS_SIGHANDLER"};

    for (size_t i = 0; i < PS_ARRAY_N(names); i++)
        (void)unsetenv(names[i]); /* fails for names that are none */
}

/* Connections, samples that are sent to workers, files: all that the kernel gives. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE,
                        &limit); /* up to the hard limit it can't fail; if it did, the old one stays */
    }
}

static int block_signals(struct master *self, struct ps_error *reterr)
{
    sigset_t set;

    (void)sigemptyset(&set); /* none of these can fail with good arguments */
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->signal_fd >= 0 && self->wake_fd >= 0
               ? 0
               : ps_error_set(reterr, PS_ERR_IO, "no descriptors: %s", strerror(errno));
}

static int make_dir(const char *path, struct ps_error *reterr)
{
    int r = ps_file_mkdirs(path, 0700);

    return r ? ps_error_set(reterr, r, "the directory %s could not be made: %s", path, ps_err_text(r)) : 0;
}

static int make_dirs(const struct ps_master_settings *settings, struct ps_error *reterr)
{
    PS_FREE char *run = ps_strf("%s", settings->api_sock);
    char *slash = run ? strrchr(run, '/') : NULL;
    int r = 0;

    if (slash && slash != run) {
        *slash = '\0';
        r = make_dir(run, reterr);
    }
    return r ? r : make_dir(settings->body_dir, reterr);
}

static int make_scan(struct master *self, struct ps_error *reterr)
{
    const struct ps_master_settings *settings = &self->settings;
    struct ps_peer_where where = {.context = self->context};

    if (settings->key) {
        int r = ps_keys_load(&self->keys, settings->key, settings->broker_key, reterr);
        if (r)
            return r;
        where.keys = &self->keys;
    }
    for (size_t i = 0; i < settings->brokers.n; i++)
        if (ps_where_is_insecure(settings->brokers.at[i], settings->key))
            ps_log(PS_LOG_WARN, "insecure-tcp", "broker=%s detail=%s", PS_LOGQ(settings->brokers.at[i]),
                   PS_LOGQ("no CURVE: who is on the way can read samples and forge results"));
    struct ps_scan_settings scan = {.conninfo = settings->database,
                                    .brokers = (const char *const *)settings->brokers.at,
                                    .brokers_n = settings->brokers.n,
                                    .where = &where,
                                    .store = self->store,
                                    .name = settings->name,
                                    .standby = settings->standby,
                                    .stale_ms = settings->stale_ms,
                                    .backfill_per_s = (uint32_t)settings->backfill_per_s,
                                    .longest_run_ms = (uint32_t)settings->longest_run_ms};
    return ps_scan_new(&self->scan, &scan, reterr);
}

static int make_ingest(struct master *self, struct ps_error *reterr)
{
    struct ps_ingest_config config = {.conninfo = self->settings.database,
                                      .app = ps_scan_app(self->scan),
                                      .store = self->store,
                                      .max_sample_bytes = self->settings.max_sample_bytes,
                                      .news = on_news,
                                      .stale = on_stale,
                                      .arg = self};
    int r = ps_ingest_start(&self->ingest, &config, reterr);

    if (!r)
        ps_scan_use_ingest(self->scan, self->ingest);
    return r;
}

static int make_web(struct master *self, struct ps_error *reterr)
{
    const struct ps_master_settings *settings = &self->settings;
    struct ps_web_settings web = {.host = settings->host,
                                  .port = settings->port,
                                  .port_fixed = settings->port_text != NULL,
                                  .api_sock = settings->api_sock,
                                  .www = settings->www,
                                  .body_dir = settings->body_dir,
                                  .conninfo = settings->database,
                                  .max_sample_bytes = settings->max_sample_bytes,
                                  .standby = settings->standby,
                                  .stop_fd = self->signal_fd,
                                  .ingest = self->ingest,
                                  .scan = self->scan,
                                  .store = self->store};
    int r = ps_web_new(&self->web, &web, reterr);

    if (!r)
        ps_log(PS_LOG_INFO, "listening", "host=%s port=%u socket=%s", PS_LOGQ(settings->host),
               ps_web_port(self->web), PS_LOGQ(settings->api_sock));
    return r;
}

static int make_mdp(struct master *self, struct ps_error *reterr)
{
    const struct ps_master_settings *settings = &self->settings;
    struct ps_mdp_service_config config = {.context = self->context,
                                           .endpoint = settings->mdp_broker,
                                           .conninfo = settings->database,
                                           .connections_n = (uint32_t)settings->mdp_connections,
                                           .heartbeat_ms = (uint32_t)settings->mdp_heartbeat_ms,
                                           .max_sample_bytes = settings->max_sample_bytes,
                                           .ingest = self->ingest,
                                           .scan = self->scan};

    return settings->mdp_broker ? ps_mdp_service_start(&self->mdp, &config, reterr) : 0;
}

/* ---- its life ---- */

static int prepare(struct master *self, struct ps_error *reterr)
{
    int r = block_signals(self, reterr);

    raise_descriptors();
    self->context = r ? NULL : zmq_ctx_new();
    if (!r && !self->context)
        r = ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (!r)
        r = make_dirs(&self->settings, reterr);
    if (!r)
        r = ps_store_open(&self->store, self->settings.store, PS_STORE_SYNC_AUTO, NULL, reterr);
    if (!r)
        r = make_scan(self, reterr);
    if (!r)
        r = make_ingest(self, reterr);
    if (!r)
        r = make_web(self, reterr);
    if (!r)
        r = make_mdp(self, reterr);
    return r;
}

static int work(struct master *self, struct ps_error *reterr)
{
    int r = prepare(self, reterr);

    if (r)
        return r;
    if (pthread_create(&self->boot, NULL, boot, self) != 0)
        return ps_error_set(reterr, PS_ERR_NOMEM, "no thread can be had");
    self->booting = true;
    ps_web_run(self->web);
    return atomic_load(&self->failed) ? ps_error_set(reterr, PS_ERR_CONFLICT, "the database can't be used")
                                      : 0;
}

/* The last that came in is answered, what was collected is committed; then the rest. */
static void finish(struct master *self)
{
    static const uint64_t one = 1;

    if (self->booting) {
        (void)!write(self->wake_fd, &one, sizeof(one)); /* an eventfd has room for it */
        (void)pthread_join(self->boot, NULL);           /* joinable, and not this thread */
    }
    ps_mdp_service_stop(&self->mdp);
    if (self->scan)
        ps_scan_stop(self->scan);
    ps_ingest_stop(&self->ingest);
    ps_web_free(&self->web);
    ps_scan_free(&self->scan);
    ps_store_close(&self->store);
    if (self->context)
        (void)zmq_ctx_term(self->context); /* all sockets are closed: it can't wait */
    ps_keys_fini(&self->keys);
    ps_close_fd_p(&self->signal_fd);
    ps_close_fd_p(&self->wake_fd);
    ps_master_settings_fini(&self->settings);
}

static int say_help(const char *what)
{
    if (strcmp(what, "version") == 0) {
        (void)printf("phagescan-master %s\n", PS_VERSION); /* a reader who left wants no help */
        return 0;
    }
    (void)printf(
        "Usage: phagescan-master [OPTION]...\n"
        "Takes samples in, has them scanned, keeps what was found, serves the page and the API.\n\n");
    ps_opts_help(ps_master_options, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct master master = {.signal_fd = -1, .wake_fd = -1};
    struct ps_error error = {0};
    int r;

    zsys_handler_set(NULL);
    clear_environment();
    ps_log_init("phagescan-master", PS_LOG_INFO);
    r = ps_master_settings_read(&master.settings, argc, argv, &error);
    if (r == PS_ERR_CANCELLED) {
        r = say_help(error.text);
    } else if (r) {
        (void)fprintf(stderr, "phagescan-master: %s\n", error.text);
    } else {
        ps_log_init("phagescan-master", master.settings.verbose ? PS_LOG_DEBUG : PS_LOG_INFO);
        r = work(&master, &error);
        if (r)
            ps_log(PS_LOG_ERROR, "ended", "why=%s", PS_LOGQ(error.text));
        else
            ps_log(PS_LOG_INFO, "stopped", "%s", "");
    }
    finish(&master);
    return r ? 1 : 0;
}
