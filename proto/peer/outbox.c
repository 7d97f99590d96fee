#include "proto/peer/outbox.h"

#include <string.h>
#include <utlist.h>

#include "base/mem.h"

struct parcel {
    struct parcel *prev, *next;
    size_t bytes;
    size_t n;
    zmq_msg_t parts[]; /* records, then what they carry */
};

void ps_outbox_init(struct ps_outbox *self, size_t limit_bytes)
{
    *self = (struct ps_outbox){.limit_bytes = limit_bytes};
    ps_buf_init(&self->records, PS_FRAME_MAX);
}

static void close_all(zmq_msg_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)zmq_msg_close(&parts[i]); /* fails for messages never initialised only */
}

static void forget(struct ps_outbox *self, struct parcel *parcel)
{
    DL_DELETE(self->parcels, parcel);
    self->bytes -= parcel->bytes;
    free(parcel);
}

void ps_outbox_clear(struct ps_outbox *self)
{
    while (self->parcels) {
        close_all(self->parcels->parts, self->parcels->n);
        forget(self, self->parcels);
    }
    close_all(self->carried, self->carried_n);
    self->carried_n = 0;
    self->carried_bytes = 0;
    ps_buf_clear(&self->records);
    self->bytes = 0;
}

void ps_outbox_fini(struct ps_outbox *self)
{
    ps_outbox_clear(self);
    ps_buf_fini(&self->records);
}

/* Makes a parcel of the pending frame. */
static int wrap(struct ps_outbox *self)
{
    struct parcel *parcel;

    if (self->records.len == 0)
        return 0;
    parcel = malloc(sizeof(*parcel) + (1 + self->carried_n) * sizeof(zmq_msg_t));
    if (!parcel)
        return PS_ERR_NOMEM;
    if (zmq_msg_init_size(&parcel->parts[0], self->records.len)) {
        free(parcel);
        return PS_ERR_NOMEM;
    }

    memcpy(zmq_msg_data(&parcel->parts[0]), self->records.data, self->records.len);
    for (size_t i = 0; i < self->carried_n; i++) {
        (void)zmq_msg_init(&parcel->parts[1 + i]); /* neither can fail on messages that are whole */
        (void)zmq_msg_move(&parcel->parts[1 + i], &self->carried[i]);
    }
    parcel->n = 1 + self->carried_n;
    parcel->bytes = self->records.len + self->carried_bytes;
    DL_APPEND(self->parcels, parcel);

    ps_buf_clear(&self->records);
    self->carried_n = 0;
    self->carried_bytes = 0;
    return 0;
}

/* Adds the record, in a fresh frame when this one has no room for it. */
static int put_record(struct ps_outbox *self, const struct ps_msg *msg, size_t *ret_size)
{
    size_t before = self->records.len;
    int r = ps_msg_put(&self->records, msg);

    if (r == PS_ERR_LIMIT && before > 0) {
        before = 0;
        r = wrap(self);
        if (!r)
            r = ps_msg_put(&self->records, msg);
    }
    if (!r)
        *ret_size = self->records.len - before;
    return r;
}

static int put_carried(struct ps_outbox *self, const void *data, size_t len)
{
    zmq_msg_t *part = &self->carried[self->carried_n];

    if (zmq_msg_init_size(part, len))
        return PS_ERR_NOMEM;
    if (len > 0)
        memcpy(zmq_msg_data(part), data, len);
    self->carried_n++;
    self->carried_bytes += len;
    self->bytes += len;
    return 0;
}

/* A record that is too much is taken back from the end of the frame, because only the packer knows its size.
 */
int ps_outbox_put(struct ps_outbox *self, const struct ps_msg *msg, const void *data, size_t len)
{
    bool carries = ps_msg_carries(msg->id);
    size_t size;
    int r;

    if (!carries)
        len = 0;
    if (len > PS_CHUNK_MAX)
        return PS_ERR_LIMIT;
    if (carries && self->carried_n == PS_PEER_CARRIED_N && (r = wrap(self)))
        return r;

    if ((r = put_record(self, msg, &size)))
        return r;
    if (self->bytes + size + len > self->limit_bytes)
        r = PS_ERR_BUSY;
    else if (carries)
        r = put_carried(self, data, len);
    if (r)
        self->records.len -= size;
    else
        self->bytes += size;
    return r;
}

bool ps_outbox_ripe(const struct ps_outbox *self)
{
    return self->records.len + self->carried_bytes >= PS_PEER_FLUSH_BYTES;
}

int ps_outbox_flush(struct ps_outbox *self, struct ps_link *link)
{
    int r = wrap(self);

    while (!r && self->parcels) {
        r = ps_link_send(link, self->parcels->parts, self->parcels->n);
        if (!r)
            forget(self, self->parcels);
    }
    return r == PS_ERR_AGAIN ? 0 : r;
}
