/* Frames of strangers, and what the Majordomo core makes of them. The input is a sequence of messages from a few peers:
 * {peer, number of frames, {length, bytes}...}; 0xff as length stands for a frame of the RFC's. Between them time passes.
 * Whatever comes, the books agree and every body is dropped once. A worker that names a peer as its client says the ticket
 * that it was last shown for it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker/mdp/core.h"

#define FRAMES_MAX 12
#define PEERS      5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    const uint8_t *at;
    size_t left;
    struct ps_mdp_core *core;
    uint64_t now_ms;
    size_t bodies_n;
    uint8_t deaf;                                /* a bit per peer that can't be reached */
    uint8_t tickets[PEERS][PS_MDP_TICKET_BYTES]; /* last shown for a peer's request */
};

static uint8_t byte(struct world *w)
{
    if (!w->left)
        return 0;
    w->left--;
    return *w->at++;
}

static bool hears(const struct world *w, struct ps_bytes peer)
{
    if (peer.len == 1 && peer.at[0] < PEERS)
        return !(w->deaf >> peer.at[0] & 1);
    return false; /* a client that a worker invented can't be among those who asked */
}

static bool on_request(void *ctx, struct ps_bytes worker, struct ps_bytes ticket, void *body)
{
    struct world *w = ctx;

    if (!body || ticket.len != PS_MDP_TICKET_BYTES)
        abort();
    memcpy(w->tickets[*(const uint8_t *)body], ticket.at, ticket.len);
    return hears(ctx, worker);
}

static bool on_reply(void *ctx, struct ps_bytes client, struct ps_bytes service, void *body)
{
    if (!body || client.len != 1 || !service.len)
        abort();
    return hears(ctx, client);
}

static bool on_command(void *ctx, struct ps_bytes worker, enum ps_mdp_kind kind)
{
    if (kind != PS_MDP_HEARTBEAT && kind != PS_MDP_DISCONNECT)
        abort();
    return hears(ctx, worker);
}

static void on_answer(void *ctx, struct ps_bytes client, struct ps_bytes service, const char *text)
{
    if (!ps_mdp_is_own(service) || strlen(text) != 3)
        abort();
}

static void on_drop(void *ctx, void *body)
{
    struct world *w = ctx;

    if (!w->bodies_n)
        abort();
    w->bodies_n--;
    free(body);
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    if (!text)
        abort();
}

/* The key's right goes by time, so that it is lost while things wait. */
static bool on_may(void *ctx, const char *key, bool offers)
{
    const struct world *w = ctx;

    if (!*key)
        abort();
    return (w->now_ms / 64 + (uint8_t)key[0] + offers) % 4 != 0;
}

static struct ps_bytes frame(struct world *w)
{
    static const struct ps_bytes known[] = {
        PS_BYTES_LIT(""),   PS_BYTES_LIT("MDPC01"), PS_BYTES_LIT("MDPW01"), PS_BYTES_LIT("mmi.service"),
        PS_BYTES_LIT("a"),  PS_BYTES_LIT("b"),      PS_BYTES_LIT("\1"),     PS_BYTES_LIT("\2"),
        PS_BYTES_LIT("\3"), PS_BYTES_LIT("\4"),     PS_BYTES_LIT("\5"),     PS_BYTES_LIT("mmi.x")};
    uint8_t len = byte(w);
    struct ps_bytes bytes = {w->at, PS_MIN(w->left, (size_t)len)};

    if (len == 0xff)
        return known[byte(w) % PS_ARRAY_N(known)];
    w->at += bytes.len;
    w->left -= bytes.len;
    return bytes;
}

static void message(struct world *w)
{
    const uint8_t peer = byte(w) % PEERS;
    struct ps_bytes frames[FRAMES_MAX];
    size_t n = byte(w) % (FRAMES_MAX + 1);
    struct ps_mdp_message head;
    const char key[] = {(char)('a' + peer / 2), '\0'}; /* the first two peers have none */
    struct ps_mdp_event event = {.kind = PS_MDP_EVENT_BAD, .from = {&peer, 1}, .key = peer / 2 ? key : NULL};

    for (size_t i = 0; i < n; i++)
        frames[i] = frame(w);
    if (ps_mdp_read(frames, n, &head) == 0) {
        if (head.body_at > n || head.service.len > PS_MDP_SERVICE_MAX)
            abort();
        if (head.kind == PS_MDP_REPLY && head.client.len == 1 && head.client.at[0] < PEERS)
            head.client = (struct ps_bytes){w->tickets[head.client.at[0]], PS_MDP_TICKET_BYTES};
        event.kind = PS_MDP_EVENT_MESSAGE;
        event.message = &head;
        event.body_n = n - head.body_at;
        if (event.body_n) {
            event.first = frames[head.body_at];
            event.body_bytes = event.first.len;
            event.body = ps_strndup((const char *)&peer, 1); /* who sent it */
            if (!event.body)
                abort();
            w->bodies_n++;
        }
    }
    ps_mdp_core_step(w->core, w->now_ms, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.at = data, .left = size, .now_ms = 1};
    const struct ps_mdp_actions actions = {&w,        on_request, on_reply, on_command,
                                           on_answer, on_drop,    on_log,   on_may};
    const struct ps_mdp_limits limits = {.heartbeat_ms = 100,
                                         .liveness = 3,
                                         .busy_ms = 1000,
                                         .wait_ms = 500,
                                         .services_max = 3,
                                         .workers_max = 3,
                                         .requests_max = 4,
                                         .bytes_max = 64};
    static const uint8_t secret[PS_MDP_SECRET_BYTES] = {7};

    if (ps_mdp_core_new(&w.core, &limits, &actions, secret, w.now_ms))
        abort();
    while (w.left) {
        uint8_t what = byte(&w);

        w.now_ms += what >> 1;
        w.deaf = what & 0x40 ? byte(&w) : w.deaf;
        if (what & 1)
            message(&w);
        else
            ps_mdp_core_step(w.core, w.now_ms, &(struct ps_mdp_event){.kind = PS_MDP_EVENT_TICK});
        ps_mdp_core_check(w.core);
    }
    ps_mdp_core_step(w.core, w.now_ms, &(struct ps_mdp_event){.kind = PS_MDP_EVENT_STOP});
    ps_mdp_core_free(&w.core);
    if (w.bodies_n)
        abort();
    return 0;
}
