/* proto/peer/peer.c: the session's life.
 *
 *   DOWN --retry_ms--> GREETING --WELCOME--> OPEN
 *     ^                   |  REFUSED, no answer |  broken, silence, BYE, REFUSED, nonsense
 *     +-------------------+---------------------+
 *
 * recv only notes what is wrong (fault); tick, which knows the time, acts on it. So a message lent by recv
 * lives until the next call whatever it says. */
#include "proto/peer/peer.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/peer/inbox.h"
#include "proto/peer/outbox.h"

enum state { DOWN, GREETING, OPEN };

#define BEAT_MIN_MS 10 /* what a broker may ask for; beyond these it is a mistake, not a wish */
#define BEAT_MAX_MS 60000
#define DEAD_MAX_MS 600000

#define DENIED_TEXT "the broker does not know our key"

struct ps_peer {
    struct ps_peer_where where; /* own copies below */
    struct ps_keys keys;
    char *endpoint;
    char *name;
    enum ps_role role;

    int poll_fd; /* epoll: outlives links, so that callers may keep it */
    struct ps_link *link;
    struct ps_outbox outbox;
    struct ps_inbox inbox;

    enum state state;
    bool hello_sent; /* GREETING: waits for an answer */
    bool lost;       /* LOST is still to be told */
    bool denied;     /* REFUSED is still to be told: the broker does not know our key */
    bool fault;      /* the link is to be given up at the next tick */
    bool patient;    /* and the next try waits the longest */
    bool heard;      /* something came since the last tick */
    char why[PS_PEER_WHY_MAX];

    uint64_t now_ms;     /* of the last tick; 0 before the first */
    uint64_t retry_ms;   /* DOWN: when to connect */
    uint64_t answer_ms;  /* GREETING: when to give up waiting */
    uint64_t heard_ms;   /* OPEN: when the broker was last heard */
    uint64_t pulse_ms;   /* OPEN, master: when to send the next PULSE */
    uint64_t opened_ms;  /* OPEN: since when */
    uint64_t backoff_ms; /* next pause */
    uint64_t beat_ms;    /* by the WELCOME */
    uint64_t dead_ms;    /* by the WELCOME */

    uint64_t session; /* 0: none to resume */
    uint8_t token[PS_TOKEN_BYTES];
};

/* ---- life ---- */

static int copy_config(struct ps_peer *self, const struct ps_peer_config *config)
{
    size_t len = strlen(config->name);

    if (!ps_utf8_valid(config->name, len))
        return PS_ERR_INVALID;
    self->endpoint = ps_strf("%s", config->where.endpoint);
    self->name = ps_strndup(config->name, ps_utf8_cut(config->name, len, PS_NAME_MAX));
    if (!self->endpoint || !self->name)
        return PS_ERR_NOMEM;
    self->where = (struct ps_peer_where){config->where.context, self->endpoint, NULL};
    if (config->where.keys) {
        self->keys = *config->where.keys;
        self->where.keys = &self->keys;
    }
    return 0;
}

static int start(struct ps_peer *self, const struct ps_peer_config *config, struct ps_error *reterr)
{
    int r = copy_config(self, config);

    if (r)
        return ps_error_set(reterr, r, "name %s: %s", PS_LOGQ(config->name), ps_err_text(r));
    self->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->poll_fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "epoll: %s", strerror(errno));
    r = ps_link_new(&self->link, &self->where, PS_PEER_HWM, self->poll_fd);
    if (r)
        return ps_error_set(reterr, r, "can't connect to %s: %s", config->where.endpoint,
                            zmq_strerror(zmq_errno()));
    return 0;
}

int ps_peer_new(struct ps_peer **ret_self, const struct ps_peer_config *config, struct ps_error *reterr)
{
    size_t backlog = config->backlog_bytes > 0 ? config->backlog_bytes : PS_PEER_BACKLOG_BYTES;
    struct ps_peer *self = PS_NEW(struct ps_peer);
    int r;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "%s", ps_err_text(PS_ERR_NOMEM));

    self->poll_fd = -1;
    self->role = config->role;
    self->state = GREETING;
    self->backoff_ms = PS_PEER_BACKOFF_MIN_MS;
    ps_inbox_init(&self->inbox);
    ps_outbox_init(&self->outbox, PS_MAX(backlog, (size_t)PS_FRAME_MAX));

    r = start(self, config, reterr);
    if (r)
        ps_peer_free(&self);
    else
        *ret_self = self;
    return r;
}

void ps_peer_free(struct ps_peer **self_p)
{
    struct ps_peer *self = *self_p;

    if (!self)
        return;
    ps_link_free(&self->link, self->state == OPEN ? PS_PEER_LINGER_MS : 0);
    ps_outbox_fini(&self->outbox);
    ps_inbox_fini(&self->inbox);
    if (self->poll_fd >= 0)
        (void)close(self->poll_fd);
    ps_keys_fini(&self->keys);
    explicit_bzero(self->token, sizeof(self->token));
    free(self->endpoint);
    free(self->name);
    free(self);
    *self_p = NULL;
}

int ps_peer_fd(const struct ps_peer *self)
{
    return self->poll_fd;
}

bool ps_peer_is_open(const struct ps_peer *self)
{
    return self->state == OPEN && !self->fault;
}

size_t ps_peer_backlog(const struct ps_peer *self)
{
    return self->outbox.bytes;
}

const char *ps_peer_why(const struct ps_peer *self)
{
    return self->why;
}

/* ---- faults and the way back ---- */

/* The first reason stays: what follows is mostly its consequence. */
static void note_fault(struct ps_peer *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note_fault(struct ps_peer *self, const char *fmt, ...)
{
    va_list args;

    if (self->fault)
        return;
    self->fault = true;
    va_start(args, fmt);
    (void)vsnprintf(self->why, sizeof(self->why), fmt, args); /* cut when long */
    va_end(args);
}

void ps_peer_drop(struct ps_peer *self, const char *why)
{
    note_fault(self, "%s", why);
}

static void forget_session(struct ps_peer *self)
{
    self->session = 0;
    explicit_bzero(self->token, sizeof(self->token));
}

/* A pause that doubles, half of it by chance: a fleet that lost its broker does not come back in one moment.
 */
static void schedule_retry(struct ps_peer *self)
{
    bool lasted = self->state == OPEN && self->now_ms - self->opened_ms >= PS_PEER_BACKOFF_MAX_MS;
    uint64_t pause = lasted ? PS_PEER_BACKOFF_MIN_MS : self->backoff_ms;

    if (self->patient)
        pause = PS_PEER_BACKOFF_MAX_MS;
    self->backoff_ms = PS_MIN(pause * 2, (uint64_t)PS_PEER_BACKOFF_MAX_MS);
    self->retry_ms = self->now_ms + pause / 2 + randombytes_uniform((uint32_t)(pause / 2) + 1);
}

static void lose(struct ps_peer *self)
{
    schedule_retry(self);
    self->lost = self->lost || self->state == OPEN;
    self->state = DOWN;
    self->fault = false;
    self->patient = false;
    ps_link_free(&self->link, 0);
    ps_outbox_clear(&self->outbox);
    ps_inbox_clear(&self->inbox);
}

/* ---- time ---- */

static void reconnect(struct ps_peer *self)
{
    int r;

    if (self->now_ms < self->retry_ms)
        return;
    r = ps_link_new(&self->link, &self->where, PS_PEER_HWM, self->poll_fd);
    if (r) {
        note_fault(self, "can't make a socket: %s", ps_err_text(r));
        lose(self);
        return;
    }
    self->state = GREETING;
    self->hello_sent = false;
}

/* HELLO goes around the outbox: nothing else may be sent before its answer. */
static void say_hello(struct ps_peer *self)
{
    size_t token_len = self->session != 0 ? PS_TOKEN_BYTES : 0;
    int r =
        ps_outbox_put(&self->outbox,
                      PS_MSG(HELLO, .version_min = PS_PROTO_VERSION_MIN, .version_max = PS_PROTO_VERSION_MAX,
                             .role = self->role, .name = ps_bytes_of(self->name), .session = self->session,
                             .token = {self->token, token_len}),
                      NULL, 0);

    if (!r)
        r = ps_outbox_flush(&self->outbox, self->link);
    self->hello_sent = !r && self->outbox.bytes == 0;
    if (!self->hello_sent)
        ps_outbox_clear(&self->outbox); /* nobody there yet: say it anew when there is */
    if (self->hello_sent)
        self->answer_ms = self->now_ms + PS_PEER_ANSWER_MS;
    if (r)
        note_fault(self, "can't say HELLO: %s", ps_err_text(r));
}

static void greet(struct ps_peer *self)
{
    if (!self->hello_sent)
        say_hello(self);
    else if (self->now_ms >= self->answer_ms && !ps_link_readable(self->link))
        note_fault(self, "the broker did not answer within %d ms", PS_PEER_ANSWER_MS);
}

static void keep_alive(struct ps_peer *self)
{
    if (self->now_ms - self->heard_ms >= self->dead_ms && !ps_link_readable(self->link)) {
        note_fault(self, "the broker was silent for %llu ms",
                   (unsigned long long)(self->now_ms - self->heard_ms));
        return;
    }
    if (self->role != PS_ROLE_MASTER || self->now_ms < self->pulse_ms)
        return;
    (void)ps_peer_put(self,
                      PS_MSG(PULSE, .session = self->session)); /* a full backlog shows as silence there */
    self->pulse_ms = self->now_ms + self->beat_ms;
}

/* Who was himself late (stopped, swapped out) has not listened: the broker's silence counts from now on. */
static void set_now(struct ps_peer *self, uint64_t now_ms)
{
    if (self->heard || (self->state == OPEN && now_ms - self->now_ms > self->dead_ms / 2))
        self->heard_ms = now_ms;
    self->heard = false;
    self->now_ms = now_ms;
}

static void act(struct ps_peer *self)
{
    if (self->state == DOWN)
        reconnect(self);
    if (self->state == GREETING)
        greet(self);
    if (self->state == OPEN)
        keep_alive(self);
    if (self->state == OPEN && !self->fault && ps_peer_flush(self) == PS_ERR_CLOSED)
        note_fault(self, "the connection broke");
}

static uint64_t next_wake(const struct ps_peer *self)
{
    uint64_t wake = self->heard_ms + self->dead_ms;

    if (self->state == DOWN)
        return self->retry_ms;
    if (self->state == GREETING)
        return self->hello_sent ? self->answer_ms : self->now_ms + PS_PEER_BACKOFF_MAX_MS;
    if (self->role == PS_ROLE_MASTER)
        wake = PS_MIN(wake, self->pulse_ms);
    return PS_MAX(PS_MIN(wake, self->now_ms + self->beat_ms), self->now_ms);
}

static void check_link(struct ps_peer *self)
{
    if (ps_link_broken(self->link))
        note_fault(self, "the connection broke");
    if (self->fault || !ps_link_denied(self->link))
        return;
    note_fault(self, "%s", DENIED_TEXT);
    self->denied = true;
    self->patient = true;
}

uint64_t ps_peer_tick(struct ps_peer *self, uint64_t now_ms)
{
    set_now(self, now_ms);
    if (self->link)
        check_link(self);
    if (!self->fault)
        act(self);
    if (self->fault)
        lose(self);

    if (self->lost || self->denied || ps_inbox_begun(&self->inbox) ||
        (self->link && ps_link_readable(self->link)))
        return now_ms;
    return next_wake(self);
}

/* ---- listening ---- */

static enum ps_peer_event on_welcome(struct ps_peer *self, const struct ps_msg_WELCOME *msg)
{
    bool resumed = msg->resumed && msg->session == self->session;

    if (self->state != GREETING || !self->hello_sent || msg->token.len != PS_TOKEN_BYTES || msg->boot == 0 ||
        msg->session == 0 || msg->version < PS_PROTO_VERSION_MIN || msg->version > PS_PROTO_VERSION_MAX) {
        note_fault(self, "the broker's WELCOME is not valid");
        return PS_PEER_NOTHING;
    }

    self->session = msg->session;
    memcpy(self->token, msg->token.at, PS_TOKEN_BYTES);
    self->beat_ms = PS_MIN(PS_MAX(msg->beat_ms, (uint64_t)BEAT_MIN_MS), (uint64_t)BEAT_MAX_MS);
    self->dead_ms = PS_MIN(PS_MAX(msg->dead_ms, 2 * self->beat_ms), (uint64_t)DEAD_MAX_MS);
    self->state = OPEN;
    self->opened_ms = self->now_ms;
    self->heard_ms = self->now_ms;
    self->pulse_ms = self->now_ms + self->beat_ms;
    return resumed ? PS_PEER_RESUMED : PS_PEER_OPENED;
}

/* A stranger to this broker (it restarted, or the line was cut) says HELLO again, soon. When it is the HELLO
 * itself that was turned down for its session, that session is no more. All else needs people: tries are few.
 */
static enum ps_peer_event on_refused(struct ps_peer *self, const struct ps_msg_REFUSED *msg)
{
    bool stranger = ps_bytes_is(msg->code, "session");

    note_fault(self, "refused (%.*s): %.*s", (int)msg->code.len, (const char *)msg->code.at,
               (int)msg->reason.len, (const char *)msg->reason.at);
    self->patient = !stranger;
    if (self->state == OPEN)
        return PS_PEER_NOTHING;
    if (stranger && self->session != 0) {
        forget_session(self);
        return PS_PEER_NOTHING;
    }
    return PS_PEER_REFUSED;
}

static enum ps_peer_event on_msg(struct ps_peer *self, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_WELCOME:
        return on_welcome(self, &msg->WELCOME);
    case PS_MSG_REFUSED:
        return on_refused(self, &msg->REFUSED);
    case PS_MSG_PULSE:
        return PS_PEER_NOTHING;
    case PS_MSG_BYE:
        note_fault(self, "the broker said goodbye: %.*s", (int)msg->BYE.reason.len,
                   (const char *)msg->BYE.reason.at);
        forget_session(self);
        return PS_PEER_NOTHING;
    default:
        return self->state == OPEN ? PS_PEER_MESSAGE : PS_PEER_NOTHING;
    }
}

/* Events that no message of the broker's stands behind. */
static enum ps_peer_event untold(struct ps_peer *self, struct ps_msg *ret_msg)
{
    if (self->lost) {
        self->lost = false;
        return PS_PEER_LOST;
    }
    if (self->denied) {
        self->denied = false;
        *ret_msg = *PS_MSG(REFUSED, .code = PS_BYTES_LIT("denied"), .reason = PS_BYTES_LIT(DENIED_TEXT));
        return PS_PEER_REFUSED;
    }
    return PS_PEER_NOTHING;
}

enum ps_peer_event ps_peer_recv(struct ps_peer *self, struct ps_msg *ret_msg, struct ps_bytes *ret_carried)
{
    enum ps_peer_event event = untold(self, ret_msg);
    const char *why = NULL;

    *ret_carried = (struct ps_bytes){NULL, 0};
    while (event == PS_PEER_NOTHING && self->link && !self->fault) {
        int r = ps_inbox_next(&self->inbox, self->link, ret_msg, ret_carried, &why);

        if (r == 0)
            break;
        self->heard = true;
        if (r < 0)
            note_fault(self, "%s", why);
        else
            event = on_msg(self, ret_msg);
    }
    return event;
}

/* ---- talking ---- */

int ps_peer_put(struct ps_peer *self, const struct ps_msg *msg)
{
    return ps_peer_put_carrying(self, msg, NULL, 0);
}

int ps_peer_put_carrying(struct ps_peer *self, const struct ps_msg *msg, const void *data, size_t len)
{
    int r;

    if (!ps_peer_is_open(self))
        return PS_ERR_UNAVAILABLE;
    r = ps_outbox_put(&self->outbox, msg, data, len);
    if (!r && ps_outbox_ripe(&self->outbox) && ps_outbox_flush(&self->outbox, self->link) == PS_ERR_CLOSED)
        note_fault(self, "the connection broke");
    return r;
}

int ps_peer_flush(struct ps_peer *self)
{
    return ps_peer_is_open(self) ? ps_outbox_flush(&self->outbox, self->link) : 0;
}

void ps_peer_bye(struct ps_peer *self, const char *reason)
{
    (void)ps_peer_put(self, PS_MSG(BYE, .reason = ps_bytes_of(reason))); /* it may have nobody to say it to */
    (void)ps_peer_flush(self);
}
