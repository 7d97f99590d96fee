#include "broker_stage.h"

#define T0 1000000u

static struct stage_line *add_line(struct stage *self, uint32_t peer)
{
    struct stage_line *line = &self->lines[self->n++];

    assert_true(self->n < STAGE_LINES_MAX);
    line->peer = peer;
    ps_buf_init(&line->record, PS_FRAME_MAX);
    return line;
}

static void decode(struct stage_line *line)
{
    struct ps_bytes frame = {line->record.data, line->record.len};

    assert_int_equal(ps_msg_next(&frame, &line->msg), 1);
    assert_int_equal(frame.len, 0);
}

static void on_send(void *ctx, uint32_t peer, const struct ps_msg *msg)
{
    struct stage_line *line = add_line(ctx, peer);

    assert_int_equal(ps_msg_put(&line->record, msg), 0);
    decode(line);
}

static void on_pass(void *ctx, uint32_t peer, struct ps_bytes record, void *carry)
{
    struct stage_line *line = add_line(ctx, peer);

    ps_buf_put(&line->record, record.at, record.len);
    line->carried = carry != NULL;
    decode(line);
}

static void on_drop(void *ctx, uint32_t peer)
{
    add_line(ctx, peer)->dropped = true;
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    struct stage *self = ctx;

    (void)snprintf(self->last_event, sizeof(self->last_event), "%s", event);
}

struct stage *stage_new(void)
{
    struct stage *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    ps_core_options_init(&self->options);
    self->options.boot = STAGE_BOOT;
    memset(self->options.secret, 7, sizeof(self->options.secret));
    self->now_ms = T0;
    return self;
}

void stage_open(struct stage *self)
{
    const struct ps_actions actions = {self, on_send, on_pass, on_drop, on_log};

    assert_int_equal(ps_core_new(&self->core, &self->options, &actions, self->now_ms), 0);
}

void stage_free(struct stage *self)
{
    for (size_t i = 0; i < self->n; i++)
        ps_buf_fini(&self->lines[i].record);
    ps_core_free(&self->core);
    free(self);
}

void stage_restart(struct stage *self)
{
    ps_core_free(&self->core);
    self->options.boot++;
    stage_open(self);
    stage_forget(self);
}

static void step(struct stage *self, const struct ps_event *event)
{
    assert_int_equal(ps_core_step(self->core, self->now_ms, event), 0);
    if (!self->unaudited && ps_core_check(self->core))
        fail_msg("%s", ps_core_check(self->core));
}

static void say(struct stage *self, uint32_t peer, const struct ps_msg *msg, void *carry, size_t n)
{
    struct ps_buf record;
    struct ps_bytes frame;
    struct ps_msg decoded;

    ps_buf_init(&record, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&record, msg), 0);
    frame = (struct ps_bytes){record.data, record.len};
    assert_int_equal(ps_msg_next(&frame, &decoded), 1);
    step(self, &(struct ps_event){.kind = PS_EVENT_MESSAGE,
                                  .peer = peer,
                                  .who = self->who,
                                  .msg = &decoded,
                                  .record = {record.data, record.len},
                                  .carry = carry,
                                  .carry_bytes = n});
    ps_buf_fini(&record);
}

void stage_say(struct stage *self, uint32_t peer, const struct ps_msg *msg)
{
    say(self, peer, msg, NULL, 0);
}

void stage_carry(struct stage *self, uint32_t peer, const struct ps_msg *msg, size_t n)
{
    int frame = 0;

    say(self, peer, msg, &frame, n);
}

void stage_event(struct stage *self, enum ps_event_kind kind, uint32_t peer)
{
    step(self, &(struct ps_event){.kind = kind, .peer = peer, .denied_n = self->denied_n});
}

void stage_ban(struct stage *self, uint32_t who)
{
    step(self, &(struct ps_event){.kind = PS_EVENT_BANNED, .who = who});
}

void stage_turn(struct stage *self)
{
    stage_event(self, PS_EVENT_TURN, 0);
}

void stage_jump(struct stage *self, uint64_t ms)
{
    self->now_ms += ms;
    stage_event(self, PS_EVENT_TICK, 0);
}

void stage_pass(struct stage *self, uint64_t ms)
{
    for (uint64_t end = self->now_ms + ms; self->now_ms < end;)
        stage_jump(self, end - self->now_ms < PS_CORE_TICK_MS ? end - self->now_ms : PS_CORE_TICK_MS);
}

const struct ps_msg *stage_heard(struct stage *self, uint32_t peer, enum ps_msg_id id)
{
    for (size_t i = 0; i < self->n; i++) {
        struct stage_line *line = &self->lines[i];

        if (!line->taken && !line->dropped && line->peer == peer && line->msg.id == id) {
            line->taken = true;
            return &line->msg;
        }
    }
    return NULL;
}

const struct ps_msg *stage_expect(struct stage *self, uint32_t peer, enum ps_msg_id id)
{
    const struct ps_msg *msg = stage_heard(self, peer, id);

    if (!msg)
        fail_msg("no %s to peer %u", ps_msg_name(id), peer);
    return msg;
}

void stage_expect_none(struct stage *self, uint32_t peer, enum ps_msg_id id)
{
    if (stage_heard(self, peer, id))
        fail_msg("%s to peer %u was not expected", ps_msg_name(id), peer);
}

bool stage_dropped(struct stage *self, uint32_t peer)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->lines[i].dropped && !self->lines[i].taken && self->lines[i].peer == peer) {
            self->lines[i].taken = true;
            return true;
        }
    return false;
}

void stage_forget(struct stage *self)
{
    for (size_t i = 0; i < self->n; i++)
        self->lines[i].taken = true;
}

struct ps_core_counts stage_counts(struct stage *self)
{
    struct ps_core_counts counts;

    ps_core_counts(self->core, &counts);
    return counts;
}

/* ---- people ---- */

struct stage_session stage_hello(struct stage *self, uint32_t peer, enum ps_role role,
                                 const struct stage_session *resume)
{
    struct stage_session session = {0};
    const struct ps_msg *msg;

    stage_say(self, peer,
              PS_MSG(HELLO, .version_min = PS_PROTO_VERSION_MIN, .version_max = PS_PROTO_VERSION_MAX,
                     .role = role, .name = ps_bytes_of(role == PS_ROLE_MASTER ? "m1" : "w1"),
                     .session = resume ? resume->id : 0,
                     .token = {resume ? resume->token : NULL, resume ? PS_TOKEN_BYTES : 0}));
    msg = stage_expect(self, peer, PS_MSG_WELCOME);
    session.id = msg->WELCOME.session;
    session.boot = msg->WELCOME.boot;
    session.resumed = msg->WELCOME.resumed;
    assert_int_equal(msg->WELCOME.token.len, PS_TOKEN_BYTES);
    memcpy(session.token, msg->WELCOME.token.at, PS_TOKEN_BYTES);
    return session;
}

struct stage_session stage_master(struct stage *self, uint32_t peer, uint32_t grant)
{
    struct stage_session session = stage_hello(self, peer, PS_ROLE_MASTER, NULL);

    stage_say(self, peer, PS_MSG(GRANT, .epoch = 1, .results = grant));
    return session;
}

/* "a,b" to offers; returns how many. */
static size_t split(const char *names, struct ps_bytes *ret, size_t max)
{
    size_t n = 0;

    while (names && *names) {
        size_t len = strcspn(names, ",");

        assert_true(n < max);
        ret[n++] = (struct ps_bytes){(const uint8_t *)names, len};
        names += len + (names[len] == ',');
    }
    return n;
}

void stage_ready(struct stage *self, uint32_t peer, const char *engines, uint32_t slots, uint32_t window,
                 const struct ps_part_held *held, size_t held_n, const struct ps_part_lease_ref *results,
                 size_t results_n)
{
    struct ps_bytes names[PS_ENGINES_MAX];
    struct ps_part_offer offers[PS_ENGINES_MAX] = {0};
    size_t n = split(engines, names, PS_ENGINES_MAX);

    for (size_t i = 0; i < n; i++)
        offers[i] =
            (struct ps_part_offer){.name = names[i], .kind = PS_KIND_EVILNESS, .version = PS_BYTES_LIT("1")};
    stage_say(self, peer,
              PS_MSG(READY, .slots = slots, .window = window, .isolation = PS_BYTES_LIT("full"),
                     .engines = {.items = offers, .n = n}, .held = {.items = held, .n = held_n},
                     .results = {.items = results, .n = results_n}));
}

struct stage_session stage_worker(struct stage *self, uint32_t peer, const char *engines, uint32_t slots,
                                  uint32_t window)
{
    struct stage_session session = stage_hello(self, peer, PS_ROLE_WORKER, NULL);

    stage_ready(self, peer, engines, slots, window, NULL, 0, NULL, 0);
    return session;
}

void stage_submit(struct stage *self, uint32_t peer, struct stage_submit submit)
{
    struct ps_bytes names[PS_ENGINES_MAX];
    struct ps_part_ask asks[PS_ENGINES_MAX] = {0};
    size_t n = split(submit.engines ? submit.engines : "clamav", names, PS_ENGINES_MAX);
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = submit.epoch ? submit.epoch : 1,
                                    .size = submit.size ? submit.size : 3,
                                    .type = PS_BYTES_LIT("text/plain"),
                                    .band = submit.band,
                                    .deadline_ms = submit.deadline_ms ? submit.deadline_ms : 300000,
                                    .owner = submit.owner,
                                    .jobs = {.items = asks, .n = n}}};

    memset(msg.SUBMIT.sha256, submit.sample, sizeof(msg.SUBMIT.sha256));
    if (!submit.sample)
        memcpy(msg.SUBMIT.sha256, &submit.job, sizeof(submit.job));
    if (!submit.no_data && !submit.size)
        msg.SUBMIT.data = PS_BYTES_LIT("abc");
    for (size_t i = 0; i < n; i++)
        asks[i] = (struct ps_part_ask){.job = submit.job + i, .engine = names[i], .lost = submit.lost};
    stage_say(self, peer, &msg);
}

struct ps_part_lease stage_lease(const struct ps_msg *job)
{
    struct ps_list_lease cursor = job->JOB.leases;
    struct ps_part_lease lease;

    assert_int_equal(cursor.n, 1);
    assert_true(ps_lease_next(&cursor, &lease));
    return lease;
}

struct ps_part_lease stage_job(struct stage *self, uint32_t peer)
{
    return stage_lease(stage_expect(self, peer, PS_MSG_JOB));
}

void stage_result(struct stage *self, uint32_t peer, uint64_t boot, uint64_t seq, uint64_t job,
                  const char *engine)
{
    stage_say(self, peer,
              PS_MSG(RESULT, .boot = boot, .seq = seq, .job = job, .engine = ps_bytes_of(engine),
                     .outcome = PS_OUTCOME_UNDETECTED, .counted = true, .worker = PS_BYTES_LIT("w1")));
}

void stage_committed(struct stage *self, uint32_t peer, uint64_t job)
{
    const struct ps_part_lease_ref ref = {.job = job};

    stage_say(self, peer, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = &ref, .n = 1}));
}

void stage_beat(struct stage *self, uint32_t peer, const struct stage_session *session,
                const struct ps_part_lease_ref *running, size_t n)
{
    stage_say(self, peer,
              PS_MSG(BEAT, .session = session->id, .token = {session->token, PS_TOKEN_BYTES},
                     .running = {.items = running, .n = n}));
}

void stage_pass_beating(struct stage *self, uint64_t ms, const struct stage_beater *beaters, size_t n)
{
    for (uint64_t passed = 0; passed < ms; passed += 1000) {
        for (size_t i = 0; i < n; i++)
            stage_beat(self, beaters[i].peer, beaters[i].session, &beaters[i].running,
                       beaters[i].running.job ? 1 : 0);
        stage_pass(self, 1000);
    }
}
