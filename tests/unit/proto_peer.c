/* A peer against a broker of a few lines. Time is the test's: real milliseconds plus what a test leaps over. */
#include "tests/unit/proto_broker.h"

#include <poll.h>

#include "base/clock.h"
#include "proto/peer/peer.h"

#define PATIENCE_MS 10000 /* a condition that does not come about by then is a failure */

struct scene {
    struct broker broker;
    struct ps_peer *peer;
    uint64_t leap_ms;

    enum ps_peer_event event; /* the last one */
    int events[PS_PEER_REFUSED + 1];
    struct ps_msg got; /* at the peer; its numbers stay good */
    uint8_t carried[16];
    size_t carried_len;

    struct ps_msg said; /* at the broker, the last message but PULSE */
    uint64_t said_n[256];
    char name[PS_NAME_MAX + 1]; /* of the last HELLO */
    uint8_t token[PS_TOKEN_BYTES];
    size_t token_len;
    bool deaf; /* the broker does not read */
};

static uint64_t now_ms(const struct scene *self)
{
    return ps_clock_mono_ms() + self->leap_ms;
}

static void hear_broker(struct scene *self)
{
    struct ps_msg msg;

    while (!self->deaf && broker_next(&self->broker, &msg)) {
        self->said_n[msg.id]++;
        if (msg.id != PS_MSG_PULSE)
            self->said = msg;
        if (msg.id != PS_MSG_HELLO)
            continue;
        (void)snprintf(self->name, sizeof(self->name), "%.*s", (int)msg.HELLO.name.len,
                       (const char *)msg.HELLO.name.at);
        self->token_len = msg.HELLO.token.len;
        memcpy(self->token, msg.HELLO.token.at, self->token_len);
    }
}

static void hear_peer(struct scene *self)
{
    struct ps_bytes carried;
    struct ps_msg msg;
    enum ps_peer_event event;

    while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
        self->event = event;
        self->events[event]++;
        self->got = msg;
        self->carried_len = carried.len;
        if (carried.len <= sizeof(self->carried) && carried.len > 0)
            memcpy(self->carried, carried.at, carried.len);
    }
}

/* One turn: the peer's tick, a short wait for either side, and what came. */
static void turn_within(struct scene *self, uint64_t wait_ms)
{
    uint64_t now = now_ms(self), wake = ps_peer_tick(self->peer, now);
    struct pollfd pollfds[2] = {{.fd = ps_peer_fd(self->peer), .events = POLLIN}};
    nfds_t n = 1;
    size_t len = sizeof(int);

    if (self->broker.router && !self->deaf) {
        pollfds[n].events = POLLIN;
        assert_int_equal(zmq_getsockopt(self->broker.router, ZMQ_FD, &pollfds[n++].fd, &len), 0);
    }
    assert_true(wake >= now || wake == 0);
    hear_broker(self); /* its descriptor is edge-triggered */
    assert_true(poll(pollfds, n, wake > now ? (int)PS_MIN(wake - now, wait_ms) : 0) >= 0);
    hear_broker(self);
    hear_peer(self);
}

static void turn(struct scene *self)
{
    turn_within(self, 20);
}

#define UNTIL(scene, condition)                                                     \
    do {                                                                            \
        uint64_t end_ = ps_clock_mono_ms() + PATIENCE_MS;                           \
        while (!(condition)) {                                                      \
            turn(scene);                                                            \
            if (ps_clock_mono_ms() > end_)                                          \
                fail_msg("never: %s (%s)", #condition, ps_peer_why((scene)->peer)); \
        }                                                                           \
    } while (0)

/* Steps over time as a peer that ticks in time sees it. */
static void pass(struct scene *self, uint64_t ms)
{
    for (uint64_t step = 100; ms > 0; ms -= PS_MIN(ms, step)) {
        self->leap_ms += PS_MIN(ms, step);
        turn_within(self, 2);
    }
}

static void make_peer(struct scene *self, enum ps_role role)
{
    struct ps_error error;
    struct ps_peer_config config = {
        .where = {self->broker.context, self->broker.endpoint, NULL}, .role = role, .name = "tester 1"};

    if (ps_peer_new(&self->peer, &config, &error))
        fail_msg("%s", error.text);
}

/* A scene with an open session 7 of boot 5. */
static void open_scene(struct scene *self, enum ps_role role)
{
    memset(self, 0, sizeof(*self));
    broker_init(&self->broker);
    make_peer(self, role);
    UNTIL(self, self->said_n[PS_MSG_HELLO] == 1);
    broker_welcome(&self->broker, 5, 7, false);
    UNTIL(self, self->events[PS_PEER_OPENED] == 1);
}

static void close_scene(struct scene *self)
{
    ps_peer_free(&self->peer);
    assert_null(self->peer);
    ps_peer_free(&self->peer);
    broker_fini(&self->broker);
}

static void a_greeting_opens_a_session(void **state)
{
    struct scene self;

    memset(&self, 0, sizeof(self));
    broker_init(&self.broker);
    make_peer(&self, PS_ROLE_MASTER);
    assert_false(ps_peer_is_open(self.peer));
    assert_int_equal(ps_peer_put(self.peer, PS_MSG(PULSE, .session = 1)), PS_ERR_UNAVAILABLE);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 1);
    assert_int_equal(self.said.HELLO.version_min, PS_PROTO_VERSION_MIN);
    assert_int_equal(self.said.HELLO.version_max, PS_PROTO_VERSION_MAX);
    assert_int_equal(self.said.HELLO.role, PS_ROLE_MASTER);
    assert_int_equal(self.said.HELLO.session, 0);
    assert_int_equal(self.token_len, 0);
    assert_string_equal(self.name, "tester 1");

    broker_welcome(&self.broker, 5, 7, false);
    UNTIL(&self, self.events[PS_PEER_OPENED] == 1);
    assert_true(ps_peer_is_open(self.peer));
    assert_int_equal(self.got.WELCOME.boot, 5);
    assert_int_equal(self.got.WELCOME.session, 7);
    pass(&self, 3000);
    UNTIL(&self, self.said_n[PS_MSG_PULSE] >= 2);
    assert_int_equal(self.said_n[PS_MSG_HELLO], 1);
    close_scene(&self);
}

static void a_worker_sends_no_pulse(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_WORKER);
    pass(&self, 4000);
    assert_int_equal(self.said_n[PS_MSG_PULSE], 0);
    assert_true(ps_peer_is_open(self.peer));
    close_scene(&self);
}

/* A broker that starts after the peer is found by itself. */
static void a_broker_that_comes_later_is_found(void **state)
{
    struct scene self;

    memset(&self, 0, sizeof(self));
    broker_init(&self.broker);
    broker_hang_up(&self.broker);
    make_peer(&self, PS_ROLE_WORKER);
    for (int i = 0; i < 5; i++)
        turn(&self);
    broker_listen(&self.broker);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 1);
    broker_welcome(&self.broker, 5, 7, false);
    UNTIL(&self, self.events[PS_PEER_OPENED] == 1);
    assert_int_equal(self.events[PS_PEER_LOST], 0);
    close_scene(&self);
}

static void messages_share_frames_and_keep_their_order(void **state)
{
    struct scene self;
    size_t frames;
    struct ps_msg msg;
    uint64_t next = 0;

    open_scene(&self, PS_ROLE_WORKER);
    frames = self.broker.frames_n;
    self.deaf = true;
    for (uint64_t n = 0; n < 20000; n++)
        assert_int_equal(ps_peer_put(self.peer, PS_MSG(RESULT, .job = n, .engine = PS_BYTES_LIT("clamav"))),
                         0);
    for (uint64_t end = ps_clock_mono_ms() + PATIENCE_MS; next < 20000 && ps_clock_mono_ms() < end;) {
        turn(&self);
        while (broker_next(&self.broker, &msg))
            assert_int_equal(msg.RESULT.job, next++);
    }
    assert_int_equal(next, 20000);
    assert_in_range(self.broker.frames_n - frames, 2, 20000 / PS_FRAME_RECORDS + 1);
    close_scene(&self);
}

/* Said one by one, told as one list a frame; a list of another epoch is a record of its own. */
static void commits_are_gathered(void **state)
{
    struct scene self;
    size_t frames;
    struct ps_msg msg;
    uint64_t told = 0, records = 0;

    open_scene(&self, PS_ROLE_MASTER);
    frames = self.broker.frames_n;
    self.deaf = true;
    for (uint64_t n = 0; n < 1500; n++) {
        const struct ps_part_lease_ref ref = {.boot = 5, .seq = n, .job = n};

        assert_int_equal(ps_peer_put(self.peer, PS_MSG(COMMITTED, .epoch = n < 1400 ? 1 : 2,
                                                       .leases = {.items = &ref, .n = 1})),
                         0);
    }
    for (uint64_t end = ps_clock_mono_ms() + PATIENCE_MS; told < 1500 && ps_clock_mono_ms() < end;) {
        turn(&self);
        while (broker_next(&self.broker, &msg)) {
            struct ps_part_lease_ref ref;

            if (msg.id != PS_MSG_COMMITTED)
                continue; /* PULSE */
            records++;
            assert_int_equal(msg.COMMITTED.epoch, told < 1400 ? 1 : 2);
            while (ps_lease_ref_next(&msg.COMMITTED.leases, &ref)) {
                assert_int_equal(ref.boot, 5);
                assert_int_equal(ref.seq, told);
                assert_int_equal(ref.job, told++);
            }
        }
    }
    assert_int_equal(told, 1500);
    assert_in_range(records, 4, 6);
    assert_in_range(self.broker.frames_n - frames, 1, 6);
    assert_int_equal(ps_peer_backlog(self.peer), 0);
    close_scene(&self);
}

static void bytes_travel_behind_their_records(void **state)
{
    struct scene self;
    uint8_t sha[32] = {1};
    struct ps_msg msg;
    zmq_msg_t part;
    int n = 0;

    open_scene(&self, PS_ROLE_MASTER);
    self.deaf = true;
    zmq_msg_init(&part);
    for (uint64_t i = 0; i < 40; i++) {
        struct ps_msg *chunk = PS_MSG(CHUNK, .peer = 1, .offset = i, .size = 40);

        memcpy(chunk->CHUNK.sha256, sha, sizeof(sha));
        assert_int_equal(ps_peer_put_carrying(self.peer, chunk, &(uint8_t){(uint8_t)i}, 1), 0);
    }
    for (uint64_t end = ps_clock_mono_ms() + PATIENCE_MS; n < 40 && ps_clock_mono_ms() < end;) {
        uint64_t offsets[PS_PEER_CARRIED_N];
        int here = 0;

        turn(&self);
        do {
            if (!broker_next(&self.broker, &msg))
                break;
            if (msg.id == PS_MSG_CHUNK)
                offsets[here++] = msg.CHUNK.offset;
        } while (self.broker.frame.len > 0);
        for (int i = 0; i < here; i++, n++) {
            assert_true(broker_part(&self.broker, &part));
            assert_int_equal(zmq_msg_size(&part), 1);
            assert_int_equal(*(uint8_t *)zmq_msg_data(&part), offsets[i]);
            assert_int_equal(zmq_msg_more(&part), i + 1 < here);
        }
    }
    assert_int_equal(n, 40);
    zmq_msg_close(&part);
    close_scene(&self);
}

static void a_carried_frame_is_received_and_bounded(void **state)
{
    static uint8_t big[PS_CHUNK_MAX + 1];
    struct scene self;
    PS_BUF struct ps_buf out;

    open_scene(&self, PS_ROLE_WORKER);
    ps_buf_init(&out, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, PS_MSG(CHUNK, .offset = 9)), 0);
    broker_send(&self.broker, out.data, out.len, true);
    assert_int_equal(zmq_send(self.broker.router, "bytes", 5, 0), 5);
    UNTIL(&self, self.events[PS_PEER_MESSAGE] == 1);
    assert_int_equal(self.got.CHUNK.offset, 9);
    assert_int_equal(self.carried_len, 5);
    assert_memory_equal(self.carried, "bytes", 5);

    assert_int_equal(ps_peer_put_carrying(self.peer, PS_MSG(CHUNK, .offset = 9), big, sizeof(big)),
                     PS_ERR_LIMIT);
    broker_send(&self.broker, out.data, out.len, true);
    assert_int_equal(zmq_send(self.broker.router, big, sizeof(big), 0), sizeof(big));
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    assert_int_equal(self.events[PS_PEER_MESSAGE], 1);
    close_scene(&self);
}

/* The broker's process died: noticed at once by the broken connection, and the old session is asked for. */
static void a_session_is_resumed_after_a_break(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_WORKER);
    broker_hang_up(&self.broker);
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    assert_int_equal(ps_peer_put(self.peer, PS_MSG(CREDIT, .window = 1)), PS_ERR_UNAVAILABLE);
    assert_true(strlen(ps_peer_why(self.peer)) > 0);
    broker_listen(&self.broker);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    assert_int_equal(self.said.HELLO.session, 7);
    assert_int_equal(self.token_len, PS_TOKEN_BYTES);
    assert_memory_equal(self.token, BROKER_TOKEN, PS_TOKEN_BYTES);
    broker_welcome(&self.broker, 5, 7, true);
    UNTIL(&self, self.events[PS_PEER_RESUMED] == 1);
    assert_int_equal(ps_peer_put(self.peer, PS_MSG(CREDIT, .window = 3)), 0);
    UNTIL(&self, self.said_n[PS_MSG_CREDIT] == 1);
    assert_int_equal(self.said.CREDIT.window, 3);
    close_scene(&self);
}

static void a_new_boot_gives_a_new_session(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_MASTER);
    broker_hang_up(&self.broker);
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    broker_listen(&self.broker);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    broker_welcome(&self.broker, 6, 8, false);
    UNTIL(&self, self.events[PS_PEER_OPENED] == 2);
    assert_int_equal(self.got.WELCOME.boot, 6);
    assert_int_equal(self.events[PS_PEER_RESUMED], 0);
    close_scene(&self);
}

static void a_silent_broker_is_given_up(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_WORKER);
    pass(&self, 4000);
    broker_say(&self.broker, PS_MSG(PULSE, .session = 7));
    pass(&self, 4000);
    assert_int_equal(self.events[PS_PEER_LOST], 0);
    pass(&self, 3000);
    assert_int_equal(self.events[PS_PEER_LOST], 1);
    assert_non_null(strstr(ps_peer_why(self.peer), "silent"));
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    close_scene(&self);
}

/* Stopped for a minute and continued: it was deaf itself, and must not blame the broker. */
static void a_peer_that_was_stopped_does_not_blame_the_broker(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_MASTER);
    self.leap_ms += 60000;
    turn(&self);
    pass(&self, 2000);
    assert_int_equal(self.events[PS_PEER_LOST], 0);
    assert_true(ps_peer_is_open(self.peer));
    pass(&self, 5000);
    assert_int_equal(self.events[PS_PEER_LOST], 1);
    close_scene(&self);
}

static void a_hello_without_answer_is_repeated(void **state)
{
    struct scene self;

    memset(&self, 0, sizeof(self));
    broker_init(&self.broker);
    make_peer(&self, PS_ROLE_WORKER);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 1);
    pass(&self, PS_PEER_ANSWER_MS + 1000);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    assert_int_equal(self.events[PS_PEER_LOST], 0);
    broker_welcome(&self.broker, 5, 7, false);
    UNTIL(&self, self.events[PS_PEER_OPENED] == 1);
    close_scene(&self);
}

static void a_refusal_is_told_and_tried_again_late(void **state)
{
    struct scene self;

    memset(&self, 0, sizeof(self));
    broker_init(&self.broker);
    make_peer(&self, PS_ROLE_WORKER);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 1);
    broker_say(&self.broker,
               PS_MSG(REFUSED, .code = PS_BYTES_LIT("version"), .reason = PS_BYTES_LIT("too old")));
    UNTIL(&self, self.events[PS_PEER_REFUSED] == 1);
    pass(&self, 2000);
    assert_int_equal(self.said_n[PS_MSG_HELLO], 1);
    assert_non_null(strstr(ps_peer_why(self.peer), "too old"));
    pass(&self, PS_PEER_BACKOFF_MAX_MS);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    close_scene(&self);
}

/* To a broker that does not know the line any more the peer says HELLO again; when the broker does not know the
 * session either, it starts a new one. */
static void a_stranger_greets_again(void **state)
{
    struct scene self;
    const struct ps_msg *stranger =
        PS_MSG(REFUSED, .code = PS_BYTES_LIT("session"), .reason = PS_BYTES_LIT("who are you?"));

    open_scene(&self, PS_ROLE_WORKER);
    broker_say(&self.broker, stranger);
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    assert_int_equal(self.said.HELLO.session, 7);
    broker_say(&self.broker, stranger);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 3);
    assert_int_equal(self.said.HELLO.session, 0);
    assert_int_equal(self.token_len, 0);
    assert_int_equal(self.events[PS_PEER_REFUSED], 0);
    broker_welcome(&self.broker, 6, 9, false);
    UNTIL(&self, self.events[PS_PEER_OPENED] == 2);
    close_scene(&self);
}

static void a_goodbye_ends_the_session(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_WORKER);
    broker_say(&self.broker, PS_MSG(BYE, .reason = PS_BYTES_LIT("stopping")));
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    assert_int_equal(self.said.HELLO.session, 0);
    close_scene(&self);
}

/* The peer's own goodbye leaves, though it is freed at once. */
static void a_last_word_is_heard(void **state)
{
    struct scene self;
    struct ps_msg msg = {0};

    open_scene(&self, PS_ROLE_WORKER);
    ps_peer_bye(self.peer, "drained");
    ps_peer_free(&self.peer);
    for (uint64_t end = ps_clock_mono_ms() + PATIENCE_MS; ps_clock_mono_ms() < end && msg.id != PS_MSG_BYE;)
        if (!broker_next(&self.broker, &msg))
            assert_true(
                zmq_poll(&(zmq_pollitem_t){.socket = self.broker.router, .events = ZMQ_POLLIN}, 1, 20) >= 0);
    assert_int_equal(msg.id, PS_MSG_BYE);
    close_scene(&self);
}

/* The backlog is bounded in bytes, and all that was accepted arrives, in order. */
static void a_full_backlog_is_busy_and_loses_nothing(void **state)
{
    static uint8_t traits[PS_TRAITS_MAX];
    struct scene self;
    struct ps_msg msg;
    uint64_t sent = 0, next = 0;
    int r = 0;

    open_scene(&self, PS_ROLE_WORKER);
    self.deaf = true;
    memset(traits, '1', sizeof(traits));
    for (; sent < 2000 && !r; sent += !r) {
        r = ps_peer_put(self.peer, PS_MSG(RESULT, .job = sent, .traits = {traits, sizeof(traits)}));
        assert_true(ps_peer_backlog(self.peer) <= PS_PEER_BACKLOG_BYTES);
    }
    assert_int_equal(r, PS_ERR_BUSY);
    turn(&self);
    for (uint64_t end = ps_clock_mono_ms() + PATIENCE_MS; next < sent && ps_clock_mono_ms() < end;) {
        turn(&self);
        while (broker_next(&self.broker, &msg))
            assert_int_equal(msg.RESULT.job, next++);
    }
    assert_int_equal(next, sent);
    assert_int_equal(ps_peer_backlog(self.peer), 0);
    assert_int_equal(ps_peer_put(self.peer, PS_MSG(CREDIT, .window = 1)), 0);
    assert_int_equal(self.events[PS_PEER_LOST], 0);
    close_scene(&self);
}

static void nonsense_ends_the_session(const void *data, size_t len, bool more)
{
    struct scene self;

    open_scene(&self, PS_ROLE_WORKER);
    broker_send(&self.broker, data, len, more);
    if (more)
        assert_int_equal(zmq_send(self.broker.router, "x", 1, 0), 1);
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    assert_int_equal(self.events[PS_PEER_MESSAGE], 0);
    UNTIL(&self, self.said_n[PS_MSG_HELLO] == 2);
    close_scene(&self);
}

static void nonsense_is_not_believed(void **state)
{
    PS_BUF struct ps_buf out;

    nonsense_ends_the_session("hello", 5, false);
    nonsense_ends_the_session("", 0, false);
    nonsense_ends_the_session("\x92\x06\x07", 3, true); /* PULSE with bytes that no record owns */
    ps_buf_init(&out, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, PS_MSG(CHUNK, .offset = 9)), 0);
    nonsense_ends_the_session(out.data, out.len, false); /* CHUNK without its bytes */
    ps_buf_clear(&out);
    assert_int_equal(ps_msg_put(&out, PS_MSG(WELCOME, .version = 1, .boot = 1, .session = 1,
                                             .token = PS_BYTES_LIT(BROKER_TOKEN))),
                     0);
    nonsense_ends_the_session(out.data, out.len, false); /* a second WELCOME */
}

static void a_drop_is_a_loss(void **state)
{
    struct scene self;

    open_scene(&self, PS_ROLE_MASTER);
    ps_peer_drop(self.peer, "no sense in it");
    assert_false(ps_peer_is_open(self.peer));
    UNTIL(&self, self.events[PS_PEER_LOST] == 1);
    assert_string_equal(ps_peer_why(self.peer), "no sense in it");
    close_scene(&self);
}

static void bad_places_are_refused(void **state)
{
    void *context = zmq_ctx_new();
    struct ps_keys keys = {"too short", "too short", "too short"};
    struct ps_peer_config config = {.where = {context, "nowhere", NULL}, .role = PS_ROLE_WORKER, .name = "w"};
    struct ps_peer *peer = NULL;
    struct ps_error error = {0};

    assert_int_equal(ps_peer_new(&peer, &config, &error), PS_ERR_INVALID);
    assert_non_null(strstr(error.text, "nowhere"));
    config.where = (struct ps_peer_where){context, "tcp://127.0.0.1:1", &keys};
    assert_int_equal(ps_peer_new(&peer, &config, &error), PS_ERR_INVALID);
    config.where.keys = NULL;
    config.name = "\xff";
    assert_int_equal(ps_peer_new(&peer, &config, &error), PS_ERR_INVALID);
    assert_null(peer);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_greeting_opens_a_session),
        cmocka_unit_test(a_worker_sends_no_pulse),
        cmocka_unit_test(a_broker_that_comes_later_is_found),
        cmocka_unit_test(messages_share_frames_and_keep_their_order),
        cmocka_unit_test(commits_are_gathered),
        cmocka_unit_test(bytes_travel_behind_their_records),
        cmocka_unit_test(a_carried_frame_is_received_and_bounded),
        cmocka_unit_test(a_session_is_resumed_after_a_break),
        cmocka_unit_test(a_new_boot_gives_a_new_session),
        cmocka_unit_test(a_silent_broker_is_given_up),
        cmocka_unit_test(a_peer_that_was_stopped_does_not_blame_the_broker),
        cmocka_unit_test(a_hello_without_answer_is_repeated),
        cmocka_unit_test(a_refusal_is_told_and_tried_again_late),
        cmocka_unit_test(a_stranger_greets_again),
        cmocka_unit_test(a_goodbye_ends_the_session),
        cmocka_unit_test(a_last_word_is_heard),
        cmocka_unit_test(a_full_backlog_is_busy_and_loses_nothing),
        cmocka_unit_test(nonsense_is_not_believed),
        cmocka_unit_test(a_drop_is_a_loss),
        cmocka_unit_test(bad_places_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
