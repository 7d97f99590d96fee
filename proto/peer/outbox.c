#include "proto/peer/outbox.h"

#include <string.h>
#include <utlist.h>

#include "base/mem.h"

#define SETTLED_MAX   PS_FRAME_RECORDS
#define SETTLED_BYTES 28 /* of a lease's name, at most */

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
    self->settled_n = 0;
    ps_buf_clear(&self->records);
    self->records_n = 0;
    self->bytes = 0;
}

void ps_outbox_fini(struct ps_outbox *self)
{
    ps_outbox_clear(self);
    ps_buf_fini(&self->records);
    free(self->settled);
    self->settled = NULL;
}

/* The names that were gathered become a record of the pending frame. */
static int write_settled(struct ps_outbox *self)
{
    size_t before = self->records.len;
    int r;

    if (self->settled_n == 0)
        return 0;
    r = ps_msg_put(&self->records, PS_MSG(COMMITTED, .epoch = self->settled_epoch,
                                          .leases = {.items = self->settled, .n = self->settled_n}));
    if (r)
        return r;
    self->bytes += self->records.len - before;
    self->bytes -= self->settled_n * SETTLED_BYTES;
    self->settled_n = 0;
    return 0;
}

/* Makes a parcel of the pending frame: of its records alone when the names have no room there too. */
static int wrap_frame(struct ps_outbox *self)
{
    struct parcel *parcel;
    int r = write_settled(self);

    if (r && !(r == PS_ERR_LIMIT && self->records.len > 0))
        return r;
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
    self->records_n = 0;
    self->carried_n = 0;
    self->carried_bytes = 0;
    return 0;
}

static int wrap(struct ps_outbox *self)
{
    int r = wrap_frame(self);

    return !r && self->settled_n > 0 ? wrap_frame(self) : r;
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

/* Room for n more names. */
static bool can_gather(struct ps_outbox *self, uint64_t epoch, size_t n)
{
    if (!self->settled)
        self->settled = ps_alloc(SETTLED_MAX, sizeof(*self->settled));
    return self->settled && (self->settled_n == 0 || self->settled_epoch == epoch) &&
           self->settled_n + n <= SETTLED_MAX;
}

/* 1: gathered; 0: it goes as a record of its own (long lists, a list that is a peer's); PS_ERR_BUSY; PS_ERR_NOMEM. */
static int gather(struct ps_outbox *self, const struct ps_msg_COMMITTED *msg)
{
    size_t n = msg->leases.n;
    int r;

    if (!msg->leases.items || n > SETTLED_MAX)
        return 0;
    if (self->bytes + n * SETTLED_BYTES > self->limit_bytes)
        return PS_ERR_BUSY;
    if (!can_gather(self, msg->epoch, n) && (r = wrap(self)))
        return r;
    if (!can_gather(self, msg->epoch, n))
        return PS_ERR_NOMEM;
    memcpy(self->settled + self->settled_n, msg->leases.items, n * sizeof(*self->settled));
    self->settled_n += n;
    self->settled_epoch = msg->epoch;
    self->bytes += n * SETTLED_BYTES;
    return 1;
}

/* A record that is too much is taken back from the end of the frame, because only the packer knows its size.
 */
int ps_outbox_put(struct ps_outbox *self, const struct ps_msg *msg, const void *data, size_t len)
{
    bool carries = ps_msg_carries(msg->id);
    size_t size;
    int r = msg->id == PS_MSG_COMMITTED ? gather(self, &msg->COMMITTED) : 0;

    if (r)
        return PS_MIN(r, 0);
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
    if (r) {
        self->records.len -= size;
    } else {
        self->bytes += size;
        self->records_n++;
    }
    return r;
}

bool ps_outbox_ripe(const struct ps_outbox *self)
{
    return PS_MAX(self->records_n, self->settled_n) >= PS_FRAME_RECORDS ||
           self->records.len + self->carried_bytes >= PS_PEER_FLUSH_BYTES;
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
