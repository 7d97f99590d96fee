#include "master/web/server.h"

#include <fcntl.h>
#include <h2o/http1.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/web/announce.h"
#include "master/web/conn.h"
#include "master/web/linger.h"
#include "master/web/sessions.h"
#include "master/web/status.h"
#include "master/web/streams.h"

#define TURN_MS 100 /* at the stop: how often it is asked who is still there */

/* ---- from other threads ---- */

void ps_web_post(struct ps_web *web, struct ps_web_post *post)
{
    post->super = (h2o_multithread_message_t){{NULL, NULL}};
    h2o_multithread_send_message(&web->posts, &post->super);
}

static void run_posts(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        struct ps_web_post *post = H2O_STRUCT_FROM_MEMBER(struct ps_web_post, super.link, messages->next);

        h2o_linklist_unlink(&post->super.link);
        post->run(post);
    }
}

void ps_web_stop(struct ps_web *self)
{
    atomic_store(&self->stopping, true);
    h2o_multithread_send_message(&self->posts, NULL); /* wakes the loop */
}

void ps_web_set_ready(struct ps_web *self)
{
    atomic_store(&self->ready, true);
}

uint16_t ps_web_port(const struct ps_web *self)
{
    return self->port;
}

/* ---- making it ---- */

static int copy_text(const char **text_p, struct ps_error *reterr)
{
    const char *copy = *text_p ? ps_strf("%s", *text_p) : NULL;

    if (*text_p && !copy) {
        *text_p = NULL;
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    *text_p = copy;
    return 0;
}

static void settings_texts(struct ps_web_settings *settings, const char **ret_texts[5])
{
    ret_texts[0] = &settings->host;
    ret_texts[1] = &settings->api_sock;
    ret_texts[2] = &settings->www;
    ret_texts[3] = &settings->body_dir;
    ret_texts[4] = &settings->conninfo;
}

static int copy_settings(struct ps_web *self, const struct ps_web_settings *settings, struct ps_error *reterr)
{
    const char **texts[5];
    int r = 0;

    self->settings = *settings;
    settings_texts(&self->settings, texts);
    for (size_t i = 0; i < PS_ARRAY_N(texts); i++)
        r = copy_text(texts[i], reterr) ? PS_ERR_NOMEM : r;
    return r;
}

/* Bodies that are larger than this lie in an unlinked file while they arrive. The setting is the library's, for the
 * whole process. */
static int place_bodies(struct ps_web *self, struct ps_error *reterr)
{
    h2o_buffer_mmap_settings_t *mmap = &h2o_socket_buffer_mmap_settings;
    int n = snprintf(mmap->fn_template, sizeof(mmap->fn_template), "%s/body.XXXXXX", self->settings.body_dir);

    mmap->threshold = PS_WEB_BODY_IN_MEMORY;
    if (n < 0 || (size_t)n >= sizeof(mmap->fn_template))
        return ps_error_set(reterr, PS_ERR_LIMIT, "the path %s is too long", self->settings.body_dir);
    return 0;
}

/* A longer one is refused by its Content-Length, before it is sent: no call would take it. */
static size_t longest_body(const struct ps_web_settings *settings)
{
    size_t oneshot = (size_t)PS_MIN(settings->max_sample_bytes, (uint64_t)PS_WEB_ONESHOT_BYTES);

    return PS_MAX(oneshot, (size_t)PS_MAX(PS_BATCH_BYTES, PS_UPLOAD_CHUNK_BYTES));
}

static void configure(struct ps_web *self)
{
    h2o_config_init(&self->config);
    self->config.server_name = h2o_iovec_init(H2O_STRLIT("phagescan"));
    self->config.http1.req_timeout = PS_WEB_BODY_MS;
    self->config.http1.upgrade_to_http2 = 0; /* no fix for rapid reset in this version */
    self->config.max_request_entity_size = longest_body(&self->settings);
    ps_web_register(self,
                    h2o_config_register_host(&self->config, h2o_iovec_init(H2O_STRLIT("default")), 65535));
    h2o_context_init(&self->context, h2o_evloop_create(), &self->config);
    self->accept.ctx = &self->context;
    self->accept.hosts = self->config.hosts;
    h2o_multithread_register_receiver(self->context.queue, &self->posts, run_posts);
    self->begun = true;
}

void ps_web_register(struct ps_web *web, h2o_hostconf_t *host)
{
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);

    ps_web_register_routes(web, path);
    ps_web_register_page(web, path);
    ps_web_register_answers(web, path);
    ps_web_register_answers(web, &host->fallback_path); /* h2o's own errors, before a path is known */
}

static void on_signal(h2o_socket_t *sock, const char *err)
{
    struct ps_web *self = sock->data;

    (void)err;
    ps_log(PS_LOG_INFO, "stop-asked", "%s", "by=signal");
    h2o_socket_read_stop(sock); /* once is enough */
    atomic_store(&self->stopping, true);
}

static int watch_signals(struct ps_web *self, struct ps_error *reterr)
{
    int fd = self->settings.stop_fd < 0 ? -1 : fcntl(self->settings.stop_fd, F_DUPFD_CLOEXEC, 3);

    if (self->settings.stop_fd < 0)
        return 0;
    if (fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no descriptor is left");
    self->signals = h2o_evloop_socket_create(self->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    self->signals->data = self;
    h2o_socket_read_start(self->signals, on_signal);
    return 0;
}

static int make_parts(struct ps_web *self, struct ps_error *reterr)
{
    struct ps_pgloop_config config = {.conninfo = self->settings.conninfo, .app = "phagescan-web"};
    int r = ps_sessions_new(&self->sessions);

    if (!r)
        r = ps_streams_new(&self->streams, self);
    if (!r)
        r = ps_announcer_new(&self->announcer, self);
    if (!r)
        r = ps_lingers_new(&self->lingers, self);
    if (!r)
        r = ps_status_cache_new(&self->status);
    if (r)
        return ps_error_set(reterr, r, "%s", ps_err_text(r));
    return ps_pgloop_new(&self->pg, self->context.loop, &config, reterr);
}

int ps_web_new(struct ps_web **ret_self, const struct ps_web_settings *settings, struct ps_error *reterr)
{
    PS_CLEANUP(ps_web_free) struct ps_web *self = PS_NEW(struct ps_web);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->started_ms = ps_clock_mono_ms();
    int r = copy_settings(self, settings, reterr);
    if (!r)
        r = place_bodies(self, reterr);
    if (r)
        return r;
    configure(self);
    r = make_parts(self, reterr);
    if (!r)
        r = watch_signals(self, reterr);
    if (!r)
        r = ps_conn_listen(self, reterr);
    if (r)
        return r;
    *ret_self = PS_TAKE(self);
    return 0;
}

/* ---- its life ---- */

static bool busy(const struct ps_web *self)
{
    return self->calls_n > 0 || self->conns != NULL;
}

/* No new connections; streams end; idle connections close, the others after their answer. */
static void drain(struct ps_web *self)
{
    uint64_t until_ms = ps_clock_mono_ms() + PS_WEB_DRAIN_MS;

    ps_conn_unlisten(self);
    self->context.shutdown_requested =
        1; /* h2o's own call would also wind up a timer for HTTP/2, which is off */
    ps_streams_end(self->streams);
    ps_conn_finish_all(self);
    while (busy(self) && ps_clock_mono_ms() < until_ms)
        (void)h2o_evloop_run(self->context.loop, TURN_MS); /* an interrupted wait is no failure */
    if (busy(self))
        ps_log(PS_LOG_WARN, "not-drained", "calls=%zu connections=%zu", self->calls_n,
               self->conns_n[0] + self->conns_n[1]);
}

void ps_web_run(struct ps_web *self)
{
    while (!atomic_load(&self->stopping))
        (void)h2o_evloop_run(self->context.loop, INT32_MAX); /* an interrupted wait is no failure */
    drain(self);
}

static void free_settings(struct ps_web_settings *settings)
{
    const char **texts[5];

    settings_texts(settings, texts);
    for (size_t i = 0; i < PS_ARRAY_N(texts); i++)
        free((char *)*texts[i]);
}

/* This h2o has no way to free a loop together with its queue. One a process; leak checkers are to see it. */
static h2o_loop_t *volatile left_loop;

static void end(struct ps_web *self)
{
    ps_conn_unlisten(self);
    if (self->signals)
        h2o_socket_close(self->signals);
    (void)h2o_evloop_run(self->context.loop, 0); /* completions that came after the loop's end */
    ps_pgloop_free(&self->pg);
    ps_announcer_free(&self->announcer);
    ps_lingers_free(&self->lingers);
    if (self->streams)
        ps_streams_stop(self->streams);
    (void)h2o_evloop_run(self->context.loop, 0); /* the bus's last nudge */
    ps_streams_free(&self->streams);
    ps_sessions_free(&self->sessions);
    ps_status_cache_free(&self->status);
    h2o_multithread_unregister_receiver(self->context.queue, &self->posts);
    left_loop = self->context.loop;
    if (busy(self))
        return; /* h2o can't dispose of connections that are still open: the process ends anyway */
    h2o_context_dispose(&self->context);
    h2o_config_dispose(&self->config);
}

void ps_web_free(struct ps_web **self_p)
{
    struct ps_web *self = PS_TAKE(*self_p);

    if (!self)
        return;
    if (self->begun)
        end(self);
    free_settings(&self->settings);
    free(self);
}
