/* proto/codec.h: messages to bytes and back, by the table messages.def.
 *
 * Plain functions without state and without allocation (but for the growth of the caller's buffer). Any
 * thread.
 *
 *   struct ps_msg msg;
 *   while ((r = ps_msg_next(&frame, &msg)) == 1)
 *       switch (msg.id) { case PS_MSG_JOB: ... msg.JOB.sha256 ... }
 *
 *   ps_msg_put(&buf, PS_MSG(PULSE, .session = session)); */
#ifndef PS_PROTO_CODEC_H
#define PS_PROTO_CODEC_H

#include <stdbool.h>

#include "base/bytes.h"
#include "proto/messages.h"

/* A message in place, for ps_msg_put: lives until the end of the enclosing block. */
#define PS_MSG(NAME, ...) (&(struct ps_msg){.id = PS_MSG_##NAME, .NAME = {__VA_ARGS__}})

/* Appends one record to out. A list is taken from items; a decoded one (items NULL) is copied as it came, so
 * that what was received can be passed on. 0; PS_ERR_LIMIT when a field is over the table's limit, or the
 * record over PS_FRAME_MAX or out's limit; PS_ERR_INVALID when the id is unknown, a text is not UTF-8 or a
 * list has no items; PS_ERR_NOMEM. On failure out is as it was. */
int ps_msg_put(struct ps_buf *out, const struct ps_msg *msg);

/* Takes the next record off the front of frame. 1: *ret_msg is set and frame moved on; 0: the frame is empty;
 * PS_ERR_PROTO: what stands there is not a record of this table within its limits: nothing is set, frame
 * stays. All has been checked then, lists item by item: their cursors can't fail. ret_msg borrows from the
 * frame's bytes. Integers in longer forms than necessary are accepted. */
int ps_msg_next(struct ps_bytes *frame, struct ps_msg *ret_msg);

/* ps_lease_next(&cursor, &item), one for each PS_PART: the next item of a list, decoded or about to be
 * encoded. True with *ret_item set; false at the end. Moves the cursor: walk a copy of the list to keep it.
 */
#define PS_PART(name, prose) \
    bool ps_##name##_next(struct ps_list_##name *cursor, struct ps_part_##name *ret_item);
#include "proto/expand.h"

/* True when a record of this message owns one further frame of raw bytes. */
bool ps_msg_carries(enum ps_msg_id id);
/* "HELLO"; "unknown" for a stranger. Static. */
const char *ps_msg_name(enum ps_msg_id id);

#endif
