/* broker/daemon/router.c: why the options are as they are.
 *
 * MANDATORY, and never waiting: an unknown or full peer is told of, and none can block another (without it libzmq drops
 * silently). Input is drained before polling, output gathered until the turn is over: wake-ups and system calls are what
 * a broker spends its time on. */
#include "broker/daemon/router.h"

#include <errno.h>
#include <fcntl.h>
#include <utlist.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/mem.h"
#include "broker/daemon/postbox.h"
#include "proto/limits.h"
#include "proto/peer/parts.h"

#define ADDRESS_BYTES 5    /* an id of libzmq's own making: a zero and a counter */
#define HANDSHAKE_MS  5000 /* a connection that says nothing is closed */
#define WATCHED       (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
#define KEEPALIVE_S   30 /* an idle TCP connection is probed so often, and given up */
#define KEEPALIVE_N   3  /* after so many probes without an answer */

struct peer {
    uint8_t address[ADDRESS_BYTES]; /* key of the table */
    uint32_t number;
    uint32_t who; /* by the proof of its first message */
    struct ps_postbox box;
    uint64_t heard_ms;
    bool listed;  /* in the list of those that have something to be sent */
    bool waiting; /* in the list of those whose receipts wait for company */
    bool leaving; /* forget after the next flush */
    bool gone, full;
    bool fallen; /* in that list */
    struct peer *next_listed, *next_waiting, *next_fallen;
    UT_hash_handle hh;
};

struct ps_router {
    struct ps_router_config config;
    void *socket;
    char (*tcp)[PS_ROUTER_ENDPOINT_MAX]; /* owned: bound TCP endpoints */
    struct peer **peers;                 /* owned, by number */
    uint32_t *free;                      /* owned stack of numbers */
    uint32_t free_n;
    struct peer *by_address;
    struct peer *listed;  /* have something to be sent */
    struct peer *waiting; /* have receipts to be sent, by receipts_ms at the latest */
    struct peer *fallen;  /* to be told of */
    uint64_t receipts_ms; /* 0: none waits */
    uint64_t now_ms;      /* of the last receive */
    struct ps_router_counts counts;
};

/* ---- the socket ---- */

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

/* A peer's machine that vanished is noticed by its silence; its connection, by these. */
static bool set_keepalive(void *socket)
{
    return set_int(socket, ZMQ_TCP_KEEPALIVE, 1) && set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S) &&
           set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_N);
}

static bool set_options(void *socket)
{
    const int64_t frame_max = PS_FRAME_MAX;

    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) == 0 &&
           set_int(socket, ZMQ_SNDHWM, PS_ROUTER_SEND_HWM) &&
           set_int(socket, ZMQ_RCVHWM, PS_ROUTER_RECEIVE_HWM) && set_int(socket, ZMQ_ROUTER_MANDATORY, 1) &&
           set_int(socket, ZMQ_SNDTIMEO, 0) && set_int(socket, ZMQ_RCVTIMEO, 0) &&
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_keepalive(socket);
}

/* libzmq would unlink the path of a broker that lives, and bind with the umask's mode: so it gets a socket of ours. */
static int open_socket(struct ps_router *self, struct ps_error *reterr)
{
    PS_FREE char *endpoint = ps_strf("ipc://%s", self->config.path);
    int flags = fcntl(self->config.listen_fd, F_GETFL);

    self->socket = zmq_socket(self->config.context, ZMQ_ROUTER);
    if (!self->socket || !endpoint)
        return ps_error_set(reterr, PS_ERR_NOMEM, "no socket: %s", zmq_strerror(errno));
    if (flags < 0 || fcntl(self->config.listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s: %s", self->config.path, strerror(errno));
    if (self->config.monitor && zmq_socket_monitor(self->socket, self->config.monitor, WATCHED))
        return ps_error_set(reterr, PS_ERR_IO, "no monitor: %s", zmq_strerror(errno));
    if (!set_options(self->socket) || !set_int(self->socket, ZMQ_USE_FD, self->config.listen_fd) ||
        zmq_bind(self->socket, endpoint))
        return ps_error_set(reterr, PS_ERR_IO, "can't listen at %s: %s", self->config.path,
                            zmq_strerror(errno));
    self->config.listen_fd = -1; /* the socket's now */
    return 0;
}

/* On TCP alone: the UNIX socket's wall is its directory's mode. libzmq lets in everybody with CURVE when nobody answers ZAP,
 * so whoever answers is there before we bind and goes after we closed. */
static bool set_curve(struct ps_router *self)
{
    const struct ps_router_config *config = &self->config;

    return !config->secret_key || (set_int(self->socket, ZMQ_CURVE_SERVER, 1) &&
                                   zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, config->secret_key,
                                                  strlen(config->secret_key) + 1) == 0 &&
                                   zmq_setsockopt(self->socket, ZMQ_ZAP_DOMAIN, config->zap_domain,
                                                  strlen(config->zap_domain)) == 0);
}

/* libzmq copies a socket's options at each bind: what is set between two binds holds for the later ones only. */
static int bind_tcp(struct ps_router *self, struct ps_error *reterr)
{
    if (!self->config.tcp_n)
        return 0;
    self->tcp = ps_alloc(self->config.tcp_n, sizeof(*self->tcp));
    if (!self->tcp)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (!set_int(self->socket, ZMQ_USE_FD, -1) || !set_curve(self))
        return ps_error_set(reterr, PS_ERR_IO, "%s", zmq_strerror(errno));
    for (size_t i = 0; i < self->config.tcp_n; i++) {
        const char *where = self->config.tcp[i];
        PS_FREE char *endpoint = ps_strf("tcp://%s", where);
        size_t len = sizeof(self->tcp[i]);

        if (!endpoint)
            return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
        if (!set_int(self->socket, ZMQ_IPV6, where[0] == '[' || where[0] == '*') ||
            zmq_bind(self->socket, endpoint) ||
            zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->tcp[i], &len))
            return ps_error_set(reterr, errno == EADDRINUSE ? PS_ERR_CONFLICT : PS_ERR_IO,
                                "can't listen at %s: %s", endpoint, zmq_strerror(errno));
    }
    return 0;
}

int ps_router_new(struct ps_router **ret_self, const struct ps_router_config *config, struct ps_error *reterr)
{
    struct ps_router *self = PS_NEW(struct ps_router);
    int fd = config->listen_fd, r;

    if (!self) {
        ps_close_fd_p(&fd);
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    self->config = *config;
    self->peers = ps_alloc((size_t)config->peers_max + 1, sizeof(struct peer *));
    self->free = ps_alloc(config->peers_max, sizeof(*self->free));
    if (!self->peers || !self->free) {
        ps_router_free(&self, 0);
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = config->peers_max; i > 0; i--)
        self->free[self->free_n++] = i;
    r = open_socket(self, reterr);
    if (!r)
        r = bind_tcp(self, reterr);
    if (r)
        ps_router_free(&self, 0);
    else
        *ret_self = self;
    return r;
}

static void forget(struct ps_router *self, struct peer *peer)
{
    if (peer->listed) /* so the list is not empty, which clang's analyzer can't know */
        LL_DELETE2(self->listed, peer, next_listed); // NOLINT(clang-analyzer-core.NullDereference)
    if (peer->waiting)
        LL_DELETE2(self->waiting, peer, next_waiting); // NOLINT(clang-analyzer-core.NullDereference)
    if (peer->fallen)
        LL_DELETE2(self->fallen, peer, next_fallen);
    HASH_DEL(self->by_address, peer); // NOLINT(clang-analyzer-core.NullDereference): it is in there
    self->peers[peer->number] = NULL;
    self->free[self->free_n++] = peer->number;
    self->counts.peers--;
    ps_postbox_fini(&peer->box);
    free(peer);
}

void ps_router_free(struct ps_router **self_p, int linger_ms)
{
    struct ps_router *self = *self_p;
    struct peer *peer, *next;

    if (!self)
        return;
    HASH_ITER (hh, self->by_address, peer, next)
        forget(self, peer);
    if (self->socket) {
        /* The watch ends before its listener goes: see proto/peer/link.c. */
        (void)zmq_socket_monitor(self->socket, NULL, 0); /* fails for strangers only, like what follows */
        (void)set_int(self->socket, ZMQ_LINGER, linger_ms);
        (void)zmq_close(self->socket); /* fails for strangers only */
    }
    ps_close_fd_p(&self->config.listen_fd);
    free(self->tcp);
    free(self->peers);
    free(self->free);
    free(self);
    *self_p = NULL;
}

void *ps_router_socket(struct ps_router *self)
{
    return self->socket;
}

const char *ps_router_tcp(const struct ps_router *self, size_t i)
{
    return self->tcp[i];
}

struct ps_router_counts ps_router_counts(const struct ps_router *self)
{
    return self->counts;
}

/* ---- peers ---- */

static struct peer *make_peer(struct ps_router *self, const uint8_t *address, uint32_t who)
{
    struct peer *peer;

    if (!self->free_n)
        return NULL;
    peer = PS_NEW(struct peer);
    if (!peer)
        return NULL;
    memcpy(peer->address, address, ADDRESS_BYTES);
    peer->who = who;
    ps_postbox_init(&peer->box);
    HASH_ADD(hh, self->by_address, address, ADDRESS_BYTES, peer);
    if (!peer->hh.tbl) { /* no memory for its place in the table */
        ps_postbox_fini(&peer->box);
        free(peer);
        return NULL;
    }
    peer->number = self->free[--self->free_n];
    self->peers[peer->number] = peer;
    self->counts.peers++;
    return peer;
}

/* An address belongs to who spoke from it first: libzmq's ids are easy to guess, and a peer may name itself so. */
static struct peer *find_peer(struct ps_router *self, zmq_msg_t *address, uint32_t who)
{
    const uint8_t *at = zmq_msg_data(address);
    struct peer *peer;

    if (zmq_msg_size(address) != ADDRESS_BYTES || at[0] != 0)
        return NULL;
    HASH_FIND(hh, self->by_address, at, ADDRESS_BYTES, peer);
    if (!peer)
        return make_peer(self, at, who);
    return peer->who == who ? peer : NULL;
}

void ps_router_tidy(struct ps_router *self, uint64_t now_ms)
{
    struct peer *peer, *next;

    HASH_ITER (hh, self->by_address, peer, next)
        if (!peer->fallen && now_ms - peer->heard_ms >= PS_ROUTER_FORGET_MS &&
            !self->config.is_bound(self->config.ctx, peer->number))
            forget(self, peer);
}

static void fall(struct ps_router *self, struct peer *peer)
{
    if (peer->fallen)
        return;
    peer->fallen = true;
    LL_PREPEND2(self->fallen, peer, next_fallen);
}

uint32_t ps_router_fallen(struct ps_router *self, bool *ret_full)
{
    struct peer *peer = self->fallen;
    uint32_t number;

    if (!peer)
        return 0;
    number = peer->number;
    *ret_full = !peer->gone;
    forget(self, peer);
    return number;
}

/* ---- in ---- */

static void hand_over(struct ps_router *self, struct peer *peer, zmq_msg_t *parts, size_t n)
{
    struct ps_bytes records = {zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])};

    if (n > 1 + PS_ROUTER_CARRIED_N)
        records.len = 0; /* more than anybody may send: as good as nothing, which is bad enough */
    self->config.on_message(self->config.ctx, peer->number, peer->who, records, parts + 1,
                            PS_MIN(n, (size_t)1 + PS_ROUTER_CARRIED_N) - 1);
}

/* The peer that a message is from; NULL: not to be heard. */
static struct peer *sender(struct ps_router *self, zmq_msg_t *address, zmq_msg_t *first)
{
    struct peer *peer;
    uint32_t who = 0;

    if (!self->config.identify(self->config.ctx, zmq_msg_gets(first, "User-Id"), &who)) {
        self->counts.denied++;
        return NULL;
    }
    peer = find_peer(self, address, who);
    if (!peer)
        self->counts.ignored++;
    return peer;
}

/* True when there was a message; its size is added to *bytes. */
static bool receive_one(struct ps_router *self, uint64_t now_ms, size_t *bytes)
{
    zmq_msg_t address, parts[1 + PS_ROUTER_CARRIED_N];
    struct peer *peer;
    size_t n;

    (void)zmq_msg_init(&address); /* always 0 */
    if (zmq_msg_recv(&address, self->socket, ZMQ_DONTWAIT) < 0)
        return false;
    n = zmq_msg_more(&address) ? ps_parts_receive(self->socket, parts, PS_ARRAY_N(parts)) : 0;
    for (size_t i = 0; i < n && i <= PS_ROUTER_CARRIED_N; i++)
        *bytes += zmq_msg_size(&parts[i]);
    peer = n ? sender(self, &address, &parts[0]) : NULL;
    if (peer) {
        peer->heard_ms = now_ms;
        peer->leaving = false;
        hand_over(self, peer, parts, n);
    }
    for (size_t i = 0; i < n && i <= PS_ROUTER_CARRIED_N; i++)
        (void)zmq_msg_close(&parts[i]); /* a moved one is empty */
    (void)zmq_msg_close(&address);
    return true;
}

size_t ps_router_receive(struct ps_router *self, uint64_t now_ms, bool *ret_more)
{
    size_t n = 0, bytes = 0;
    bool more = true;

    self->now_ms = now_ms;

    while (n < PS_ROUTER_TURN_MESSAGES && bytes < PS_ROUTER_TURN_BYTES &&
           (more = receive_one(self, now_ms, &bytes)))
        n++;
    *ret_more = more;
    return n;
}

/* ---- out ---- */

static void list(struct ps_router *self, struct peer *peer)
{
    if (peer->listed)
        return;
    peer->listed = true;
    LL_PREPEND2(self->listed, peer, next_listed);
}

/* Nobody waits for a receipt, and a message of its own would wake two threads for it. */
static bool is_receipt(enum ps_msg_id id)
{
    return id == PS_MSG_ACCEPTED || id == PS_MSG_COMMITTED;
}

static void await_company(struct ps_router *self, struct peer *peer)
{
    if (peer->waiting || peer->listed)
        return;
    peer->waiting = true;
    LL_PREPEND2(self->waiting, peer, next_waiting);
    if (!self->receipts_ms)
        self->receipts_ms = self->now_ms + PS_ROUTER_RECEIPT_MS;
}

/* Those that found no company. */
static void list_waiting(struct ps_router *self)
{
    struct peer *peer, *next;

    for (peer = self->waiting; peer; peer = next) {
        next = peer->next_waiting;
        peer->waiting = false;
        list(self, peer);
    }
    self->waiting = NULL;
    self->receipts_ms = 0;
}

/* True when something is left for which the peer has no room. */
static bool flush_one(struct ps_router *self, struct peer *peer)
{
    int r = peer->gone ? PS_ERR_CLOSED
                       : ps_postbox_send(&peer->box, self->socket, peer->address, sizeof(peer->address));

    if (r == PS_ERR_CLOSED) {
        peer->gone = true;
        ps_postbox_clear(&peer->box);
        fall(self, peer);
        return false;
    }
    if (peer->box.bytes > self->config.backlog_bytes) {
        peer->full = true;
        ps_postbox_clear(&peer->box);
        fall(self, peer);
        return false;
    }
    return r != 0;
}

/* The peer that may get one more record; NULL when there is none, or it fell. */
static struct peer *ready(struct ps_router *self, uint32_t number)
{
    struct peer *peer = number && number <= self->config.peers_max ? self->peers[number] : NULL;

    if (!peer || peer->fallen)
        return NULL;
    if (ps_postbox_ripe(&peer->box) && flush_one(self, peer) && ps_postbox_seal(&peer->box)) {
        self->counts.unsent++;
        return NULL;
    }
    return peer->fallen ? NULL : peer;
}

void ps_router_send(struct ps_router *self, uint32_t number, const struct ps_msg *msg)
{
    struct peer *peer = ready(self, number);
    int r = peer ? ps_postbox_put(&peer->box, msg) : 0;

    if (peer && is_receipt(msg->id))
        await_company(self, peer);
    else if (peer)
        list(self, peer);

    if (r == PS_ERR_LIMIT && ps_postbox_seal(&peer->box) == 0)
        r = ps_postbox_put(&peer->box, msg); /* alone it may fit */
    self->counts.unsent += r != 0;
}

void ps_router_pass(struct ps_router *self, uint32_t number, struct ps_bytes record, zmq_msg_t *carry)
{
    struct peer *peer = ready(self, number);
    int r = peer ? ps_postbox_pass(&peer->box, record, carry) : 0;

    if (peer)
        list(self, peer);

    if (r == PS_ERR_LIMIT && ps_postbox_seal(&peer->box) == 0)
        r = ps_postbox_pass(&peer->box, record, carry);
    self->counts.unsent += r != 0;
}

void ps_router_drop(struct ps_router *self, uint32_t number)
{
    struct peer *peer = number && number <= self->config.peers_max ? self->peers[number] : NULL;

    if (!peer)
        return;
    peer->leaving = true;
    list(self, peer);
}

bool ps_router_has_receipts(const struct ps_router *self)
{
    return self->receipts_ms != 0;
}

bool ps_router_flush(struct ps_router *self, bool all)
{
    struct peer *peer, *next, *listed;
    bool waits = false;

    if (self->receipts_ms && (all || self->now_ms >= self->receipts_ms))
        list_waiting(self);
    listed = self->listed;
    self->listed = NULL;
    for (peer = listed; peer; peer = next) {
        next = peer->next_listed;
        peer->listed = false;
        if (flush_one(self, peer) && !peer->leaving) {
            list(self, peer);
            waits = true;
        }
        if (peer->leaving && !peer->fallen)
            forget(self, peer);
    }
    return waits;
}
