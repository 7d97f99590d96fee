#include "engines/python/frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engines/kit/kit.h"

#define STEP (64u << 10) /* bytes by which a buffer grows; one of that size is kept */

static uint32_t u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int ps_frame_want(struct ps_frame *self, uint8_t **ret_at, size_t *ret_n)
{
    size_t whole = PS_FRAME_LENGTHS, n;

    if (self->len >= PS_FRAME_LENGTHS) {
        uint32_t head = u32(self->buf), body = u32(self->buf + 4);

        if (head == 0 || head > PS_FRAME_HEAD_MAX || body > PS_FRAME_BODY_MAX)
            return -1;
        whole += (size_t)head + body;
    }
    n = whole - self->len;
    if (n > STEP)
        n = STEP;
    if (self->len + n > self->room) {
        /* Twice what is there, so that a long frame is not copied for each step; never more than the frame. */
        size_t room = 2 * self->room > whole ? whole : 2 * self->room;
        uint8_t *buf;

        if (room < self->len + n)
            room = self->len + n;
        if (room < STEP)
            room = STEP;
        buf = realloc(self->buf, room);
        if (!buf)
            return -1;
        self->buf = buf;
        self->room = room;
    }
    *ret_at = self->buf + self->len;
    *ret_n = n;
    return 0;
}

void ps_frame_drop(struct ps_frame *self)
{
    if (self->room > STEP)
        ps_frame_fini(self);
    self->len = 0;
}

void ps_frame_fini(struct ps_frame *self)
{
    free(self->buf);
    *self = (struct ps_frame){0};
}

/* ---- replies ---- */

struct word {
    const char *word;
    int value;
};

static const struct word kinds[] = {
    {"card", PS_REPLY_CARD},       {"checked", PS_REPLY_CHECKED}, {"updated", PS_REPLY_UPDATED},
    {"finding", PS_REPLY_FINDING}, {"trait", PS_REPLY_TRAIT},     {"artifact", PS_REPLY_ARTIFACT},
    {"picture", PS_REPLY_PICTURE}, {"done", PS_REPLY_DONE},       {NULL, 0}};

static const struct word finds[] = {{"malicious", PS_FOUND_MALICIOUS},
                                    {"suspicious", PS_FOUND_SUSPICIOUS},
                                    {"harmless", PS_FOUND_HARMLESS},
                                    {"incomplete", PS_FOUND_INCOMPLETE},
                                    {NULL, 0}};

static const struct word outcomes[] = {{"malicious", PS_FOUND_MALICIOUS},
                                       {"suspicious", PS_FOUND_SUSPICIOUS},
                                       {"undetected", PS_FOUND_UNDETECTED},
                                       {"harmless", PS_FOUND_HARMLESS},
                                       {"incomplete", PS_FOUND_INCOMPLETE},
                                       {"type-unsupported", PS_FOUND_TYPE_UNSUPPORTED},
                                       {"failure", PS_FOUND_FAILURE},
                                       {"described", PS_FOUND_DESCRIBED},
                                       {NULL, 0}};

/* 0 when there is no such word. */
static int value_of(const struct word *words, const char *word)
{
    while (words->word && (!word || strcmp(words->word, word) != 0))
        words++;
    return words->value;
}

/* The fields of a kind, each of which has to be there, and no other. */
static bool unpack(struct ps_reply *self, json_error_t *error)
{
    json_t *object = self->object;
    const char *is, *word = NULL;
    json_int_t job = 0;
    int rc = -1;

    switch (self->kind) {
    case PS_REPLY_CARD:
    case PS_REPLY_CHECKED: /* their fields are the card's business */
        return true;
    case PS_REPLY_UPDATED:
        rc = json_unpack_ex(object, error, JSON_STRICT, "{s:s, s:I, s:s}", "is", &is, "job", &job, "reason",
                            &self->text);
        break;
    case PS_REPLY_FINDING:
        rc = json_unpack_ex(object, error, JSON_STRICT, "{s:s, s:I, s:s, s:s}", "is", &is, "job", &job,
                            "what", &word, "label", &self->text);
        self->found = (enum ps_found)value_of(finds, word);
        rc = self->found ? rc : -1;
        break;
    case PS_REPLY_TRAIT:
        rc = json_unpack_ex(object, error, JSON_STRICT, "{s:s, s:I, s:s}", "is", &is, "job", &job, "key",
                            &self->text);
        break;
    case PS_REPLY_ARTIFACT:
    case PS_REPLY_PICTURE:
        rc = json_unpack_ex(object, error, JSON_STRICT, "{s:s, s:I, s:s, s:s}", "is", &is, "job", &job,
                            "name", &self->text, "mime", &self->mime);
        break;
    case PS_REPLY_DONE:
        rc = json_unpack_ex(object, error, JSON_STRICT, "{s:s, s:I, s:s, s:s, s:b}", "is", &is, "job", &job,
                            "outcome", &word, "reason", &self->text, "last", &self->last);
        self->found = (enum ps_found)value_of(outcomes, word);
        rc = self->found ? rc : -1;
        break;
    }
    self->job = job;
    return rc == 0;
}

int ps_reply_read(struct ps_reply *ret_self, const struct ps_frame *frame, char *err, size_t err_max)
{
    size_t head = u32(frame->buf), body = u32(frame->buf + 4);
    struct ps_reply self = {
        .text = "", .mime = "", .body = frame->buf + PS_FRAME_LENGTHS + head, .body_len = body};
    json_error_t error = {.text = "its fields are not those of its kind"};
    bool may_have_body, fits;

    self.object =
        json_loadb((const char *)frame->buf + PS_FRAME_LENGTHS, head, JSON_REJECT_DUPLICATES, &error);
    self.kind = (enum ps_reply_kind)value_of(kinds, json_string_value(json_object_get(self.object, "is")));
    may_have_body =
        self.kind == PS_REPLY_TRAIT || self.kind == PS_REPLY_ARTIFACT || self.kind == PS_REPLY_PICTURE;
    fits = self.kind && (may_have_body || body == 0) && unpack(&self, &error);
    if (!fits) {
        json_decref(self.object);
        return ps_kit_fail(err, err_max, "Python's answer makes no sense: %.100s",
                           self.kind ? error.text : "there is no such kind");
    }
    *ret_self = self;
    return 0;
}

void ps_reply_fini(struct ps_reply *self)
{
    json_decref(self->object);
    self->object = NULL;
}
