/* tests/sim/net.c: connections, and the broker's process behind them. */
#include "tests/sim/sim.h"

#define DELAY_MAX_MS 120
#define STALL_MAX_MS 3000
#define SILENT_MS    SIM_DEAD_MS
#define ANSWER_MS    5000

uint64_t sim_draw(struct sim *sim, uint64_t below)
{
    sim->state ^= sim->state << 13;
    sim->state ^= sim->state >> 7;
    sim->state ^= sim->state << 17;
    return (sim->state * 0x2545f4914f6cdd1du >> 11) % below;
}

bool sim_chance(struct sim *sim, unsigned in)
{
    return sim_draw(sim, in) == 0;
}

/* ---- queues ---- */

static void queue_init(struct sim_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_clear(struct sim_queue *queue)
{
    while (queue->first) {
        struct sim_message *next = queue->first->next;

        free(queue->first);
        queue->first = next;
    }
    queue_init(queue);
}

static uint64_t draw_delay(struct sim *sim)
{
    if (sim->faults.break_link && sim_chance(sim, 200))
        return sim_draw(sim, STALL_MAX_MS);
    return sim_chance(sim, 4) ? sim_draw(sim, DELAY_MAX_MS) : 1;
}

/* In order, whatever the delays: a connection is a stream. */
static void queue_put(struct sim *sim, struct sim_queue *queue, struct ps_bytes record, bool carries,
                      size_t carry_bytes)
{
    struct sim_message *message = malloc(sizeof(*message) + record.len);

    if (!message)
        abort();
    message->next = NULL;
    message->due_ms = sim->now_ms + draw_delay(sim);
    message->carries = carries;
    message->carry_bytes = carry_bytes;
    message->len = record.len;
    memcpy(message->bytes, record.at, record.len);
    *queue->last = message;
    queue->last = &message->next;
    sim->messages_n++;
}

static struct sim_message *queue_take(struct sim *sim, struct sim_queue *queue)
{
    struct sim_message *message = queue->first;

    if (!message || message->due_ms > sim->now_ms)
        return NULL;
    queue->first = message->next;
    if (!queue->first)
        queue->last = &queue->first;
    return message;
}

static void encode(const struct ps_msg *msg, struct ps_buf *buf)
{
    ps_buf_init(buf, PS_FRAME_MAX);
    if (ps_msg_put(buf, msg))
        abort();
}

static void decode(const struct sim_message *message, struct ps_msg *ret_msg)
{
    struct ps_bytes frame = {message->bytes, message->len};

    if (ps_msg_next(&frame, ret_msg) != 1 || frame.len)
        abort();
}

/* ---- links ---- */

int sim_connect(struct sim *sim, uint32_t who)
{
    if (!sim->core || sim->broker_stopped_ms > sim->now_ms)
        return -1;
    for (int i = 0; i < SIM_LINKS; i++)
        if (!sim->links[i].used) {
            struct sim_link *link = &sim->links[i];

            *link = (struct sim_link){.used = true, .up = true, .who = who, .serial = link->serial + 1};
            queue_init(&link->to_broker);
            queue_init(&link->to_peer);
            return link->serial * SIM_LINKS + i;
        }
    return -1;
}

/* What was sent to the broker and not delivered is lost with the connection, and the other way. */
static void cut(struct sim *sim, int i)
{
    if (!sim->links[i].used)
        return;
    sim->links[i].up = false;
    queue_clear(&sim->links[i].to_broker);
    queue_clear(&sim->links[i].to_peer);
    if (!sim->core || !ps_core_is_bound(sim->core, (uint32_t)i + 1))
        sim->links[i].used = false;
}

/* The connection of that number, NULL when it is no more. */
static struct sim_link *link_of(struct sim *sim, int number)
{
    struct sim_link *link = number >= 0 ? &sim->links[number % SIM_LINKS] : NULL;

    return link && link->up && link->serial == number / SIM_LINKS ? link : NULL;
}

bool sim_is_up(struct sim *sim, int number)
{
    return link_of(sim, number) != NULL;
}

void sim_disconnect(struct sim *sim, int number)
{
    if (link_of(sim, number))
        cut(sim, number % SIM_LINKS);
}

void sim_say(struct sim *sim, int number, const struct ps_msg *msg, size_t carry_bytes)
{
    struct sim_link *link = link_of(sim, number);
    struct ps_buf buf;

    if (!link)
        return;
    encode(msg, &buf);
    queue_put(sim, &link->to_broker, (struct ps_bytes){buf.data, buf.len}, ps_msg_carries(msg->id),
              carry_bytes);
    ps_buf_fini(&buf);
}

struct sim_message *sim_hear(struct sim *sim, int number, struct ps_msg *ret_msg)
{
    struct sim_link *link = link_of(sim, number);
    struct sim_message *message = link ? queue_take(sim, &link->to_peer) : NULL;

    if (message)
        decode(message, ret_msg);
    return message;
}

/* What the core counted, before it forgets. */
static void note_counts(struct sim *sim)
{
    struct ps_core_counts c;

    ps_core_counts(sim->core, &c);
    sim->saw[SIM_SAW_lost] += c.lost;
    sim->saw[SIM_SAW_late] += c.late;
    sim->saw[SIM_SAW_buried] += c.buried;
    sim->saw[SIM_SAW_unavailable] += c.unavailable;
    sim->saw[SIM_SAW_expired] += c.expired;
    sim->saw[SIM_SAW_requeued] += c.requeued;
    sim->saw[SIM_SAW_copied] += c.copied;
    sim->saw[SIM_SAW_refused_beats] += c.refused_beats;
    sim->saw[SIM_SAW_refused_epochs] += c.refused_epochs;
    sim->saw[SIM_SAW_dropped_chunks] += c.dropped_chunks;
}

void sim_net_fini(struct sim *sim)
{
    for (int i = 0; i < SIM_LINKS; i++)
        if (sim->links[i].used) {
            queue_clear(&sim->links[i].to_broker);
            queue_clear(&sim->links[i].to_peer);
        }
    note_counts(sim);
    ps_core_free(&sim->core);
}

/* ---- the broker's process ---- */

static bool is_banned(const struct sim *sim, const struct sim_link *link)
{
    return sim->banned_ms[link->who] > sim->now_ms;
}

static void on_send(void *ctx, uint32_t peer, const struct ps_msg *msg)
{
    struct sim *sim = ctx;
    struct sim_link *link = &sim->links[peer - 1];
    struct ps_buf buf;

    if (is_banned(sim, link) && msg->id != PS_MSG_REFUSED)
        sim->broken = "who is banned was told something";
    if (!link->up) {
        sim->gone[peer - 1] = true; /* told after this step */
        return;
    }
    encode(msg, &buf);
    queue_put(sim, &link->to_peer, (struct ps_bytes){buf.data, buf.len}, false, 0);
    ps_buf_fini(&buf);
}

static void on_pass(void *ctx, uint32_t peer, struct ps_bytes record, void *carry)
{
    struct sim *sim = ctx;
    struct sim_link *link = &sim->links[peer - 1];

    if (is_banned(sim, link))
        sim->broken = "who is banned was passed something";
    if (!link->up)
        sim->gone[peer - 1] = true;
    else
        queue_put(sim, &link->to_peer, record, carry != NULL, carry ? *(size_t *)carry : 0);
}

static void on_drop(void *ctx, uint32_t peer)
{
    struct sim *sim = ctx;
    struct sim_link *link = &sim->links[peer - 1];

    if (!link->up)
        link->used = false;
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    const struct sim *sim = ctx;

    if (sim->verbose)
        printf("%8llu broker %s %s\n", (unsigned long long)sim->now_ms, event, text);
}

void sim_broker_start(struct sim *sim)
{
    const struct ps_actions actions = {sim, on_send, on_pass, on_drop, on_log};

    sim->options.boot = sim->options.boot * 6364136223846793005u + 1442695040888963407u;
    sim->options.boot += !sim->options.boot;
    if (ps_core_new(&sim->core, &sim->options, &actions, sim->now_ms))
        abort();
}

void sim_broker_kill(struct sim *sim)
{
    note_counts(sim);
    ps_core_free(&sim->core);
    for (int i = 0; i < SIM_LINKS; i++)
        cut(sim, i);
    memset(sim->gone, 0, sizeof(sim->gone));
    sim->restarts++;
    sim->saw[SIM_SAW_broker_killed]++;
    sim_broker_start(sim);
}

static void step(struct sim *sim, const struct ps_event *event)
{
    uint64_t now_ms = sim->now_ms;

    sim->steps_n++;
    if (sim->faults.jumps && sim_chance(sim, 500)) {
        now_ms -= sim_draw(sim, 3000);
        sim->saw[SIM_SAW_went_back]++;
    }
    if (ps_core_step(sim->core, now_ms, event))
        sim->broken = "the core failed";
}

void sim_broker_ban(struct sim *sim, uint32_t who, uint64_t for_ms)
{
    step(sim, &(struct ps_event){.kind = PS_EVENT_BANNED, .who = who});
    sim->banned_ms[who] = sim->now_ms + for_ms;
    sim->saw[SIM_SAW_banned]++;
}

void sim_broker_full(struct sim *sim, int number)
{
    struct sim_link *link = link_of(sim, number);

    if (!link)
        return;
    queue_clear(&link->to_peer); /* what waited for it is thrown away */
    step(sim, &(struct ps_event){.kind = PS_EVENT_FULL, .peer = (uint32_t)(number % SIM_LINKS) + 1});
    sim->saw[SIM_SAW_deaf]++;
}

static void tell_gone(struct sim *sim)
{
    for (int i = 0; i < SIM_LINKS; i++) {
        if (!sim->gone[i])
            continue;
        sim->gone[i] = false;
        if (sim->links[i].up)
            continue;
        step(sim, &(struct ps_event){.kind = PS_EVENT_GONE, .peer = (uint32_t)i + 1});
        sim->links[i].used = false;
    }
}

static void hand_over(struct sim *sim, int i, struct sim_message *message)
{
    struct ps_msg msg;

    if (sim->faults.garble && sim->now_ms < sim->end_of_faults_ms && sim_chance(sim, 800)) {
        step(sim, &(struct ps_event){.kind = PS_EVENT_BAD, .peer = (uint32_t)i + 1});
        sim->saw[SIM_SAW_garbled]++;
        return;
    }
    decode(message, &msg);
    step(sim, &(struct ps_event){.kind = PS_EVENT_MESSAGE,
                                 .peer = (uint32_t)i + 1,
                                 .who = sim->links[i].who,
                                 .msg = &msg,
                                 .record = {message->bytes, message->len},
                                 .carry = message->carries ? &message->carry_bytes : NULL,
                                 .carry_bytes = message->carry_bytes});
}

/* What a banned peer says is dropped before the core sees it, as the daemon does. */
static void deliver(struct sim *sim, int i)
{
    struct sim_message *message;

    while (sim->links[i].up && (message = queue_take(sim, &sim->links[i].to_broker))) {
        if (!is_banned(sim, &sim->links[i]))
            hand_over(sim, i, message);
        free(message);
    }
}

void sim_broker_run(struct sim *sim)
{
    if (sim->broker_stopped_ms > sim->now_ms)
        return;
    for (int i = 0; i < SIM_LINKS; i++)
        deliver(sim, i);
    step(sim, &(struct ps_event){.kind = sim->now_ms / PS_CORE_TICK_MS !=
                                                 (sim->now_ms - SIM_STEP_MS) / PS_CORE_TICK_MS
                                             ? PS_EVENT_TICK
                                             : PS_EVENT_TURN});
    tell_gone(sim);
    for (int i = 0; i < SIM_LINKS; i++)
        if (sim->links[i].used && !sim->links[i].up && !ps_core_is_bound(sim->core, (uint32_t)i + 1))
            sim->links[i].used = false;
}

/* ---- the peer's library ---- */

void sim_peer_lose(struct sim *sim, struct sim_peer *peer, bool forget)
{
    sim_disconnect(sim, peer->link);
    peer->link = -1;
    peer->state = DOWN;
    peer->at_ms = sim->now_ms + 50 + sim_draw(sim, 500);
    if (forget)
        peer->session = 0;
}

static void greet(struct sim *sim, struct sim_peer *peer, uint32_t role)
{
    peer->link = sim_connect(sim, peer->who);
    if (peer->link < 0) {
        peer->at_ms = sim->now_ms + 200;
        return;
    }
    peer->state = GREETING;
    peer->at_ms = sim->now_ms + ANSWER_MS;
    sim_say(sim, peer->link,
            PS_MSG(HELLO, .version_min = 1, .version_max = 1, .role = role, .name = PS_BYTES_LIT("sim"),
                   .session = peer->session, .token = {peer->token, peer->session ? PS_TOKEN_BYTES : 0}),
            0);
}

bool sim_peer_run(struct sim *sim, struct sim_peer *peer, uint32_t role)
{
    bool broken = peer->link >= 0 && !sim_is_up(sim, peer->link);

    if (peer->state == OPEN && (broken || sim->now_ms - peer->heard_ms >= SILENT_MS)) {
        sim_peer_lose(sim, peer, false);
        return true;
    }
    if (peer->state == GREETING && (broken || sim->now_ms >= peer->at_ms))
        sim_peer_lose(sim, peer, false);
    if (peer->state == DOWN && sim->now_ms >= peer->at_ms)
        greet(sim, peer, role);
    return false;
}

bool sim_peer_takes(struct sim *sim, struct sim_peer *peer, const struct ps_msg *msg, bool *ret_opened)
{
    peer->heard_ms = sim->now_ms;
    switch (msg->id) {
    case PS_MSG_WELCOME:
        peer->state = OPEN;
        peer->session = msg->WELCOME.session;
        peer->boot = msg->WELCOME.boot;
        sim->saw[SIM_SAW_resumed] += msg->WELCOME.resumed;
        memcpy(peer->token, msg->WELCOME.token.at, PS_TOKEN_BYTES);
        *ret_opened = true;
        return true;
    case PS_MSG_BYE:
    case PS_MSG_REFUSED:
        sim_peer_lose(sim, peer, true);
        return true;
    case PS_MSG_PULSE:
        return true;
    default:
        return false;
    }
}
