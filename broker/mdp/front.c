/* broker/mdp/front.c: why the socket is as it is.
 *
 * MANDATORY and never waiting: a peer that is gone or full is told of, and none can block another. ZMTP pings find dead
 * connections, also of workers that work and do not speak. Input is drained before polling. */
#include "broker/mdp/front.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/layout.h"
#include "base/mem.h"
#include "base/sock.h"
#include "broker/mdp/body.h"
#include "proto/peer/parts.h"

#define HANDSHAKE_MS 5000  /* a connection that says nothing is closed */
#define TELL_MS      10000 /* between log lines about what went wrong */

struct ps_mdp_front {
    struct ps_mdp_front_config config;
    char *path; /* owned; ours to unlink once bound */
    bool bound;
    void *socket;
    char (*tcp)[PS_MDP_ENDPOINT_MAX]; /* owned: bound TCP endpoints */
    struct ps_mdp_core *core;
    int stop_fd; /* eventfd */
    pthread_t thread;
    bool running;
    uint64_t tick_ms; /* next tick */
    uint64_t tell_ms; /* next look at the counts */
    struct ps_mdp_counts told;
    uint64_t denied_told; /* of the counts, to config.tcp.denied */
};

/* ---- out ---- */

/* The address decides: an unknown or full peer is told of there. What follows is taken, or dropped with the peer. */
static bool begin(struct ps_mdp_front *self, struct ps_bytes address)
{
    int r;

    do
        r = zmq_send(self->socket, address.at, address.len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    while (r < 0 && errno == EINTR);
    return r >= 0;
}

static void put(struct ps_mdp_front *self, const void *data, size_t len, bool more)
{
    while (zmq_send(self->socket, data, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 && errno == EINTR)
        ;
}

static void put_head(struct ps_mdp_front *self, const char *protocol)
{
    put(self, "", 0, true);
    put(self, protocol, strlen(protocol), true);
}

static void put_body(struct ps_mdp_front *self, struct mdp_body *body)
{
    for (size_t i = 0; i < body->n; i++)
        while (zmq_msg_send(&body->parts[i], self->socket,
                            ZMQ_DONTWAIT | (i + 1 < body->n ? ZMQ_SNDMORE : 0)) < 0 &&
               errno == EINTR)
            ;
}

static bool on_request(void *ctx, struct ps_bytes worker, struct ps_bytes ticket, void *body)
{
    static const uint8_t command = PS_MDP_REQUEST;
    struct ps_mdp_front *self = ctx;

    if (!begin(self, worker))
        return false;
    put_head(self, PS_MDP_WORKER);
    put(self, &command, 1, true);
    put(self, ticket.at, ticket.len, true);
    put(self, "", 0, true);
    put_body(self, body);
    return true;
}

static bool on_reply(void *ctx, struct ps_bytes client, struct ps_bytes service, void *body)
{
    struct ps_mdp_front *self = ctx;

    if (!begin(self, client))
        return false;
    put_head(self, PS_MDP_CLIENT);
    put(self, service.at, service.len, true);
    put_body(self, body);
    return true;
}

static bool on_command(void *ctx, struct ps_bytes worker, enum ps_mdp_kind kind)
{
    struct ps_mdp_front *self = ctx;
    uint8_t command = (uint8_t)kind;

    if (!begin(self, worker))
        return false;
    put_head(self, PS_MDP_WORKER);
    put(self, &command, 1, false);
    return true;
}

static void on_answer(void *ctx, struct ps_bytes client, struct ps_bytes service, const char *text)
{
    struct ps_mdp_front *self = ctx;

    if (!begin(self, client))
        return;
    put_head(self, PS_MDP_CLIENT);
    put(self, service.at, service.len, true);
    put(self, text, strlen(text), false);
}

static void on_drop(void *ctx, void *body)
{
    mdp_body_free(body);
}

static bool on_may(void *ctx, const char *key, bool offers)
{
    const struct ps_mdp_front *self = ctx;

    return self->config.tcp.may(self->config.tcp.ctx, key, offers);
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    ps_log(level, event, "%s", text);
}

/* ---- in ---- */

static void hand_over(struct ps_mdp_front *self, zmq_msg_t *parts, size_t n)
{
    struct ps_bytes frames[PS_MDP_FRAMES_N];
    struct ps_mdp_message message;
    struct ps_mdp_event event = {.kind = PS_MDP_EVENT_BAD,
                                 .from = {zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])},
                                 .key = zmq_msg_gets(&parts[1], "User-Id")};
    size_t bytes = 0;

    for (size_t i = 1; i < n; i++) {
        frames[i - 1] = (struct ps_bytes){zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i])};
        bytes += frames[i - 1].len;
    }
    if (bytes <= self->config.message_bytes && ps_mdp_read(frames, n - 1, &message) == 0) {
        event.kind = PS_MDP_EVENT_MESSAGE;
        event.message = &message;
        event.body_n = n - 1 - message.body_at;
    }
    if (event.body_n) {
        struct mdp_body *body = mdp_body_take(&parts[1 + message.body_at], event.body_n);

        if (!body)
            return; /* no memory: as lost as if it had not come */
        event.body = body;
        event.body_bytes = body->bytes;
        event.first = (struct ps_bytes){zmq_msg_data(&body->parts[0]), zmq_msg_size(&body->parts[0])};
    }
    ps_mdp_core_step(self->core, ps_clock_mono_ms(), &event);
}

static bool receive_one(struct ps_mdp_front *self)
{
    zmq_msg_t parts[1 + PS_MDP_FRAMES_N];
    size_t n = ps_parts_receive(self->socket, parts, PS_ARRAY_N(parts));

    if (n > 1 && n <= PS_ARRAY_N(parts))
        hand_over(self, parts, n);
    else if (n)
        ps_mdp_core_step(self->core, ps_clock_mono_ms(), &(struct ps_mdp_event){.kind = PS_MDP_EVENT_BAD});
    for (size_t i = 0; i < PS_MIN(n, PS_ARRAY_N(parts)); i++)
        (void)zmq_msg_close(&parts[i]); /* they are messages; those moved out are empty */
    return n > 0;
}

/* ---- the thread ---- */

/* What peers did wrong or lost, once in a while, in numbers: a hostile one can't fill the log. */
static void tell(struct ps_mdp_front *self)
{
    struct ps_mdp_counts now = ps_mdp_core_counts(self->core), *old = &self->told;

    if (now.bad != old->bad || now.unexpected != old->unexpected || now.undelivered != old->undelivered ||
        now.dropped_limit != old->dropped_limit || now.dropped_late != old->dropped_late ||
        now.denied != old->denied)
        ps_log(PS_LOG_WARN, "mdp-trouble",
               "malformed=%llu unexpected=%llu denied=%llu undelivered=%llu over-limit=%llu late=%llu "
               "waiting=%zu",
               (unsigned long long)(now.bad - old->bad),
               (unsigned long long)(now.unexpected - old->unexpected),
               (unsigned long long)(now.denied - old->denied),
               (unsigned long long)(now.undelivered - old->undelivered),
               (unsigned long long)(now.dropped_limit - old->dropped_limit),
               (unsigned long long)(now.dropped_late - old->dropped_late), now.waiting_n);
    self->told = now;
}

/* For whoever shows it: at every tick, since that is what people look at. */
static void tell_denied(struct ps_mdp_front *self)
{
    uint64_t n = ps_mdp_core_counts(self->core).denied;

    if (n != self->denied_told && self->config.tcp.denied)
        self->config.tcp.denied(self->config.tcp.ctx, n - self->denied_told);
    self->denied_told = n;
}

/* Reads what came. Returns how long there is nothing to do unless more comes. */
static long round_once(struct ps_mdp_front *self)
{
    uint64_t now_ms;
    size_t n = 0;

    while (n < PS_MDP_TURN_MESSAGES && receive_one(self))
        n++;
    now_ms = ps_clock_mono_ms();
    if (now_ms >= self->tick_ms) {
        ps_mdp_core_step(self->core, now_ms, &(struct ps_mdp_event){.kind = PS_MDP_EVENT_TICK});
        tell_denied(self);
        self->tick_ms = now_ms + PS_MAX(self->config.limits.heartbeat_ms / PS_MDP_TICKS, 1u);
    }
    if (now_ms >= self->tell_ms) {
        tell(self);
        self->tell_ms = now_ms + TELL_MS;
    }
    return n == PS_MDP_TURN_MESSAGES ? 0 : (long)(self->tick_ms - now_ms);
}

static void *run(void *arg)
{
    struct ps_mdp_front *self = arg;
    zmq_pollitem_t items[] = {{.socket = self->socket, .events = ZMQ_POLLIN},
                              {.fd = self->stop_fd, .events = ZMQ_POLLIN}};

    while (!items[1].revents) {
        long wait_ms = round_once(self);

        items[0].revents = items[1].revents = 0;
        if (zmq_poll(items, 2, wait_ms) < 0 && errno != EINTR) {
            ps_log(PS_LOG_ERROR, "mdp-ended", "why=%s", PS_LOGQ(zmq_strerror(errno)));
            break;
        }
    }
    ps_mdp_core_step(self->core, ps_clock_mono_ms(), &(struct ps_mdp_event){.kind = PS_MDP_EVENT_STOP});
    tell(self);
    return NULL;
}

/* ---- life ---- */

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

static bool set_options(const struct ps_mdp_front *self)
{
    const int64_t frame_max = (int64_t)self->config.message_bytes;
    const int heartbeat_ms = (int)self->config.limits.heartbeat_ms;
    void *socket = self->socket;

    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) == 0 &&
           set_int(socket, ZMQ_SNDHWM, PS_MDP_HWM) && set_int(socket, ZMQ_RCVHWM, PS_MDP_HWM) &&
           set_int(socket, ZMQ_ROUTER_MANDATORY, 1) && set_int(socket, ZMQ_SNDTIMEO, 0) &&
           set_int(socket, ZMQ_RCVTIMEO, 0) && set_int(socket, ZMQ_LINGER, PS_MDP_LINGER_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, heartbeat_ms) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, heartbeat_ms * (int)self->config.limits.liveness);
}

static int listen_unix(struct ps_mdp_front *self, int *ret_fd, struct ps_error *reterr)
{
    PS_FREE char *directory = ps_strf("%s", self->path);
    char *slash = directory ? strrchr(directory, '/') : NULL;
    int flags, r;

    if (!slash)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    *slash = '\0';
    r = slash > directory ? ps_file_mkdirs(directory, 0700) : 0;
    if (r)
        return ps_error_set(reterr, r, "can't make the directory %s: %s", directory, ps_err_text(r));
    r = ps_sock_listen_unix(self->path, 0600, ret_fd);
    if (r == PS_ERR_CONFLICT)
        return ps_error_set(reterr, r, "a broker listens at %s already", self->path);
    if (r)
        return ps_error_set(reterr, r, "can't listen at %s: %s", self->path, ps_err_text(r));
    self->bound = true;
    flags = fcntl(*ret_fd, F_GETFL);
    if (flags < 0 || fcntl(*ret_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        ps_close_fd_p(ret_fd);
        return ps_error_set(reterr, PS_ERR_IO, "%s: %s", self->path, strerror(errno));
    }
    return 0;
}

/* libzmq would unlink the path of a broker that lives, and bind with the umask's mode: so it gets a socket of ours. */
static int bind_unix(struct ps_mdp_front *self, struct ps_error *reterr)
{
    PS_FREE char *endpoint = ps_strf("ipc://%s", self->path);
    PS_CLOSE int fd = -1;
    int r = endpoint ? listen_unix(self, &fd, reterr) : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");

    if (r)
        return r;
    if (!set_int(self->socket, ZMQ_USE_FD, fd) || zmq_bind(self->socket, endpoint))
        return ps_error_set(reterr, PS_ERR_IO, "can't listen at %s: %s", self->path, zmq_strerror(errno));
    (void)PS_TAKE_FD(fd); /* the socket's now */
    return 0;
}

/* libzmq copies a socket's options at each bind: these hold for TCP alone. */
static bool set_curve(struct ps_mdp_front *self)
{
    const struct ps_mdp_front_tcp *tcp = &self->config.tcp;

    return set_int(self->socket, ZMQ_USE_FD, -1) && set_int(self->socket, ZMQ_CURVE_SERVER, 1) &&
           zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, tcp->secret_key, strlen(tcp->secret_key) + 1) ==
               0 &&
           zmq_setsockopt(self->socket, ZMQ_ZAP_DOMAIN, tcp->zap_domain, strlen(tcp->zap_domain)) == 0 &&
           zmq_socket_monitor(self->socket, tcp->monitor,
                              ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) ==
               0;
}

static int bind_tcp(struct ps_mdp_front *self, struct ps_error *reterr)
{
    const struct ps_mdp_front_tcp *tcp = &self->config.tcp;

    if (!tcp->n)
        return 0;
    self->tcp = ps_alloc(tcp->n, sizeof(*self->tcp));
    if (!self->tcp)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (!set_curve(self))
        return ps_error_set(reterr, PS_ERR_IO, "no CURVE: %s", zmq_strerror(errno));
    for (size_t i = 0; i < tcp->n; i++) {
        PS_FREE char *endpoint = ps_strf("tcp://%s", tcp->at[i]);
        size_t len = sizeof(self->tcp[i]);

        if (!endpoint)
            return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
        if (!set_int(self->socket, ZMQ_IPV6, tcp->at[i][0] == '[' || tcp->at[i][0] == '*') ||
            zmq_bind(self->socket, endpoint) ||
            zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->tcp[i], &len))
            return ps_error_set(reterr, errno == EADDRINUSE ? PS_ERR_CONFLICT : PS_ERR_IO,
                                "can't listen at %s: %s", endpoint, zmq_strerror(errno));
    }
    return 0;
}

const char *ps_mdp_front_tcp(const struct ps_mdp_front *self, size_t i)
{
    return self->tcp[i];
}

static int start(struct ps_mdp_front *self, struct ps_error *reterr)
{
    const struct ps_mdp_actions actions = {self,      on_request, on_reply, on_command,
                                           on_answer, on_drop,    on_log,   on_may};
    uint8_t secret[PS_MDP_SECRET_BYTES];
    int r;

    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        return ps_error_set(reterr, PS_ERR_IO, "no random numbers: %s", strerror(errno));

    self->path = ps_strf("%s", self->config.path);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->socket = zmq_socket(self->config.context, ZMQ_ROUTER);
    if (!self->path || self->stop_fd < 0 || !self->socket || !set_options(self) ||
        ps_mdp_core_new(&self->core, &self->config.limits, &actions, secret, ps_clock_mono_ms()))
        return ps_error_set(reterr, PS_ERR_NOMEM, "no socket can be had");
    r = bind_unix(self, reterr);
    if (!r)
        r = bind_tcp(self, reterr);
    if (r)
        return r;
    if (pthread_create(&self->thread, NULL, run, self))
        return ps_error_set(reterr, PS_ERR_NOMEM, "no thread can be had");
    self->running = true;
    return 0;
}

int ps_mdp_front_start(struct ps_mdp_front **ret_self, const struct ps_mdp_front_config *config,
                       struct ps_error *reterr)
{
    PS_CLEANUP(ps_mdp_front_stop) struct ps_mdp_front *self = PS_NEW(struct ps_mdp_front);
    int r;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->config = *config;
    self->stop_fd = -1;
    r = start(self, reterr);
    if (!r)
        *ret_self = PS_TAKE(self);
    return r;
}

void ps_mdp_front_stop(struct ps_mdp_front **self_p)
{
    static const uint64_t one = 1;
    struct ps_mdp_front *self = PS_TAKE(*self_p);

    if (!self)
        return;
    if (self->running) {
        (void)!write(self->stop_fd, &one, sizeof(one)); /* an eventfd has room for it */
        (void)pthread_join(self->thread, NULL);         /* joinable, and not this thread */
    }
    ps_mdp_core_free(&self->core);
    if (self->socket)
        (void)zmq_close(self->socket); /* fails for strangers only */
    if (self->bound)
        (void)unlink(self->path); /* a leftover is replaced by the next broker */
    ps_close_fd_p(&self->stop_fd);
    free(self->tcp);
    free(self->path);
    free(self);
}
