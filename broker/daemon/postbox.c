#include "broker/daemon/postbox.h"

#include <errno.h>
#include <utlist.h>

#include "base/mem.h"

#define KEEP_BYTES (64 * 1024) /* memory that an empty frame keeps for the next one */

struct ps_sealed {
    zmq_msg_t parts[1 + PS_ROUTER_CARRIED_N];
    size_t n;
    size_t bytes;
    struct ps_sealed *prev, *next;
};

void ps_postbox_init(struct ps_postbox *self)
{
    *self = (struct ps_postbox){.carried_n = 0};
    ps_buf_init(&self->records, PS_FRAME_MAX);
}

static void close_all(zmq_msg_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)zmq_msg_close(&parts[i]); /* fails for what is no message, and these are */
}

static void drop_sealed(struct ps_postbox *self, struct ps_sealed *sealed)
{
    DL_DELETE(self->sealed, sealed);
    self->bytes -= sealed->bytes;
    close_all(sealed->parts, sealed->n);
    free(sealed);
}

static void begin_frame(struct ps_postbox *self)
{
    if (self->records.cap > KEEP_BYTES) {
        ps_buf_fini(&self->records);
        ps_buf_init(&self->records, PS_FRAME_MAX);
    }
    ps_buf_clear(&self->records);
    self->records_n = 0;
    self->carried_n = 0;
}

void ps_postbox_clear(struct ps_postbox *self)
{
    while (self->sealed)
        drop_sealed(self, self->sealed);
    close_all(self->carried, self->carried_n);
    begin_frame(self);
    self->bytes = 0;
}

void ps_postbox_fini(struct ps_postbox *self)
{
    ps_postbox_clear(self);
    ps_buf_fini(&self->records);
}

bool ps_postbox_ripe(const struct ps_postbox *self)
{
    return self->records_n >= PS_FRAME_RECORDS || self->records.len >= PS_ROUTER_FRAME_BYTES ||
           self->carried_n == PS_ROUTER_CARRIED_N;
}

int ps_postbox_put(struct ps_postbox *self, const struct ps_msg *msg)
{
    size_t before = self->records.len;
    int r = ps_msg_put(&self->records, msg);

    if (!r) {
        self->bytes += self->records.len - before;
        self->records_n++;
    }
    return r;
}

int ps_postbox_pass(struct ps_postbox *self, struct ps_bytes record, zmq_msg_t *carry)
{
    uint8_t *room = ps_buf_reserve(&self->records, record.len);
    int r = ps_buf_error(&self->records);

    if (!room || r) {
        self->records.error = 0; /* what is in it is whole */
        return r ? r : PS_ERR_NOMEM;
    }
    memcpy(room, record.at, record.len);
    self->records.len += record.len;
    self->records_n++;
    self->bytes += record.len;
    if (carry) {
        zmq_msg_t *part = &self->carried[self->carried_n++];

        (void)zmq_msg_init(part);        /* always 0 */
        (void)zmq_msg_move(part, carry); /* both are messages */
        self->bytes += zmq_msg_size(part);
    }
    return 0;
}

static void free_records(void *data, void *hint)
{
    free(data);
}

/* Large records are given away with their memory, which would not be kept anyway; small ones are copied. */
static int make_records(struct ps_postbox *self, zmq_msg_t *ret_part)
{
    if (self->records.cap > KEEP_BYTES && self->records.len > self->records.cap / 4) {
        if (zmq_msg_init_data(ret_part, self->records.data, self->records.len, free_records, NULL))
            return PS_ERR_NOMEM;
        ps_buf_init(&self->records, PS_FRAME_MAX);
        return 0;
    }
    if (zmq_msg_init_size(ret_part, self->records.len))
        return PS_ERR_NOMEM;
    memcpy(zmq_msg_data(ret_part), self->records.data, self->records.len);
    return 0;
}

/* The frame in the making as a message; the carried frames move. */
static int make_parts(struct ps_postbox *self, zmq_msg_t *ret_parts, size_t *ret_n)
{
    int r = make_records(self, &ret_parts[0]);

    if (r)
        return r;
    for (size_t i = 0; i < self->carried_n; i++) {
        (void)zmq_msg_init(&ret_parts[1 + i]); /* none of these fails for messages */
        (void)zmq_msg_move(&ret_parts[1 + i], &self->carried[i]);
        (void)zmq_msg_close(&self->carried[i]);
    }
    *ret_n = 1 + self->carried_n;
    begin_frame(self);
    return 0;
}

int ps_postbox_seal(struct ps_postbox *self)
{
    size_t before = self->records.len;
    struct ps_sealed *sealed;

    if (!before)
        return 0;
    sealed = PS_NEW(struct ps_sealed);
    if (!sealed)
        return PS_ERR_NOMEM;
    if (make_parts(self, sealed->parts, &sealed->n)) {
        free(sealed);
        return PS_ERR_NOMEM;
    }
    sealed->bytes = 0;
    for (size_t i = 0; i < sealed->n; i++)
        sealed->bytes += zmq_msg_size(&sealed->parts[i]);
    DL_APPEND(self->sealed, sealed);
    return 0;
}

/* The first part decides: with MANDATORY and no waiting, an address that is unknown or full is told of there. What
 * follows is taken by libzmq, or dropped by it when the peer is lost meanwhile: then the next message tells. */
static int send_address(void *router, const uint8_t *address, size_t len)
{
    while (zmq_send(router, address, len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        if (errno == EHOSTUNREACH)
            return PS_ERR_CLOSED;
        if (errno != EINTR)
            return PS_ERR_AGAIN;
    }
    return 0;
}

static void send_parts(void *router, zmq_msg_t *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0);

        while (zmq_msg_send(&parts[i], router, flags) < 0 && errno == EINTR)
            ;
        (void)zmq_msg_close(&parts[i]); /* empty once sent */
    }
}

static int send_sealed(struct ps_postbox *self, void *router, const uint8_t *address, size_t address_len)
{
    while (self->sealed) {
        int r = send_address(router, address, address_len);

        if (r)
            return r;
        send_parts(router, self->sealed->parts, self->sealed->n);
        self->sealed->n = 0;
        drop_sealed(self, self->sealed);
    }
    return 0;
}

int ps_postbox_send(struct ps_postbox *self, void *router, const uint8_t *address, size_t address_len)
{
    zmq_msg_t parts[1 + PS_ROUTER_CARRIED_N];
    size_t n;
    int r = send_sealed(self, router, address, address_len);

    if (r || !self->records.len)
        return r;
    r = send_address(router, address, address_len);
    if (r)
        return r;
    if (make_parts(self, parts, &n)) {
        /* The address is out: an empty frame closes the message, and says nothing. */
        (void)zmq_send(router, "", 0, ZMQ_DONTWAIT);
        return PS_ERR_NOMEM;
    }
    send_parts(router, parts, n);
    self->bytes = 0;
    return 0;
}
