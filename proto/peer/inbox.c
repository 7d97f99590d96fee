#include "proto/peer/inbox.h"

#include "base/err.h"

void ps_inbox_init(struct ps_inbox *self)
{
    *self = (struct ps_inbox){0};
    (void)zmq_msg_init(&self->part); /* these can't fail */
    (void)zmq_msg_init(&self->carried);
}

void ps_inbox_fini(struct ps_inbox *self)
{
    (void)zmq_msg_close(&self->part); /* these fail for messages never initialised only */
    (void)zmq_msg_close(&self->carried);
}

void ps_inbox_clear(struct ps_inbox *self)
{
    ps_inbox_fini(self);
    ps_inbox_init(self);
}

bool ps_inbox_begun(const struct ps_inbox *self)
{
    return self->frame.len > 0;
}

static int senseless(const char **reterr_why, const char *why)
{
    *reterr_why = why;
    return PS_ERR_PROTO;
}

/* 1: there are records in frame; 0: nothing came. */
static int next_frame(struct ps_inbox *self, struct ps_link *link, const char **reterr_why)
{
    int r;

    if (self->more)
        return senseless(reterr_why, "the broker sent bytes that no record owns");
    r = ps_link_recv(link, &self->part, &self->more);
    if (r == PS_ERR_AGAIN)
        return 0;
    if (r) {
        *reterr_why = "the connection broke";
        return r;
    }

    self->frame = (struct ps_bytes){zmq_msg_data(&self->part), zmq_msg_size(&self->part)};
    return self->frame.len > 0 ? 1 : senseless(reterr_why, "the broker sent an empty frame");
}

/* libzmq delivers messages whole, so a part that is announced is there. */
static int take_carried(struct ps_inbox *self, struct ps_link *link, struct ps_bytes *ret_carried,
                        const char **reterr_why)
{
    if (!self->more || ps_link_recv(link, &self->carried, &self->more))
        return senseless(reterr_why, "the broker sent a record without its bytes");
    if (zmq_msg_size(&self->carried) > PS_CHUNK_MAX)
        return senseless(reterr_why, "the broker sent a record with too many bytes");

    *ret_carried = (struct ps_bytes){zmq_msg_data(&self->carried), zmq_msg_size(&self->carried)};
    return 1;
}

int ps_inbox_next(struct ps_inbox *self, struct ps_link *link, struct ps_msg *ret_msg,
                  struct ps_bytes *ret_carried, const char **reterr_why)
{
    int r;

    *ret_carried = (struct ps_bytes){NULL, 0};
    if (self->frame.len == 0 && (r = next_frame(self, link, reterr_why)) != 1)
        return r;
    if (ps_msg_next(&self->frame, ret_msg) != 1)
        return senseless(reterr_why, "the broker sent what is not a record of this protocol");
    return ps_msg_carries(ret_msg->id) ? take_carried(self, link, ret_carried, reterr_why) : 1;
}
