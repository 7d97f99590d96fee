/* The codec against the whole table: what is written is read back, and nothing else is read. */
#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/proto_fill.h"

/* ---- equality, by the table ---- */

#define PS_PART(name, prose) static bool same_list_##name(struct ps_list_##name a, struct ps_list_##name b);
#include "proto/expand.h"

/* clang-format off */
#define PS_PART(name, prose)                                                                                   \
    static bool same_part_##name(const struct ps_part_##name *a, const struct ps_part_##name *b) { return true
#define PS_MESSAGE(name, id, flags, direction, prose)                                                          \
    static bool same_msg_##name(const struct ps_msg_##name *a, const struct ps_msg_##name *b) { return true
#define PS_END(name)                 ; }
#define PS_U64(f, prose)             && a->f == b->f
#define PS_U32(f, prose)             && a->f == b->f
#define PS_BOOL(f, prose)            && a->f == b->f
#define PS_STR(f, max, prose)        && ps_bytes_equal(a->f, b->f)
#define PS_BIN(f, max, prose)        && ps_bytes_equal(a->f, b->f)
#define PS_SHA(f, prose)             && memcmp(a->f, b->f, sizeof(a->f)) == 0
#define PS_LIST(f, part, max, prose) && same_list_##part(a->f, b->f)
/* clang-format on */
#include "proto/expand.h"

#define PS_PART(name, prose)                                                       \
    static bool same_list_##name(struct ps_list_##name a, struct ps_list_##name b) \
    {                                                                              \
        struct ps_part_##name x, y;                                                \
                                                                                   \
        if (a.n != b.n)                                                            \
            return false;                                                          \
        while (ps_##name##_next(&a, &x))                                           \
            if (!ps_##name##_next(&b, &y) || !same_part_##name(&x, &y))            \
                return false;                                                      \
        return !ps_##name##_next(&b, &y);                                          \
    }
#include "proto/expand.h"

static bool same(const struct ps_msg *a, const struct ps_msg *b)
{
    if (a->id != b->id)
        return false;
    switch (a->id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        return same_msg_##name(&a->name, &b->name);
#include "proto/expand.h"
    }
    return false;
}

/* ---- a packer that breaks one value of the record ---- */

enum harm {
    HARM_NIL,   /* another type */
    HARM_OVER,  /* one over the limit */
    HARM_COUNT, /* a count or length that nothing follows */
    HARM_TEXT,  /* bytes that are no text, or the other kind of string */
    HARM_N
};

struct crook {
    struct ps_buf *out;
    enum harm harm;
    int victim; /* which value, counted from 0 */
    int at;
    bool done; /* the value was there and could be harmed that way */
};

static void crook_be(struct crook *self, uint8_t type, uint64_t n, int bytes)
{
    ps_buf_put(self->out, &type, 1);
    for (int i = bytes - 1; i >= 0; i--)
        ps_buf_put(self->out, &(uint8_t){(uint8_t)(n >> (8 * i))}, 1);
}

/* True when this value was the one, and has been written broken. */
static bool crook_hit(struct crook *self)
{
    if (self->at++ != self->victim)
        return false;
    self->done = true;
    if (self->harm == HARM_NIL)
        ps_buf_put(self->out, "\xc0", 1);
    return true;
}

static void crook_number(struct crook *self, uint64_t n, uint64_t max)
{
    if (!crook_hit(self))
        crook_be(self, 0xcf, n, 8);
    else if (self->harm == HARM_OVER && max < UINT64_MAX)
        crook_be(self, 0xcf, max + 1, 8);
    else if (self->harm == HARM_OVER)
        crook_be(self, 0xd3, UINT64_MAX, 8); /* -1 */
    else if (self->harm == HARM_COUNT)
        crook_be(self, 0xd0, 0x80, 1); /* -128 */
    else if (self->harm == HARM_TEXT)
        ps_buf_put(self->out,
                   "\xa1"
                   "7",
                   2);
}

static void crook_bool(struct crook *self, bool yes)
{
    if (!crook_hit(self))
        ps_buf_put(self->out, yes ? "\xc3" : "\xc2", 1);
    else if (self->harm != HARM_NIL)
        ps_buf_put(self->out, "\x01", 1);
}

static void crook_bytes(struct crook *self, uint8_t type, struct ps_bytes bytes, size_t max)
{
    if (!crook_hit(self)) {
        crook_be(self, type, bytes.len, 4);
        ps_buf_put(self->out, bytes.at, bytes.len);
    } else if (self->harm == HARM_OVER) {
        uint8_t *room;

        crook_be(self, type, max + 1, 4);
        room = ps_buf_reserve(self->out, max + 1);
        assert_non_null(room);
        memset(room, 'x', max + 1);
        self->out->len += max + 1;
    } else if (self->harm == HARM_COUNT) {
        crook_be(self, type, UINT32_MAX, 4);
    } else if (self->harm == HARM_TEXT && type == 0xdb) {
        crook_be(self, type, 2, 4);
        ps_buf_put(self->out, "\xc3\x28", 2);
    } else if (self->harm == HARM_TEXT) {
        crook_be(self, 0xdb, bytes.len, 4);
        ps_buf_put(self->out, bytes.at, bytes.len);
    }
}

/* True when the items are to follow. */
static bool crook_array(struct crook *self, size_t n, size_t max)
{
    if (!crook_hit(self)) {
        crook_be(self, 0xdd, n, 4);
        return true;
    }
    if (self->harm == HARM_OVER)
        crook_be(self, 0xdd, max + 1, 4);
    else if (self->harm == HARM_COUNT)
        crook_be(self, 0xdd, UINT32_MAX, 4);
    else if (self->harm == HARM_TEXT)
        ps_buf_put(self->out, "\xa1[", 2);
    return false;
}

#define PS_PART(name, prose) \
    static void crook_list_##name(struct crook *self, struct ps_list_##name list, size_t max);
#include "proto/expand.h"

#define PS_PART(name, prose)                          enum { values_##name = 0
#define PS_MESSAGE(name, id, flags, direction, prose) enum { values_##name = 1
#define PS_END(name) \
    }                \
    ;
#define PS_U64(f, prose)             +1
#define PS_U32(f, prose)             +1
#define PS_BOOL(f, prose)            +1
#define PS_STR(f, max, prose)        +1
#define PS_BIN(f, max, prose)        +1
#define PS_SHA(f, prose)             +1
#define PS_LIST(f, part, max, prose) +1
#include "proto/expand.h"

/* clang-format off */
#define PS_PART(name, prose)                                                                                   \
    static void crook_part_##name(struct crook *self, const struct ps_part_##name *v) {                        \
        if (!crook_array(self, values_##name, values_##name)) return;
#define PS_MESSAGE(name, id, flags, direction, prose)                                                          \
    static void crook_msg_##name(struct crook *self, const struct ps_msg_##name *v) {                          \
        if (!crook_array(self, values_##name, values_##name)) return;                                          \
        crook_number(self, id, UINT32_MAX);
#define PS_END(name) }
/* clang-format on */
#define PS_U64(f, prose)             crook_number(self, v->f, UINT64_MAX);
#define PS_U32(f, prose)             crook_number(self, v->f, UINT32_MAX);
#define PS_BOOL(f, prose)            crook_bool(self, v->f);
#define PS_STR(f, max, prose)        crook_bytes(self, 0xdb, v->f, max);
#define PS_BIN(f, max, prose)        crook_bytes(self, 0xc6, v->f, max);
#define PS_SHA(f, prose)             crook_bytes(self, 0xc6, (struct ps_bytes){v->f, 32}, 32);
#define PS_LIST(f, part, max, prose) crook_list_##part(self, v->f, max);
#include "proto/expand.h"

#define PS_PART(name, prose)                                                                  \
    static void crook_list_##name(struct crook *self, struct ps_list_##name list, size_t max) \
    {                                                                                         \
        struct ps_part_##name item;                                                           \
                                                                                              \
        if (!crook_array(self, list.n, max))                                                  \
            return;                                                                           \
        while (ps_##name##_next(&list, &item))                                                \
            crook_part_##name(self, &item);                                                   \
    }
#include "proto/expand.h"

static void crook_msg(struct crook *self, const struct ps_msg *msg)
{
    self->at = 0;
    self->done = false;
    ps_buf_clear(self->out);
    switch (msg->id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        crook_msg_##name(self, &msg->name);               \
        break;
#include "proto/expand.h"
    }
    assert_int_equal(ps_buf_error(self->out), 0);
}

/* ---- messages with one value over its limit ---- */

static uint8_t plenty[1024 * 1024]; /* longer than any field, and more items than any list, all zero */

struct spoiler {
    int victim; /* which text, bytes or list, counted from 0 */
    int at;
};

static bool spoil_hit(struct spoiler *self)
{
    return self->at++ == self->victim;
}

#define PS_PART(name, prose) static void spoil_part_##name(struct spoiler *self, struct ps_part_##name *v);
#include "proto/expand.h"

/* clang-format off */
#define PS_PART(name, prose)                                                                                   \
    static void spoil_part_##name(struct spoiler *self, struct ps_part_##name *v) {
#define PS_MESSAGE(name, id, flags, direction, prose)                                                          \
    static void spoil_msg_##name(struct spoiler *self, struct ps_msg_##name *v) {
#define PS_END(name) }
#define PS_STR(f, max, prose) if (spoil_hit(self)) v->f = (struct ps_bytes){plenty, (max) + 1};
#define PS_BIN(f, max, prose) if (spoil_hit(self)) v->f = (struct ps_bytes){plenty, (max) + 1};
#define PS_LIST(f, part, max, prose)                                                                           \
    if (spoil_hit(self))                                                                                       \
        v->f = (struct ps_list_##part){.items = (const void *)plenty, .n = (max) + 1};                         \
    else if (v->f.n > 0)                                                                                       \
        spoil_part_##part(self, (struct ps_part_##part *)v->f.items); /* fill_block's, so not const */
/* clang-format on */
#include "proto/expand.h"

/* True when there was such a value. */
static bool spoil(struct ps_msg *msg, int victim)
{
    struct spoiler self = {.victim = victim};

    switch (msg->id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        spoil_msg_##name(&self, &msg->name);              \
        break;
#include "proto/expand.h"
    }
    return self.at > victim;
}

/* ---- tests ---- */

static struct ps_bytes bytes_of(const struct ps_buf *buf)
{
    return (struct ps_bytes){buf->data, buf->len};
}

/* Decodes an exact heap copy, so that the sanitizer sees a read one byte beyond. The message is good until the copy
 * is freed: *ret_copy. */
static int next_exact(const uint8_t *data, size_t len, uint8_t **ret_copy, struct ps_msg *ret_msg,
                      size_t *ret_left)
{
    struct ps_bytes frame = {malloc(len > 0 ? len : 1), len};
    int r;

    assert_non_null(frame.at);
    *ret_copy = (uint8_t *)frame.at;
    if (len > 0)
        memcpy(*ret_copy, data, len);
    r = ps_msg_next(&frame, ret_msg);
    *ret_left = frame.len;
    return r;
}

static void every_message_comes_back_as_it_went(void **state)
{
    for (size_t i = 0; i < FILL_IDS_N; i++)
        for (int mode = 0; mode < FILL_MODES; mode++) {
            struct fill fill = {.mode = mode};
            struct ps_msg sent, got;
            PS_BUF struct ps_buf out, again;
            PS_FREE uint8_t *copy = NULL;
            size_t left;

            ps_buf_init(&out, PS_FRAME_MAX);
            ps_buf_init(&again, PS_FRAME_MAX);
            fill_msg(&fill, fill_ids[i], &sent);
            assert_int_equal(ps_msg_put(&out, &sent), 0);
            assert_int_equal(next_exact(out.data, out.len, &copy, &got, &left), 1);
            assert_int_equal(left, 0);
            assert_true(same(&sent, &got));
            assert_int_equal(ps_msg_put(&again, &got), 0);
            assert_true(ps_bytes_equal(bytes_of(&out), bytes_of(&again)));
            fill_fini(&fill);
        }
}

/* FILL_MANY's items are empty; the largest frame that full ones make is over the limit, and refused. */
static void a_record_over_the_frame_limit_is_refused(void **state)
{
    struct fill fill = {.mode = FILL_LONG};
    struct ps_part_worker *workers;
    struct ps_part_offer offer, *offers;
    struct ps_msg msg = {.id = PS_MSG_FLEET};
    PS_BUF struct ps_buf out;

    ps_buf_init(&out, 2 * PS_FRAME_MAX);
    ps_buf_put_text(&out, "before");
    offers = fill_block(&fill, PS_ENGINES_MAX, sizeof(*offers));
    workers = fill_block(&fill, 16, sizeof(*workers));
    fill_part_offer(&fill, &offer);
    for (int i = 0; i < PS_ENGINES_MAX; i++)
        offers[i] = offer;
    for (int i = 0; i < 16; i++)
        workers[i].engines = (struct ps_list_offer){.items = offers, .n = PS_ENGINES_MAX};
    msg.FLEET.workers = (struct ps_list_worker){.items = workers, .n = 16};
    assert_int_equal(ps_msg_put(&out, &msg), PS_ERR_LIMIT);
    assert_string_equal(ps_buf_text(&out), "before");
    fill_fini(&fill);
}

static void records_of_a_frame_come_in_order(void **state)
{
    PS_BUF struct ps_buf out;
    struct ps_bytes frame;
    struct ps_msg msg;

    ps_buf_init(&out, PS_FRAME_MAX);
    for (uint64_t n = 0; n < 300; n++)
        assert_int_equal(ps_msg_put(&out, PS_MSG(PULSE, .session = n)), 0);
    frame = bytes_of(&out);
    for (uint64_t n = 0; n < 300; n++) {
        assert_int_equal(ps_msg_next(&frame, &msg), 1);
        assert_int_equal(msg.id, PS_MSG_PULSE);
        assert_int_equal(msg.PULSE.session, n);
    }
    assert_int_equal(ps_msg_next(&frame, &msg), 0);
    assert_int_equal(ps_msg_next(&(struct ps_bytes){NULL, 0}, &msg), 0);
}

/* Also that nothing is written: neither the message nor the frame's cursor. */
static void every_truncation_is_refused(void **state)
{
    for (size_t i = 0; i < FILL_IDS_N; i++) {
        struct fill fill = {.mode = FILL_SMALL};
        struct ps_msg msg, before;
        PS_BUF struct ps_buf out;

        ps_buf_init(&out, PS_FRAME_MAX);
        fill_msg(&fill, fill_ids[i], &msg);
        assert_int_equal(ps_msg_put(&out, &msg), 0);
        memset(&msg, 0x5a, sizeof(msg));
        before = msg;
        for (size_t len = 1; len < out.len; len++) {
            PS_FREE uint8_t *copy = NULL;
            size_t left;

            assert_int_equal(next_exact(out.data, len, &copy, &msg, &left), PS_ERR_PROTO);
            assert_int_equal(left, len);
            assert_memory_equal(&msg, &before, sizeof(msg));
        }
        fill_fini(&fill);
    }
}

/* A changed byte gives another message or none; what is accepted can be walked and written. */
static void every_changed_byte_is_refused_or_read(void **state)
{
    static const uint8_t others[] = {0x00, 0x01, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xc4,
                                     0xc6, 0xcc, 0xcf, 0xd0, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xff};

    for (size_t i = 0; i < FILL_IDS_N; i++) {
        struct fill fill = {.mode = FILL_SMALL};
        struct ps_msg msg;
        PS_BUF struct ps_buf out, again;

        ps_buf_init(&out, PS_FRAME_MAX);
        ps_buf_init(&again, PS_FRAME_MAX);
        fill_msg(&fill, fill_ids[i], &msg);
        assert_int_equal(ps_msg_put(&out, &msg), 0);
        for (size_t at = 0; at < out.len; at++)
            for (size_t k = 0; k < 8 + sizeof(others); k++) {
                uint8_t old = out.data[at];
                PS_FREE uint8_t *copy = NULL;
                size_t left;
                int r;

                out.data[at] = k < 8 ? old ^ (uint8_t)(1u << k) : others[k - 8];
                r = next_exact(out.data, out.len, &copy, &msg, &left);
                out.data[at] = old;
                assert_true(r == 1 || r == PS_ERR_PROTO);
                ps_buf_clear(&again);
                if (r == 1)
                    assert_int_equal(ps_msg_put(&again, &msg), 0);
            }
        fill_fini(&fill);
    }
}

/* Every value of every message, lists' items among them, broken in every way, is refused. */
static void every_broken_value_is_refused(void **state)
{
    PS_BUF struct ps_buf out;
    struct crook crook = {.out = &out};
    int broken = 0;

    ps_buf_init(&out, 8 * PS_FRAME_MAX);
    for (size_t i = 0; i < FILL_IDS_N; i++) {
        struct fill fill = {.mode = FILL_SMALL};
        struct ps_msg sent, got;
        struct ps_bytes frame;

        fill_msg(&fill, fill_ids[i], &sent);
        crook.victim = -1;
        crook_msg(&crook, &sent);
        frame = bytes_of(&out);
        assert_int_equal(ps_msg_next(&frame, &got), 1); /* the long forms of all heads and numbers are fine */
        assert_true(same(&sent, &got));
        for (int harm = 0; harm < HARM_N; harm++)
            for (crook.victim = 0, crook.harm = harm, crook.done = true; crook.done; crook.victim++) {
                crook_msg(&crook, &sent);
                frame = bytes_of(&out);
                if (crook.done)
                    assert_int_equal(ps_msg_next(&frame, &got), PS_ERR_PROTO);
                broken += crook.done;
            }
        fill_fini(&fill);
    }
    assert_true(broken > 1000);
}

/* The same limits on the sending side: what the other end would refuse does not leave, nor does it spoil the frame. */
static void the_sender_refuses_what_is_over_a_limit(void **state)
{
    PS_BUF struct ps_buf out;
    int spoiled = 0;

    ps_buf_init(&out, PS_FRAME_MAX);
    ps_buf_put_text(&out, "before");
    for (size_t i = 0; i < FILL_IDS_N; i++) {
        bool more = true;

        for (int victim = 0; more; victim++) {
            struct fill fill = {.mode = FILL_SMALL};
            struct ps_msg msg;

            fill_msg(&fill, fill_ids[i], &msg);
            more = spoil(&msg, victim);
            if (more)
                assert_int_equal(ps_msg_put(&out, &msg), PS_ERR_LIMIT);
            spoiled += more;
            assert_string_equal(ps_buf_text(&out), "before");
            assert_int_equal(ps_buf_error(&out), 0);
            fill_fini(&fill);
        }
    }
    assert_true(spoiled > 70);
}

static void the_sender_refuses_what_is_no_message(void **state)
{
    PS_BUF struct ps_buf out, tight;

    ps_buf_init(&out, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, &(struct ps_msg){.id = 99}), PS_ERR_INVALID);
    assert_int_equal(ps_msg_put(&out, PS_MSG(BYE, .reason = PS_BYTES_LIT("\xff"))), PS_ERR_INVALID);
    assert_int_equal(
        ps_msg_put(&out, PS_MSG(BYE, .reason = PS_BYTES_LIT("longer than eight, then \xc3\x28"))),
        PS_ERR_INVALID);
    assert_int_equal(ps_msg_put(&out, PS_MSG(BYE, .reason = PS_BYTES_LIT("a\0b"))), PS_ERR_INVALID);
    assert_int_equal(ps_msg_put(&out, PS_MSG(BEAT, .running = {.items = NULL, .n = 3})), PS_ERR_INVALID);
    assert_int_equal(out.len, 0);

    ps_buf_init(&tight, 8);
    assert_int_equal(ps_msg_put(&tight, PS_MSG(PULSE, .session = 1)), 0);
    assert_int_equal(tight.len, 3);
    assert_int_equal(ps_msg_put(&tight, PS_MSG(PULSE, .session = UINT64_MAX)), PS_ERR_LIMIT);
    assert_int_equal(tight.len, 3);
    assert_int_equal(ps_msg_put(&tight, PS_MSG(PULSE, .session = 2)), 0);
}

/* What is received can be passed on: whole, or what a cursor has left. */
static void a_list_is_passed_on_as_it_came(void **state)
{
    struct ps_part_lease_ref refs[] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}, ref;
    PS_BUF struct ps_buf out, on;
    struct ps_msg msg, passed;
    struct ps_bytes frame;

    ps_buf_init(&out, PS_FRAME_MAX);
    ps_buf_init(&on, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = refs, .n = 3})), 0);
    frame = bytes_of(&out);
    assert_int_equal(ps_msg_next(&frame, &msg), 1);
    assert_true(ps_lease_ref_next(&msg.COMMITTED.leases, &ref));
    assert_int_equal(ref.job, 3);
    assert_int_equal(ps_msg_put(&on, PS_MSG(COMMITTED, .leases = msg.COMMITTED.leases)), 0);
    frame = bytes_of(&on);
    assert_int_equal(ps_msg_next(&frame, &passed), 1);
    assert_int_equal(passed.COMMITTED.leases.n, 2);
    assert_true(ps_lease_ref_next(&passed.COMMITTED.leases, &ref));
    assert_int_equal(ref.job, 6);
    assert_true(ps_lease_ref_next(&passed.COMMITTED.leases, &ref));
    assert_int_equal(ref.job, 9);
    assert_false(ps_lease_ref_next(&passed.COMMITTED.leases, &ref));
    assert_int_equal(ref.job, 9);
}

static int next_of(const char *record, size_t len)
{
    struct ps_bytes frame = {(const uint8_t *)record, len};
    struct ps_msg msg;

    return ps_msg_next(&frame, &msg);
}
#define NEXT_OF(record) next_of(record, sizeof(record) - 1)

static void records_by_hand(void **state)
{
    assert_int_equal(NEXT_OF("\x92\x06\x05"), 1);                           /* PULSE 5 */
    assert_int_equal(NEXT_OF("\x92\xcd\x00\x06\xcf\0\0\0\0\0\0\0\x05"), 1); /* the same, at length */
    assert_int_equal(NEXT_OF("\xdd\0\0\0\x02\xd3\0\0\0\0\0\0\0\x06\xd0\x05"), 1);
    assert_int_equal(NEXT_OF("\x91\x06"), PS_ERR_PROTO);                   /* a field too few */
    assert_int_equal(NEXT_OF("\x93\x06\x05\x05"), PS_ERR_PROTO);           /* a field too many */
    assert_int_equal(NEXT_OF("\x90"), PS_ERR_PROTO);                       /* no id */
    assert_int_equal(NEXT_OF("\x91\x63"), PS_ERR_PROTO);                   /* an unknown one */
    assert_int_equal(NEXT_OF("\x92\xcf\1\0\0\0\0\0\0\6\5"), PS_ERR_PROTO); /* and not cut to 32 bits */
    assert_int_equal(NEXT_OF("\x92\x06\xff"), PS_ERR_PROTO);               /* -1 */
    assert_int_equal(NEXT_OF("\x92\x06\xca\0\0\0\0"), PS_ERR_PROTO);       /* a float */
    assert_int_equal(NEXT_OF("\x82\x06\x05"), PS_ERR_PROTO);               /* a map */
    assert_int_equal(NEXT_OF("\x06"), PS_ERR_PROTO);
    assert_int_equal(NEXT_OF("\xdd\xff\xff\xff\xff"), PS_ERR_PROTO);
}

static void the_table_answers(void **state)
{
    assert_true(ps_msg_carries(PS_MSG_CHUNK));
    assert_false(ps_msg_carries(PS_MSG_JOB));
    assert_false(ps_msg_carries(99));
    assert_string_equal(ps_msg_name(PS_MSG_H_DONE), "H_DONE");
    assert_string_equal(ps_msg_name(99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(a_record_over_the_frame_limit_is_refused),
        cmocka_unit_test(records_of_a_frame_come_in_order),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_changed_byte_is_refused_or_read),
        cmocka_unit_test(every_broken_value_is_refused),
        cmocka_unit_test(the_sender_refuses_what_is_over_a_limit),
        cmocka_unit_test(the_sender_refuses_what_is_no_message),
        cmocka_unit_test(a_list_is_passed_on_as_it_came),
        cmocka_unit_test(records_by_hand),
        cmocka_unit_test(the_table_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
