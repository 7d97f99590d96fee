/* What the broker says, to those whom it concerns. */
#include <stdio.h>

#include "base/err.h"
#include "base/outcome.h"
#include "master/scan/orders.h"
#include "master/scan/uplink_private.h"

/* Says GONE for a FETCH that can't be served now. */
static void refuse_fetch(struct ps_uplink *self, const struct ps_msg_FETCH *fetch, const char *reason)
{
    struct ps_msg msg = {.id = PS_MSG_GONE, .GONE = {.peer = fetch->peer, .reason = ps_bytes_of(reason)}};

    memcpy(msg.GONE.sha256, fetch->sha256, sizeof(msg.GONE.sha256));
    (void)ps_peer_put(self->peer, &msg); /* a full backlog: the worker's own patience ends it */
}

static void hear_fetch(struct ps_uplink *self, const struct ps_msg_FETCH *fetch)
{
    PS_FREE struct ps_wish *wish = PS_NEW(struct ps_wish);

    if (!wish) {
        refuse_fetch(self, fetch, "the master is out of memory");
        return;
    }
    wish->peer = fetch->peer;
    wish->offset = fetch->offset;
    wish->bytes = fetch->bytes;
    wish->fd = -1;
    memcpy(wish->sha256, fetch->sha256, sizeof(wish->sha256));
    if (ps_mailbox_send(self->line->wishes, wish) < 0) {
        refuse_fetch(self, fetch, "the master has too many samples to send");
        return;
    }
    wish = NULL;
    ps_hub_signal(self->line->feed_fd);
}

/* A KEEP or PIECE. What finds no room is dropped: its worker says KEEP again. */
static void hear_word(struct ps_uplink *self, const struct ps_msg *msg, struct ps_bytes carried)
{
    struct ps_word *word = ps_alloc(1, sizeof(*word) + carried.len);

    if (!word)
        return;
    word->epoch = self->epoch;
    word->broker = self->line->broker;
    if (msg->id == PS_MSG_PIECE) {
        word->piece = true;
        word->peer = msg->PIECE.peer;
        word->offset = msg->PIECE.offset;
        word->len = carried.len;
        memcpy(word->sha256, msg->PIECE.sha256, PS_SHA256_BYTES);
        if (carried.len > 0)
            memcpy(word->data, carried.at, carried.len);
    } else {
        word->peer = msg->KEEP.peer;
        word->size = msg->KEEP.size;
        memcpy(word->sha256, msg->KEEP.sha256, PS_SHA256_BYTES);
    }
    if (ps_mailbox_send(self->hub->words, word) < 0)
        free(word);
}

static void miss(struct ps_uplink *self, const char *why)
{
    if (!atomic_exchange(&self->line->missed, true))
        ps_log(PS_LOG_WARN, "findings-dropped", "waiting=%zu detail=%s", ps_mailbox_n(self->hub->findings),
               PS_LOGQ(why));
}

static void hear_finding(struct ps_uplink *self, const struct ps_msg *msg)
{
    struct ps_finding *finding = NULL;
    bool bad_traits;
    int r;

    if (atomic_load(&self->hub->findings_bytes) > PS_FINDINGS_BYTES) {
        miss(self, "over the limit of bytes");
        return;
    }
    r = ps_finding_new(&finding, msg, self->epoch, &bad_traits);
    if (bad_traits || r == PS_ERR_INVALID) {
        atomic_fetch_add(&self->hub->counters.bad, 1);
        ps_log(PS_LOG_WARN, "finding-not-valid", "message=%s traits=%d", ps_msg_name(msg->id), bad_traits);
    }
    if (r == PS_ERR_NOMEM)
        miss(self, "out of memory");
    if (r < 0)
        return;
    size_t bytes = finding->bytes;
    atomic_fetch_add(&self->hub->findings_bytes, bytes);
    if (ps_mailbox_send(self->hub->findings, finding) < 0) {
        atomic_fetch_sub(&self->hub->findings_bytes, bytes);
        ps_finding_free(finding);
        miss(self, "over the limit of findings");
    }
}

/* Jobs of a list, as news for drive. */
static void hear_jobs(struct ps_uplink *self, enum ps_news_kind kind, struct ps_list_lease_ref list,
                      uint32_t retry_ms)
{
    struct ps_news *news = ps_news_new(kind, NULL, list.n);
    struct ps_part_lease_ref item;

    if (news) {
        news->broker = self->line->broker;
        news->retry_ms = retry_ms;
        news->jobs_n = 0;
        while (ps_lease_ref_next(&list, &item))
            news->jobs[news->jobs_n++] = item.job;
    }
    ps_hub_tell_drive(self->hub, news);
}

static void hear_fleet(struct ps_uplink *self, const struct ps_msg_FLEET *word)
{
    bool changed = false;

    if (ps_fleet_put(self->hub->fleet, self->line->broker, self->boot, word, &changed) < 0 || !changed)
        return;
    ps_events_publish_fleet(self->hub->events);
    ps_hub_tell_drive(self->hub, ps_news_new(PS_NEWS_FLEET, NULL, 0));
}

void uplink_hear(struct ps_uplink *self, const struct ps_msg *msg, struct ps_bytes carried)
{
    switch (msg->id) {
    case PS_MSG_RESULT:
    case PS_MSG_DECIDED:
    case PS_MSG_LOST:
        hear_finding(self, msg);
        break;
    case PS_MSG_ACCEPTED:
        hear_jobs(self, PS_NEWS_ACCEPTED, msg->ACCEPTED.jobs, 0);
        break;
    case PS_MSG_BUSY:
        hear_jobs(self, PS_NEWS_BUSY, msg->BUSY.jobs, msg->BUSY.retry_ms);
        break;
    case PS_MSG_FETCH:
        hear_fetch(self, &msg->FETCH);
        break;
    case PS_MSG_KEEP:
    case PS_MSG_PIECE:
        hear_word(self, msg, carried);
        break;
    case PS_MSG_FLEET:
        hear_fleet(self, &msg->FLEET);
        break;
    case PS_MSG_ORDERED:
        ps_orders_hear(self->hub->orders, self->line->broker, &msg->ORDERED);
        break;
    default: /* of a later version, or not for a master */
        atomic_fetch_add(&self->hub->counters.bad, 1);
        break;
    }
}
