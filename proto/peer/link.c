/* proto/peer/link.c: why the options are as they are.
 *
 * IMMEDIATE: nothing is queued towards a broker that is not there, so a HELLO is sent once, when somebody can
 * hear it. The monitor tells at once when a connection breaks; without it a restart of the broker would be
 * noticed only by silence. ROUTING_ID is never set: the broker's libzmq chooses it, and nobody can take
 * another's. */
#include "proto/peer/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "proto/limits.h"

#define RECONNECT_MIN_MS 100 /* libzmq's own retry while the broker is not there */
#define RECONNECT_MAX_MS 5000
#define CONNECT_MS       5000 /* one TCP connect may take so long */
#define HANDSHAKE_MS     5000 /* a stopped broker accepts and then says nothing */
#define WATCHED                                                                                        \
    (ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_SUCCEEDED)

struct ps_link {
    void *dealer;
    void *monitor; /* PAIR that tells what becomes of the connection */
    int poll_fd;   /* lent; -1: none */
    bool stood;    /* there was a connection */
    bool broken;   /* and it went */
    bool denied;   /* the broker turned our key away */
};

static int fd_of(void *socket)
{
    int fd = -1;
    size_t len = sizeof(fd);

    return zmq_getsockopt(socket, ZMQ_FD, &fd, &len) ? -1 : fd;
}

static int watch(const struct ps_link *self, void *socket)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = fd_of(socket);

    if (self->poll_fd < 0)
        return 0;
    return fd < 0 || epoll_ctl(self->poll_fd, EPOLL_CTL_ADD, fd, &event) ? PS_ERR_IO : 0;
}

/* libzmq closes the descriptor later, in another thread: it must leave the set before. */
static void unwatch(const struct ps_link *self, void *socket)
{
    int fd = fd_of(socket);

    if (self->poll_fd >= 0 && fd >= 0)
        (void)epoll_ctl(self->poll_fd, EPOLL_CTL_DEL, fd, NULL); /* not there when new failed half-way */
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

static bool set_keys(void *socket, const struct ps_keys *keys)
{
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->server_public, PS_KEY_TEXT) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->own_public, PS_KEY_TEXT) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->own_secret, PS_KEY_TEXT) == 0;
}

static bool set_options(void *socket, const struct ps_peer_where *where, int hwm)
{
    const int64_t frame_max = PS_FRAME_MAX;

    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) == 0 &&
           set_int(socket, ZMQ_SNDHWM, hwm) && set_int(socket, ZMQ_RCVHWM, hwm) &&
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_IMMEDIATE, 1) &&
           set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MIN_MS) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           set_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) && set_int(socket, ZMQ_IPV6, 1) &&
           (!where->keys || set_keys(socket, where->keys));
}

/* The address is of this process's context, so a counter makes it unique. */
static int open_monitor(struct ps_link *self, void *context)
{
    static atomic_uint_fast64_t counter;
    char address[64];

    (void)snprintf(address, sizeof(address), "inproc://ps-link-%" PRIuFAST64, atomic_fetch_add(&counter, 1));
    if (zmq_socket_monitor(self->dealer, address, WATCHED))
        return PS_ERR_IO;
    self->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!self->monitor || !set_int(self->monitor, ZMQ_LINGER, 0) || zmq_connect(self->monitor, address))
        return PS_ERR_IO;
    return watch(self, self->monitor);
}

static int open_dealer(struct ps_link *self, const struct ps_peer_where *where, int hwm)
{
    int r;

    self->dealer = zmq_socket(where->context, ZMQ_DEALER);
    if (!self->dealer)
        return errno == EMFILE ? PS_ERR_LIMIT : PS_ERR_IO;
    if (!set_options(self->dealer, where, hwm))
        return PS_ERR_INVALID;
    if ((r = open_monitor(self, where->context)) || (r = watch(self, self->dealer)))
        return r;
    return zmq_connect(self->dealer, where->endpoint) ? PS_ERR_INVALID : 0;
}

int ps_link_new(struct ps_link **ret_self, const struct ps_peer_where *where, int hwm, int poll_fd)
{
    struct ps_link *self = PS_NEW(struct ps_link);
    int r;

    if (!self)
        return PS_ERR_NOMEM;

    self->poll_fd = poll_fd;
    r = open_dealer(self, where, hwm);
    if (r)
        ps_link_free(&self, 0);
    else
        *ret_self = self;
    return r;
}

void ps_link_free(struct ps_link **self_p, int linger_ms)
{
    struct ps_link *self = *self_p;

    if (!self)
        return;
    /* The watch ends before its listener goes. The other way round an event in between is sent to nobody: libzmq's
     * thread blocks in that, holding the lock that zmq_socket_monitor takes, and so do we, for ever. */
    if (self->dealer)
        (void)zmq_socket_monitor(self->dealer, NULL, 0); /* fails for strangers only, like what follows */
    if (self->monitor) {
        unwatch(self, self->monitor);
        (void)zmq_close(self->monitor);
    }
    if (self->dealer) {
        unwatch(self, self->dealer);
        (void)set_int(self->dealer, ZMQ_LINGER, linger_ms);
        (void)zmq_close(self->dealer);
    }
    free(self);
    *self_p = NULL;
}

/* A first part that does not go finds no pipe or a full one. A later part fails only when the pipe has died
 * under it: libzmq counts whole messages. */
int ps_link_send(struct ps_link *self, zmq_msg_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0);
        int r;

        do
            r = zmq_msg_send(&parts[i], self->dealer, flags);
        while (r < 0 && errno == EINTR);
        if (r >= 0)
            continue;
        if (i == 0 && errno == EAGAIN)
            return PS_ERR_AGAIN;
        self->broken = true;
        return PS_ERR_CLOSED;
    }
    return 0;
}

int ps_link_recv(struct ps_link *self, zmq_msg_t *part, bool *ret_more)
{
    int r;

    do
        r = zmq_msg_recv(part, self->dealer, ZMQ_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN ? PS_ERR_AGAIN : PS_ERR_CLOSED;

    *ret_more = zmq_msg_more(part) != 0;
    return 0;
}

bool ps_link_readable(struct ps_link *self)
{
    int events = 0;
    size_t len = sizeof(events);

    return zmq_getsockopt(self->dealer, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

/* First part of a monitor's message: number of the event and a value, in the machine's byte order. */
static void note_event(struct ps_link *self, const void *data, size_t len)
{
    uint16_t event;

    if (len < sizeof(event))
        return;
    memcpy(&event, data, sizeof(event));
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        self->stood = true;
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        self->denied = true;
    else if (event == ZMQ_EVENT_DISCONNECTED && self->stood)
        self->broken = true;
}

bool ps_link_broken(struct ps_link *self)
{
    zmq_msg_t part;
    bool first = true;

    (void)zmq_msg_init(&part); /* can't fail */
    while (zmq_msg_recv(&part, self->monitor, ZMQ_DONTWAIT) >= 0) {
        if (first)
            note_event(self, zmq_msg_data(&part), zmq_msg_size(&part));
        first = !zmq_msg_more(&part);
    }
    (void)zmq_msg_close(&part);
    return self->broken;
}

bool ps_link_denied(const struct ps_link *self)
{
    return self->denied;
}
