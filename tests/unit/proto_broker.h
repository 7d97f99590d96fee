/* tests/unit/proto_broker.h: a broker of a few lines: a ROUTER that tells what came and says what a test wants.
 * It runs in the test's own thread, between the peer's ticks. */
#ifndef PS_TESTS_PROTO_BROKER_H
#define PS_TESTS_PROTO_BROKER_H

#include "tests/unit/unit.h"

#include <zmq.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/codec.h"

#define BROKER_ID_MAX 64

struct broker {
    void *context;
    void *router;
    char *dir;
    char endpoint[UNIT_PATH_MAX];

    uint8_t id[BROKER_ID_MAX]; /* who spoke last */
    size_t id_len;
    zmq_msg_t part;        /* records of the last message */
    struct ps_bytes frame; /* of part, what was not read yet */
    size_t frames_n;       /* frames of records that came in all */
    size_t messages_n;     /* and messages */
};

static inline void broker_listen(struct broker *self)
{
    const int zero = 0;

    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    assert_non_null(self->router);
    assert_int_equal(zmq_setsockopt(self->router, ZMQ_LINGER, &zero, sizeof(zero)), 0);
    assert_int_equal(zmq_bind(self->router, self->endpoint), 0);
}

static inline void broker_hang_up(struct broker *self)
{
    zmq_close(self->router);
    self->router = NULL;
    self->frame.len = 0;
}

static inline void broker_init(struct broker *self)
{
    memset(self, 0, sizeof(*self));
    self->context = zmq_ctx_new();
    self->dir = unit_dir_make();
    (void)snprintf(self->endpoint, sizeof(self->endpoint), "ipc://%s/broker", self->dir);
    zmq_msg_init(&self->part);
    broker_listen(self);
}

static inline void broker_fini(struct broker *self)
{
    if (self->router)
        broker_hang_up(self);
    zmq_msg_close(&self->part);
    zmq_ctx_term(self->context);
    unit_dir_remove(self->dir);
}

/* One part off the router; false when there is none. */
static inline bool broker_part(struct broker *self, zmq_msg_t *part)
{
    return self->router && zmq_msg_recv(part, self->router, ZMQ_DONTWAIT) >= 0;
}

/* The next message that came, if any. Carried bytes come by broker_part afterwards. */
static inline bool broker_next(struct broker *self, struct ps_msg *ret_msg)
{
    if (self->frame.len == 0) {
        if (!broker_part(self, &self->part))
            return false;
        self->id_len = zmq_msg_size(&self->part);
        assert_in_range(self->id_len, 1, BROKER_ID_MAX);
        memcpy(self->id, zmq_msg_data(&self->part), self->id_len);
        assert_true(zmq_msg_more(&self->part));
        assert_true(broker_part(self, &self->part));
        self->frame = (struct ps_bytes){zmq_msg_data(&self->part), zmq_msg_size(&self->part)};
        self->frames_n++;
    }
    assert_int_equal(ps_msg_next(&self->frame, ret_msg), 1);
    self->messages_n++;
    return true;
}

static inline void broker_send(struct broker *self, const void *data, size_t len, bool more)
{
    assert_int_equal(zmq_send(self->router, self->id, self->id_len, ZMQ_SNDMORE), self->id_len);
    assert_int_equal(zmq_send(self->router, data, len, more ? ZMQ_SNDMORE : 0), len);
}

/* To who spoke last. */
static inline void broker_say(struct broker *self, const struct ps_msg *msg)
{
    PS_BUF struct ps_buf out;

    ps_buf_init(&out, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, msg), 0);
    broker_send(self, out.data, out.len, false);
}

#define BROKER_TOKEN "0123456789abcdef"

static inline void broker_welcome(struct broker *self, uint64_t boot, uint64_t session, bool resumed)
{
    broker_say(self, PS_MSG(WELCOME, .version = 1, .boot = boot, .session = session,
                            .token = PS_BYTES_LIT(BROKER_TOKEN), .resumed = resumed, .beat_ms = 1000,
                            .dead_ms = 5000));
}

#endif
