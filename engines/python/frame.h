/* engines/python/frame.h: the pipe between the adapter and Python: two big-endian lengths of 32 bits, a JSON object of the
 * first, raw bytes of the second. Whoever writes is as hostile as a sample: memory grows with the bytes that came, not
 * with the lengths that were promised. */
#ifndef PS_PYTHON_FRAME_H
#define PS_PYTHON_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

#include <jansson.h>

#define PS_FRAME_LENGTHS  8
#define PS_FRAME_HEAD_MAX (128u << 10) /* bytes of JSON; more is refused */
#define PS_FRAME_BODY_MAX (16u << 20)  /* raw bytes; more is refused */

/* One frame on its way in. Starts as zeros. */
struct ps_frame {
    uint8_t *buf; /* owned */
    size_t room;  /* bytes of buf */
    size_t len;   /* bytes that came */
};

enum ps_reply_kind {
    PS_REPLY_CARD = 1, /* what the class says of itself */
    PS_REPLY_CHECKED,  /* whether it can work here, and its versions */
    PS_REPLY_UPDATED,
    PS_REPLY_FINDING,
    PS_REPLY_TRAIT,
    PS_REPLY_ARTIFACT,
    PS_REPLY_PICTURE,
    PS_REPLY_DONE,
};

/* A frame, understood. Texts are valid until ps_reply_fini, body until the frame is dropped. */
struct ps_reply {
    enum ps_reply_kind kind;
    json_t *object;      /* owned */
    int64_t job;         /* as the request had it */
    enum ps_found found; /* FINDING, DONE */
    const char
        *text; /* label of FINDING, reason of DONE and UPDATED, key of TRAIT, name of ARTIFACT, PICTURE */
    const char *mime;    /* ARTIFACT, PICTURE */
    int last;            /* DONE: this Python wants to be replaced */
    const uint8_t *body; /* TRAIT: JSON; ARTIFACT, PICTURE */
    size_t body_len;
};

/* Where the next bytes go, and how many of this frame are wanted at most; 0 when it is whole. -1: too long, no memory. */
int ps_frame_want(struct ps_frame *self, uint8_t **ret_at, size_t *ret_n);

/* Of a whole frame. 0 to be ended by ps_reply_fini, or -1 with a sentence in err: not an object, a kind that there is
 * not, a field too many, too few or of another type, raw bytes where there may be none. */
int ps_reply_read(struct ps_reply *ret_self, const struct ps_frame *frame, char *err, size_t err_max);
void ps_reply_fini(struct ps_reply *self);

/* Forgets the frame that was read; keeps a small buffer. */
void ps_frame_drop(struct ps_frame *self);
void ps_frame_fini(struct ps_frame *self);

#endif
