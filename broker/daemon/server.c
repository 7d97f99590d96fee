#include "broker/daemon/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/layout.h"
#include "base/mem.h"
#include "base/sock.h"
#include "broker/daemon/guard.h"
#include "broker/daemon/router.h"
#include "broker/daemon/zap.h"

#define TIDY_MS 10000

struct ps_server {
    void *context; /* libzmq's */
    struct ps_router *router;
    struct ps_guard *guard; /* keys and rights of TCP peers */
    struct ps_core *core;
    int signal_fd;     /* lent */
    char *path;        /* of the socket; unlinked at the end */
    bool bound;        /* and it is ours */
    uint64_t now_ms;   /* of this round */
    uint64_t tick_ms;  /* next tick */
    uint64_t tidy_ms;  /* next look for forgotten peers */
    uint64_t unsent_n; /* told so far */
    int failed;        /* first error of the core */
};

/* ---- between core and router ---- */

static void on_send(void *ctx, uint32_t peer, const struct ps_msg *msg)
{
    struct ps_server *self = ctx;

    ps_router_send(self->router, peer, msg);
}

static void on_pass(void *ctx, uint32_t peer, struct ps_bytes record, void *carry)
{
    struct ps_server *self = ctx;

    ps_router_pass(self->router, peer, record, carry);
}

static void on_drop(void *ctx, uint32_t peer)
{
    struct ps_server *self = ctx;

    ps_router_drop(self->router, peer);
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    ps_log(level, event, "%s", text);
}

static bool is_bound(void *ctx, uint32_t peer)
{
    const struct ps_server *self = ctx;

    return ps_core_is_bound(self->core, peer);
}

static void step(struct ps_server *self, const struct ps_event *event)
{
    int r = ps_core_step(self->core, self->now_ms, event);

    if (r && !self->failed)
        self->failed = r;
}

static bool identify(void *ctx, const char *user, uint32_t *ret_who)
{
    struct ps_server *self = ctx;

    return ps_guard_identify(self->guard, user, ret_who);
}

/* Its sessions end; what it says from now on is dropped (libzmq can't close one connection of a ROUTER). */
static void on_gone(void *ctx, uint32_t who)
{
    struct ps_server *self = ctx;

    step(self, &(struct ps_event){.kind = PS_EVENT_BANNED, .who = who});
}

/* False when the peer may not say this; it has been told. */
static bool may_say(struct ps_server *self, uint32_t peer, uint32_t who, const struct ps_msg *msg)
{
    if (msg->id != PS_MSG_HELLO || ps_guard_may(self->guard, who, msg->HELLO.role))
        return true;
    ps_router_send(self->router, peer,
                   PS_MSG(REFUSED, .code = PS_BYTES_LIT("denied"),
                          .reason = PS_BYTES_LIT("the key has no right to this role")));
    ps_router_drop(self->router, peer);
    return false;
}

/* A record that carries takes the next frame. Too few or too many frames, or bytes that are no record: the peer is at
 * fault, and nothing after that is believed. */
static void on_message(void *ctx, uint32_t peer, uint32_t who, struct ps_bytes records, zmq_msg_t *carried,
                       size_t carried_n)
{
    struct ps_server *self = ctx;
    size_t used = 0;
    bool empty = records.len == 0;
    struct ps_msg msg;
    int r;

    for (;;) {
        struct ps_bytes before = records;
        zmq_msg_t *carry = NULL;

        r = ps_msg_next(&records, &msg);
        if (r != 1)
            break;
        if (ps_msg_carries(msg.id) && used == carried_n)
            r = PS_ERR_PROTO;
        else if (ps_msg_carries(msg.id))
            carry = &carried[used++];
        if (r != 1)
            break;
        if (!may_say(self, peer, who, &msg))
            return;
        step(self, &(struct ps_event){.kind = PS_EVENT_MESSAGE,
                                      .peer = peer,
                                      .who = who,
                                      .msg = &msg,
                                      .record = {before.at, before.len - records.len},
                                      .carry = carry,
                                      .carry_bytes = carry ? zmq_msg_size(carry) : 0});
    }
    if (r < 0 || empty || used < carried_n)
        step(self, &(struct ps_event){.kind = PS_EVENT_BAD, .peer = peer});
}

/* ---- life ---- */

static int listen_at(struct ps_server *self, const char *path, struct ps_error *reterr)
{
    char directory[sizeof(((struct ps_layout *)NULL)->broker_sock)];
    const char *slash = strrchr(path, '/');
    int fd = -1, r;

    (void)snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path),
                   path); /* paths of sockets are short */
    r = slash > path ? ps_file_mkdirs(directory, 0700) : 0;
    if (r)
        return ps_error_set(reterr, r, "can't make the directory %s: %s", directory, ps_err_text(r));
    r = ps_sock_listen_unix(path, 0600, &fd);
    if (r == PS_ERR_CONFLICT)
        return ps_error_set(reterr, r, "a broker listens at %s already", path);
    if (r)
        return ps_error_set(reterr, r, "can't listen at %s: %s", path, ps_err_text(r));
    self->bound = true;
    self->path = ps_strf("%s", path);
    if (self->path)
        return fd;
    ps_close_fd_p(&fd);
    return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

static int start(struct ps_server *self, struct ps_broker_settings *settings, struct ps_error *reterr)
{
    const struct ps_actions actions = {self, on_send, on_pass, on_drop, on_log};
    struct ps_core_limit limits[PS_ENGINES_MAX];
    struct ps_core_options options;
    int r = ps_broker_settings_core(settings, &options, limits, reterr);

    if (r)
        return r;
    self->now_ms = ps_clock_mono_ms();
    r = ps_core_new(&self->core, &options, &actions, self->now_ms);
    if (r)
        return ps_error_set(reterr, r, "can't begin: %s", ps_err_text(r));
    self->context = zmq_ctx_new();
    if (!self->context)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_guard_new(&self->guard,
                     &(struct ps_guard_config){
                         .context = self->context, .settings = settings, .on_gone = on_gone, .ctx = self},
                     reterr);
    if (r)
        return r;
    r = listen_at(self, settings->listen, reterr);
    if (r < 0)
        return r;
    return ps_router_new(
        &self->router,
        &(struct ps_router_config){.context = self->context,
                                   .listen_fd = r,
                                   .path = settings->listen,
                                   .tcp = (const char *const *)settings->listen_tcp.at,
                                   .tcp_n = settings->listen_tcp.n,
                                   .peers_max = options.peers_max,
                                   .backlog_bytes = (size_t)settings->backlog_bytes,
                                   .secret_key = ps_guard_secret(self->guard),
                                   .zap_domain = PS_ZAP_DOMAIN,
                                   .monitor = ps_guard_secret(self->guard) ? PS_ZAP_MONITOR : NULL,
                                   .identify = identify,
                                   .on_message = on_message,
                                   .is_bound = is_bound,
                                   .ctx = self},
        reterr);
}

static void tell_tcp(const struct ps_server *self, const struct ps_broker_settings *settings)
{
    for (size_t i = 0; i < settings->listen_tcp.n; i++)
        ps_log(PS_LOG_INFO, "listening", "endpoint=%s", PS_LOGQ(ps_router_tcp(self->router, i)));
    if (settings->listen_tcp.n && !ps_guard_secret(self->guard))
        ps_log(PS_LOG_WARN, "insecure-tcp", "detail=%s",
               PS_LOGQ("no CURVE: whoever reaches the port can take samples and forge results"));
}

int ps_server_new(struct ps_server **ret_self, struct ps_broker_settings *settings, int signal_fd,
                  struct ps_error *reterr)
{
    struct ps_server *self = PS_NEW(struct ps_server);
    int r;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->signal_fd = signal_fd;
    r = start(self, settings, reterr);
    if (!r)
        tell_tcp(self, settings);
    if (r)
        ps_server_free(&self);
    else
        *ret_self = self;
    return r;
}

struct ps_guard *ps_server_guard(const struct ps_server *self)
{
    return self->guard;
}

void ps_server_free(struct ps_server **self_p)
{
    struct ps_server *self = *self_p;

    if (!self)
        return;
    ps_router_free(&self->router, PS_SERVER_LINGER_MS);
    ps_guard_free(&self->guard);
    ps_core_free(&self->core);
    if (self->context)
        (void)zmq_ctx_term(self->context); /* waits for the linger, at most */
    if (self->bound && self->path)
        (void)unlink(self->path); /* a leftover is replaced by the next broker */
    free(self->path);
    free(self);
    *self_p = NULL;
}

/* ---- the loop ---- */

/* Telling of a fallen peer may give others something to hear, and one of them may fall of it. */
static bool flush(struct ps_server *self, bool all)
{
    bool waits = ps_router_flush(self->router, all), full = false;
    uint32_t peer;

    while ((peer = ps_router_fallen(self->router, &full))) {
        step(self, &(struct ps_event){.kind = full ? PS_EVENT_FULL : PS_EVENT_GONE, .peer = peer});
        waits = ps_router_flush(self->router, all);
    }
    return waits;
}

static void look_around(struct ps_server *self)
{
    struct ps_router_counts counts = ps_router_counts(self->router);

    if (counts.unsent != self->unsent_n)
        ps_log(PS_LOG_WARN, "records-unsent", "n=%llu", (unsigned long long)(counts.unsent - self->unsent_n));
    self->unsent_n = counts.unsent;
    if (self->now_ms < self->tidy_ms)
        return;
    ps_guard_tell(self->guard);
    ps_router_tidy(self->router, self->now_ms);
    self->tidy_ms = self->now_ms + TIDY_MS;
}

/* Reads, thinks, answers. Returns how long there is nothing to do unless something comes. */
static long round_once(struct ps_server *self)
{
    uint64_t wait_ms;
    size_t n;
    bool waits, more;

    self->now_ms = ps_clock_mono_ms();
    n = ps_router_receive(self->router, self->now_ms, &more);
    if (self->now_ms >= self->tick_ms) {
        step(self, &(struct ps_event){.kind = PS_EVENT_TICK, .denied_n = ps_guard_denied(self->guard)});
        self->tick_ms = self->now_ms + PS_CORE_TICK_MS;
        look_around(self);
    } else if (n) {
        step(self, &(struct ps_event){.kind = PS_EVENT_TURN});
    }
    waits = flush(self, false);
    if (more)
        return 0;
    wait_ms = self->tick_ms - self->now_ms;
    if (ps_router_has_receipts(self->router))
        wait_ms = PS_MIN(wait_ms, (uint64_t)PS_ROUTER_RECEIPT_MS);
    return (long)PS_MIN(wait_ms, waits ? (uint64_t)PS_SERVER_RETRY_MS : UINT64_MAX);
}

/* True when it is time to end. */
static bool hear_signals(struct ps_server *self)
{
    struct signalfd_siginfo info;
    bool end = false;

    while (read(self->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            ps_guard_reload(self->guard);
        else
            end = true;
    }
    return end;
}

int ps_server_run(struct ps_server *self, struct ps_error *reterr)
{
    zmq_pollitem_t items[] = {{.socket = ps_router_socket(self->router), .events = ZMQ_POLLIN},
                              {.fd = self->signal_fd, .events = ZMQ_POLLIN},
                              {.fd = ps_guard_fd(self->guard), .events = ZMQ_POLLIN}};
    const int items_n = ps_guard_fd(self->guard) >= 0 ? 3 : 2;
    bool end = false;

    while (!self->failed && !end) {
        long wait_ms = round_once(self);

        items[0].revents = items[1].revents = items[2].revents = 0;
        if (zmq_poll(items, items_n, wait_ms) < 0 && errno != EINTR)
            return ps_error_set(reterr, PS_ERR_IO, "poll: %s", zmq_strerror(errno));
        if (items[2].revents)
            ps_guard_reload(self->guard);
        if (items[1].revents)
            end = hear_signals(self);
    }
    if (self->failed)
        return ps_error_set(reterr, self->failed, "the core gave up: %s", ps_err_text(self->failed));
    self->now_ms = ps_clock_mono_ms();
    step(self, &(struct ps_event){.kind = PS_EVENT_STOP});
    (void)flush(self, true); /* who does not read now hears it by silence */
    return 0;
}
