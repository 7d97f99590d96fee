/* What the master has to say to the broker, the urgent first. Something that was taken from a mailbox and finds the
 * backlog full is kept until there is room. */
#include "base/err.h"
#include "master/scan/orders.h"
#include "master/scan/uplink_private.h"

#define SETTLED_AT_ONCE 64
#define ORDERS_AT_ONCE  256
#define PIECES_AT_ONCE  16
#define REPLIES_AT_ONCE 256
#define ORDERS_BACKLOG  (4 * 1024 * 1024) /* no SUBMIT above this: results are to be told first */
#define PIECES_BACKLOG  (1024 * 1024)     /* no piece above this: it would lie before what is urgent */

static void *take_one(struct ps_mailbox *box)
{
    void *message = NULL;

    return ps_mailbox_take(box, &message, 1) == 1 ? message : NULL;
}

void uplink_forget(struct ps_uplink *self)
{
    ps_news_free(PS_TAKE(self->settled));
    ps_order_free(PS_TAKE(self->order));
    free(PS_TAKE(self->piece));
    free(PS_TAKE(self->mandate));
    free(PS_TAKE(self->reply));
}

/* True: it is said, or will never be (the session is gone, or it makes no sense: then it was logged). */
static bool said(int r, const char *what)
{
    if (r < 0 && r != PS_ERR_BUSY && r != PS_ERR_UNAVAILABLE)
        ps_log(PS_LOG_ERROR, "message-not-sent", "message=%s detail=%s", what, PS_LOGQ(ps_err_text(r)));
    return r != PS_ERR_BUSY;
}

static int put_committed(struct ps_uplink *self, const struct ps_news *news)
{
    struct ps_part_lease_ref leases[1024];
    size_t n = PS_MIN((size_t)news->jobs_n, PS_ARRAY_N(leases));

    static_assert(PS_ARRAY_N(leases) <= PS_BATCH_MAX, "one list");
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        leases[i] = (struct ps_part_lease_ref){.job = news->jobs[i]};
    return ps_peer_put(self->peer,
                       PS_MSG(COMMITTED, .epoch = self->epoch, .leases = {.items = leases, .n = n}));
}

static int put_submit(struct ps_uplink *self, const struct ps_order *order)
{
    struct ps_part_ask asks[PS_ENGINES_MAX];
    struct ps_msg msg = {
        .id = PS_MSG_SUBMIT,
        .SUBMIT = {.epoch = order->epoch,
                   .size = order->size,
                   .type = ps_bytes_of(order->type),
                   .band = order->band,
                   .deadline_ms = order->deadline_ms,
                   .owner = order->owner,
                   .data = {order->data, order->data_len},
                   .jobs = {.items = asks, .n = order->asks_n}},
    };

    memcpy(msg.SUBMIT.sha256, order->sha256, sizeof(msg.SUBMIT.sha256));
    for (size_t i = 0; i < order->asks_n; i++)
        asks[i] = (struct ps_part_ask){
            .job = order->asks[i].job,
            .engine = ps_bytes_of(order->asks[i].engine),
            .run_ms = order->asks[i].run_ms,
            .lost = order->asks[i].lost,
        };
    return ps_peer_put(self->peer, &msg);
}

static int put_piece(struct ps_uplink *self, const struct ps_piece *piece)
{
    struct ps_msg msg = {.id = piece->reason[0] ? PS_MSG_GONE : PS_MSG_CHUNK};

    if (piece->reason[0]) {
        msg.GONE.peer = piece->peer;
        msg.GONE.reason = ps_bytes_of(piece->reason);
        memcpy(msg.GONE.sha256, piece->sha256, sizeof(msg.GONE.sha256));
        return ps_peer_put(self->peer, &msg);
    }
    msg.CHUNK.peer = piece->peer;
    msg.CHUNK.offset = piece->offset;
    msg.CHUNK.size = piece->size;
    memcpy(msg.CHUNK.sha256, piece->sha256, sizeof(msg.CHUNK.sha256));
    return ps_peer_put_carrying(self->peer, &msg, piece->data, piece->len);
}

static int put_reply(struct ps_uplink *self, const struct ps_reply *reply)
{
    struct ps_msg msg = {.id = reply->kept ? PS_MSG_KEPT : PS_MSG_WANT};

    if (reply->kept) {
        msg.KEPT.peer = reply->peer;
        msg.KEPT.reason = ps_bytes_of(reply->reason);
        memcpy(msg.KEPT.sha256, reply->sha256, PS_SHA256_BYTES);
    } else {
        msg.WANT.peer = reply->peer;
        msg.WANT.offset = reply->offset;
        msg.WANT.bytes = reply->bytes;
        memcpy(msg.WANT.sha256, reply->sha256, PS_SHA256_BYTES);
    }
    return ps_peer_put(self->peer, &msg);
}

static bool say_replies(struct ps_uplink *self)
{
    for (int i = 0; i < REPLIES_AT_ONCE; i++) {
        if (!self->reply)
            self->reply = take_one(self->line->replies);
        if (!self->reply)
            return true;
        if (self->reply->epoch == self->epoch &&
            !said(put_reply(self, self->reply), self->reply->kept ? "KEPT" : "WANT"))
            return false;
        free(PS_TAKE(self->reply));
    }
    return true;
}

static bool say_settled(struct ps_uplink *self)
{
    for (int i = 0; i < SETTLED_AT_ONCE; i++) {
        if (!self->settled)
            self->settled = take_one(self->line->settled);
        if (!self->settled)
            return true;
        if (self->settled->epoch == self->epoch && !said(put_committed(self, self->settled), "COMMITTED"))
            return false;
        ps_news_free(PS_TAKE(self->settled));
    }
    return true;
}

static bool say_orders(struct ps_uplink *self)
{
    for (int i = 0; i < ORDERS_AT_ONCE; i++) {
        if (ps_peer_backlog(self->peer) > ORDERS_BACKLOG)
            return false;
        if (!self->order)
            self->order = take_one(self->line->orders);
        if (!self->order)
            break;
        if (self->order->epoch == self->epoch && !said(put_submit(self, self->order), "SUBMIT"))
            return false;
        ps_order_free(PS_TAKE(self->order));
    }
    if (ps_mailbox_n(self->line->orders) < PS_ORDERS_N / 2 &&
        atomic_exchange(&self->line->orders_full, false))
        ps_hub_tell_drive(self->hub, &ps_news_look);
    return true;
}

static bool say_pieces(struct ps_uplink *self)
{
    for (int i = 0; i < PIECES_AT_ONCE; i++) {
        if (ps_peer_backlog(self->peer) > PIECES_BACKLOG)
            return false;
        if (!self->piece)
            self->piece = take_one(self->line->pieces);
        if (!self->piece)
            break;
        bool chunk = self->piece->reason[0] == '\0';
        if (!said(put_piece(self, self->piece), "CHUNK"))
            return false;
        atomic_fetch_add(&self->hub->counters.chunks, chunk);
        free(PS_TAKE(self->piece));
    }
    if (atomic_exchange(&self->line->pieces_full, false))
        ps_hub_signal(self->line->feed_fd);
    return true;
}

static int put_mandate(struct ps_uplink *self, const struct ps_mandate *mandate)
{
    struct ps_msg msg = {.id = PS_MSG_ORDER,
                         .ORDER = {.epoch = self->epoch,
                                   .order = mandate->order,
                                   .session = mandate->session,
                                   .engine = ps_bytes_of(mandate->engine),
                                   .verb = mandate->verb,
                                   .size = mandate->size}};

    memcpy(msg.ORDER.sha256, mandate->sha256, sizeof(msg.ORDER.sha256));
    return ps_peer_put(self->peer, &msg);
}

/* Few, and an operator waits. */
static bool say_mandates(struct ps_uplink *self)
{
    for (int i = 0; i < SETTLED_AT_ONCE; i++) {
        if (!self->mandate)
            self->mandate = take_one(self->line->mandates);
        if (!self->mandate)
            return true;
        if (!said(put_mandate(self, self->mandate), "ORDER"))
            return false;
        free(PS_TAKE(self->mandate));
    }
    return true;
}

bool uplink_say(struct ps_uplink *self)
{
    if (self->grant_due)
        self->grant_due = !said(
            ps_peer_put(self->peer, PS_MSG(GRANT, .epoch = self->epoch, .results = self->grant)), "GRANT");
    return self->grant_due || !say_settled(self) || !say_replies(self) || !say_mandates(self) ||
           !say_orders(self) || !say_pieces(self);
}
