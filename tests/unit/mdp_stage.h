/* tests/unit/mdp_stage.h: the Majordomo core on a stage: peers are called by name, what is said to them is kept as lines of
 * text, the test turns the clock. Bodies are texts. A worker is shown tickets: in the lines they are the names of the clients
 * again, and a reply to a client's name carries the last ticket that was shown for it. */
#ifndef PS_TESTS_MDP_STAGE_H
#define PS_TESTS_MDP_STAGE_H

#include "unit.h"

#include "base/mem.h"
#include "broker/mdp/core.h"

#define MDP_LINES_MAX  1024
#define MDP_SHOWN_MAX  256 /* tickets */
#define MDP_CLIENT_MAX 16  /* bytes of a client's name */

struct mdp_shown {
    char client[MDP_CLIENT_MAX];
    uint8_t ticket[PS_MDP_TICKET_BYTES];
};

/* The core only carries it. */
struct mdp_body {
    char client[MDP_CLIENT_MAX]; /* who sent it, for requests */
    char text[];
};

struct mdp_stage {
    struct ps_mdp_core *core;
    struct ps_mdp_limits limits;
    uint64_t now_ms;
    char *lines[MDP_LINES_MAX];            /* what the core said, in order */
    size_t n, read_n;                      /* read_n: the test has seen so many */
    const char *gone;                      /* a peer that can't be reached; NULL: none */
    size_t bodies_n;                       /* in the core's hands */
    const char *key;                       /* of who says the next things; NULL: it needs none */
    const char *taken;                     /* a key that is not allowed any more; NULL: none */
    struct mdp_shown shown[MDP_SHOWN_MAX]; /* in order */
    size_t shown_n;
};

static inline void mdp_line(struct mdp_stage *self, char *line)
{
    assert_non_null(line);
    assert_true(self->n < MDP_LINES_MAX);
    self->lines[self->n++] = line;
}

static inline bool mdp_is_gone(const struct mdp_stage *self, struct ps_bytes peer)
{
    return self->gone && ps_bytes_is(peer, self->gone);
}

#define MDP_TEXT(bytes) (int)(bytes).len, (const char *)(bytes).at

static inline bool mdp_on_request(void *ctx, struct ps_bytes worker, struct ps_bytes ticket, void *body)
{
    struct mdp_stage *self = ctx;
    const struct mdp_body *what = body;
    struct mdp_shown *shown = &self->shown[self->shown_n++];

    assert_true(self->shown_n < MDP_SHOWN_MAX);
    assert_int_equal(ticket.len, PS_MDP_TICKET_BYTES);
    memcpy(shown->client, what->client, sizeof(shown->client));
    memcpy(shown->ticket, ticket.at, ticket.len);
    if (mdp_is_gone(self, worker))
        return false;
    mdp_line(self, ps_strf("%.*s REQUEST %s %s", MDP_TEXT(worker), what->client, what->text));
    return true;
}

static inline bool mdp_on_reply(void *ctx, struct ps_bytes client, struct ps_bytes service, void *body)
{
    struct mdp_stage *self = ctx;

    if (mdp_is_gone(self, client))
        return false;
    mdp_line(self, ps_strf("%.*s REPLY %.*s %s", MDP_TEXT(client), MDP_TEXT(service),
                           ((const struct mdp_body *)body)->text));
    return true;
}

static inline bool mdp_on_command(void *ctx, struct ps_bytes worker, enum ps_mdp_kind kind)
{
    struct mdp_stage *self = ctx;

    if (mdp_is_gone(self, worker))
        return false;
    mdp_line(self, ps_strf("%.*s %s", MDP_TEXT(worker), ps_mdp_word(kind)));
    return true;
}

static inline void mdp_on_answer(void *ctx, struct ps_bytes client, struct ps_bytes service, const char *text)
{
    mdp_line(ctx, ps_strf("%.*s ANSWER %.*s %s", MDP_TEXT(client), MDP_TEXT(service), text));
}

static inline void mdp_on_drop(void *ctx, void *body)
{
    struct mdp_stage *self = ctx;

    assert_true(self->bodies_n > 0);
    self->bodies_n--;
    free(body);
}

static inline void mdp_on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    assert_non_null(text);
}

/* A key is "ask", "offer" or "both", as long as it is not the one that was taken away. */
static inline bool mdp_on_may(void *ctx, const char *key, bool offers)
{
    const struct mdp_stage *self = ctx;

    return (!self->taken || strcmp(self->taken, key) != 0) &&
           (!strcmp(key, "both") || !strcmp(key, offers ? "offer" : "ask"));
}

static inline struct mdp_stage *mdp_stage_new(void)
{
    struct mdp_stage *self = PS_NEW(struct mdp_stage);

    assert_non_null(self);
    ps_mdp_limits_init(&self->limits);
    self->now_ms = 1000000;
    return self;
}

/* Begins, with the limits that the test has set. */
static inline void mdp_stage_open_with(struct mdp_stage *self, const uint8_t secret[PS_MDP_SECRET_BYTES])
{
    const struct ps_mdp_actions actions = {self,          mdp_on_request, mdp_on_reply, mdp_on_command,
                                           mdp_on_answer, mdp_on_drop,    mdp_on_log,   mdp_on_may};

    assert_int_equal(ps_mdp_core_new(&self->core, &self->limits, &actions, secret, self->now_ms), 0);
}

static inline void mdp_stage_open(struct mdp_stage *self)
{
    static const uint8_t secret[PS_MDP_SECRET_BYTES] = {7};

    mdp_stage_open_with(self, secret);
}

static inline void mdp_stage_free(struct mdp_stage *self)
{
    ps_mdp_core_check(self->core);
    ps_mdp_core_free(&self->core);
    assert_int_equal(self->bodies_n, 0); /* each was dropped once */
    for (size_t i = 0; i < self->n; i++)
        free(self->lines[i]);
    free(self);
}

static inline void mdp_event(struct mdp_stage *self, enum ps_mdp_event_kind kind)
{
    ps_mdp_core_step(self->core, self->now_ms, &(struct ps_mdp_event){.kind = kind});
    ps_mdp_core_check(self->core);
}

/* A message of a peer. service, client, body: NULL where it has none. */
static inline void mdp_say_bytes(struct mdp_stage *self, const char *from, enum ps_mdp_kind kind,
                                 const char *service, struct ps_bytes client, const char *body)
{
    struct ps_mdp_message message = {.kind = kind, .service = ps_bytes_of(service), .client = client};
    struct ps_mdp_event event = {.kind = PS_MDP_EVENT_MESSAGE,
                                 .from = ps_bytes_of(from),
                                 .key = self->key,
                                 .message = &message,
                                 .first = ps_bytes_of(body),
                                 .body_n = body != NULL,
                                 .body_bytes = body ? strlen(body) : 0};

    if (body) {
        struct mdp_body *own = ps_alloc(1, sizeof(*own) + strlen(body) + 1);

        assert_non_null(own);
        assert_true(strlen(from) < sizeof(own->client));
        memcpy(own->client, from, strlen(from));
        memcpy(own->text, body, strlen(body));
        event.first.at = (const uint8_t *)own->text;
        event.body = own;
        self->bodies_n++;
    }
    ps_mdp_core_step(self->core, self->now_ms, &event);
    ps_mdp_core_check(self->core);
}

static inline void mdp_say(struct mdp_stage *self, const char *from, enum ps_mdp_kind kind,
                           const char *service, const char *client, const char *body)
{
    mdp_say_bytes(self, from, kind, service, ps_bytes_of(client), body);
}

/* The last ticket that a worker was shown for client; its bare name when there was none. */
static inline struct ps_bytes mdp_ticket(const struct mdp_stage *self, const char *client)
{
    for (size_t i = self->shown_n; i-- > 0;)
        if (!strcmp(self->shown[i].client, client))
            return (struct ps_bytes){self->shown[i].ticket, PS_MDP_TICKET_BYTES};
    return ps_bytes_of(client);
}

static inline void mdp_ask(struct mdp_stage *self, const char *client, const char *service, const char *body)
{
    mdp_say(self, client, PS_MDP_CLIENT_REQUEST, service, NULL, body);
}

static inline void mdp_ready(struct mdp_stage *self, const char *worker, const char *service)
{
    mdp_say(self, worker, PS_MDP_READY, service, NULL, NULL);
}

static inline void mdp_reply(struct mdp_stage *self, const char *worker, const char *client, const char *body)
{
    mdp_say_bytes(self, worker, PS_MDP_REPLY, NULL, mdp_ticket(self, client), body);
}

static inline void mdp_beat(struct mdp_stage *self, const char *worker)
{
    mdp_say(self, worker, PS_MDP_HEARTBEAT, NULL, NULL, NULL);
}

/* Lets ms pass in ticks. */
static inline void mdp_pass(struct mdp_stage *self, uint64_t ms)
{
    uint64_t end = self->now_ms + ms, step = self->limits.heartbeat_ms / PS_MDP_TICKS;

    while (self->now_ms < end) {
        self->now_ms = PS_MIN(end, self->now_ms + step);
        mdp_event(self, PS_MDP_EVENT_TICK);
    }
}

/* The next line is that one. */
static inline void mdp_expect(struct mdp_stage *self, const char *line)
{
    assert_true(self->read_n < self->n);
    assert_string_equal(self->lines[self->read_n++], line);
}

static inline void mdp_expect_silence(struct mdp_stage *self)
{
    assert_string_equal(self->read_n < self->n ? self->lines[self->read_n] : "", "");
}

/* What was said up to now does not matter. */
static inline void mdp_forget(struct mdp_stage *self)
{
    self->read_n = self->n;
}

static inline struct ps_mdp_counts mdp_counts(const struct mdp_stage *self)
{
    return ps_mdp_core_counts(self->core);
}

static inline int mdp_setup(void **state)
{
    *state = mdp_stage_new();
    return 0;
}

static inline int mdp_teardown(void **state)
{
    mdp_stage_free(*state);
    return 0;
}

#endif
