/* broker/daemon/zap.c: raw libzmq, since czmq's zauth knows no rights, logs nothing of its own accord and reads its
 * directory by polling file times. */
#include "broker/daemon/zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define ENDPOINT   "inproc://zeromq.zap.01" /* RFC 27 */
#define VERSION    "1.0"
#define PART_MAX   256 /* bytes of a part of a request that are looked at */
#define PARTS_MAX  7
#define KEY_BYTES  32
#define ADMITTED   "200"
#define TURNED_OFF "400"

/* Which roles open which door. */
static const struct {
    const char *domain;
    unsigned roles;
} doors[] = {
    {PS_ZAP_DOMAIN, PS_CERT_ROLE(PS_ROLE_MASTER) | PS_CERT_ROLE(PS_ROLE_WORKER)},
    {PS_ZAP_DOMAIN_MDP, PS_CERT_CLIENT | PS_CERT_SERVICE},
};

/* Parts of a request. */
enum { Z_VERSION, Z_ID, Z_DOMAIN, Z_ADDRESS, Z_IDENTITY, Z_MECHANISM, Z_KEY };

struct ps_zap {
    void *rep;     /* where libzmq asks */
    void *monitor; /* where the ROUTER tells */
    struct ps_allowed *allowed;
    int stop_fd;
    pthread_t thread;
    bool started;

    uint64_t second_ms; /* of the log's limit: since when */
    unsigned lines_n;   /* in it */
    uint64_t unsaid_n;  /* left out */
};

struct part {
    char bytes[PART_MAX + 1]; /* with a NUL behind */
    size_t len;               /* as it came; more than PART_MAX: cut */
};

/* ---- the log: strangers must not fill the disk ---- */

static bool may_log(struct ps_zap *self)
{
    uint64_t now_ms = ps_clock_mono_ms();

    if (now_ms - self->second_ms >= 1000) {
        if (self->unsaid_n)
            ps_log(PS_LOG_WARN, "strangers-unlogged", "n=%llu", (unsigned long long)self->unsaid_n);
        self->second_ms = now_ms;
        self->lines_n = 0;
        self->unsaid_n = 0;
    }
    if (self->lines_n < PS_ZAP_LOG_MAX) {
        self->lines_n++;
        return true;
    }
    self->unsaid_n++;
    return false;
}

/* ---- ZAP ---- */

/* All parts are read, up to PARTS_MAX kept. Returns how many there were, 0 for none. */
static size_t receive(void *socket, struct part *parts)
{
    struct part surplus;
    int more = 1;
    size_t n = 0, more_len = sizeof(more);

    while (more) {
        struct part *part = n < PARTS_MAX ? &parts[n] : &surplus;
        int len = zmq_recv(socket, part->bytes, PART_MAX, ZMQ_DONTWAIT);

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return n;
        part->len = (size_t)len;
        part->bytes[PS_MIN(part->len, (size_t)PART_MAX)] = '\0';
        n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &more_len))
            return n;
    }
    return n;
}

static bool is(const struct part *part, const char *text)
{
    return part->len == strlen(text) && memcmp(part->bytes, text, part->len) == 0;
}

/* The roles that open the door of a domain; 0: there is no such door. */
static unsigned roles_for(const struct part *domain)
{
    for (size_t i = 0; i < PS_ARRAY_N(doors); i++)
        if (is(domain, doors[i].domain))
            return doors[i].roles;
    return 0;
}

/* True for a request of libzmq's about a client with CURVE. */
static bool is_curve(const struct part *parts, size_t n)
{
    return n == PARTS_MAX && is(&parts[Z_VERSION], VERSION) && roles_for(&parts[Z_DOMAIN]) &&
           is(&parts[Z_MECHANISM], "CURVE") && parts[Z_KEY].len == KEY_BYTES && parts[Z_ID].len <= PART_MAX &&
           parts[Z_ADDRESS].len <= PART_MAX;
}

static void answer(struct ps_zap *self, const struct part *id, const char *status, const char *text,
                   const char *user)
{
    const struct {
        const char *at;
        size_t len;
    } parts[] = {{VERSION, strlen(VERSION)}, {id->bytes, PS_MIN(id->len, (size_t)PART_MAX)},
                 {status, strlen(status)},   {text, strlen(text)},
                 {user, strlen(user)},       {"", 0}};

    /* It goes to libzmq itself, in this process: what fails now is a connection that is no more. */
    for (size_t i = 0; i < PS_ARRAY_N(parts); i++)
        (void)zmq_send(self->rep, parts[i].at, parts[i].len, i + 1 < PS_ARRAY_N(parts) ? ZMQ_SNDMORE : 0);
}

static void admit(struct ps_zap *self, const struct part *parts)
{
    char key[PS_KEY_TEXT];
    struct ps_allowed_key found;
    const char *why = "unknown key";

    if (!zmq_z85_encode(key, (const uint8_t *)parts[Z_KEY].bytes, KEY_BYTES)) {
        answer(self, &parts[Z_ID], TURNED_OFF, "no key", "");
        return;
    }
    if (ps_allowed_find(self->allowed, key, &found)) {
        if (found.roles & roles_for(&parts[Z_DOMAIN])) {
            answer(self, &parts[Z_ID], ADMITTED, "welcome", key);
            return;
        }
        why = "no role for this door";
    }
    answer(self, &parts[Z_ID], TURNED_OFF, why, "");
    if (may_log(self))
        ps_log(PS_LOG_WARN, "stranger", "address=%s key=%s why=\"%s\"", PS_LOGQ(parts[Z_ADDRESS].bytes),
               PS_LOGQ(key), why);
}

static void serve(struct ps_zap *self)
{
    struct part parts[PARTS_MAX];
    size_t n = receive(self->rep, parts);

    if (!n)
        return;
    if (is_curve(parts, n))
        admit(self, parts);
    else
        answer(self, &parts[n > Z_ID ? Z_ID : 0], TURNED_OFF, "CURVE only", "");
}

/* ---- handshakes that came to nothing without a question ---- */

/* A monitor's message: number and value in the machine's byte order, then the endpoint (ours: libzmq does not say whose
 * connection it was). */
static void note_handshake(struct ps_zap *self)
{
    struct part parts[PARTS_MAX];
    size_t n = receive(self->monitor, parts);
    uint16_t event;
    uint32_t value;
    const char *why;

    if (n < 2 || parts[0].len != sizeof(event) + sizeof(value))
        return;
    memcpy(&event, parts[0].bytes, sizeof(event));
    memcpy(&value, parts[0].bytes + sizeof(event), sizeof(value));
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        why = value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
                  ? "it does not speak CURVE, or should not here"
              : value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC ? "it has another public key of ours"
                                                               : "it does not speak our protocol";
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        why = "it left in the middle: it may not speak CURVE, or have another public key of ours";
    else
        return;
    if (may_log(self))
        ps_log(PS_LOG_WARN, "stranger", "endpoint=%s value=%#x why=%s", PS_LOGQ(parts[1].bytes), value,
               PS_LOGQ(why));
}

/* ---- the thread ---- */

static void *run(void *arg)
{
    struct ps_zap *self = arg;
    zmq_pollitem_t items[] = {{.socket = self->rep, .events = ZMQ_POLLIN},
                              {.socket = self->monitor, .events = ZMQ_POLLIN},
                              {.fd = self->stop_fd, .events = ZMQ_POLLIN}};

    while (!items[2].revents) {
        if (zmq_poll(items, (int)PS_ARRAY_N(items), -1) < 0 && errno != EINTR)
            break;
        if (items[0].revents)
            serve(self);
        if (items[1].revents)
            note_handshake(self);
    }
    return NULL;
}

static bool open_sockets(struct ps_zap *self, void *context)
{
    const int linger = 0;

    self->rep = zmq_socket(context, ZMQ_REP);
    self->monitor = zmq_socket(context, ZMQ_PAIR);
    return self->rep && self->monitor &&
           zmq_setsockopt(self->rep, ZMQ_LINGER, &linger, sizeof(linger)) == 0 &&
           zmq_setsockopt(self->monitor, ZMQ_LINGER, &linger, sizeof(linger)) == 0 &&
           zmq_bind(self->rep, ENDPOINT) == 0 && zmq_connect(self->monitor, PS_ZAP_MONITOR) == 0;
}

/* Signals belong to the main thread. */
static int start(struct ps_zap *self, void *context, struct ps_error *reterr)
{
    sigset_t all, before;
    int r;

    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->stop_fd < 0 || !open_sockets(self, context))
        return ps_error_set(reterr, PS_ERR_IO, "can't guard the door: %s", zmq_strerror(errno));
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* can't fail with good arguments */
    r = pthread_create(&self->thread, NULL, run, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->started = r == 0;
    return r ? ps_error_set(reterr, PS_ERR_IO, "can't start a thread: %s", strerror(r)) : 0;
}

int ps_zap_new(struct ps_zap **ret_self, void *context, struct ps_allowed *allowed, struct ps_error *reterr)
{
    struct ps_zap *self = PS_NEW(struct ps_zap);
    int r;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->allowed = allowed;
    r = start(self, context, reterr);
    if (r)
        ps_zap_free(&self);
    else
        *ret_self = self;
    return r;
}

void ps_zap_free(struct ps_zap **self_p)
{
    struct ps_zap *self = *self_p;

    if (!self)
        return;
    if (self->started) {
        (void)eventfd_write(self->stop_fd, 1);  /* full means that it is awake */
        (void)pthread_join(self->thread, NULL); /* ours, joined once */
    }
    if (self->rep)
        (void)zmq_close(self->rep); /* fail for strangers only */
    if (self->monitor)
        (void)zmq_close(self->monitor);
    ps_close_fd_p(&self->stop_fd);
    free(self);
    *self_p = NULL;
}
