/* base/mailbox.h: how threads talk: a bounded queue of pointers with an eventfd that a poll loop can watch.
 *
 * Any thread sends; one thread takes. The mutex guards the ring only; nobody holds it while working. */
#ifndef PS_BASE_MAILBOX_H
#define PS_BASE_MAILBOX_H

#include <stddef.h>

struct ps_mailbox;

/* limit_n: at most so many messages wait. 0, PS_ERR_NOMEM or PS_ERR_IO. */
int ps_mailbox_new(struct ps_mailbox **ret_self, size_t limit_n);
/* Frees the box; messages still in it are passed to drop (may be NULL: they leak, so only for static ones).
 */
void ps_mailbox_free(struct ps_mailbox **self_p, void (*drop)(void *msg));
/* Takes msg on success. 0; PS_ERR_BUSY at the limit; PS_ERR_CLOSED after close: then msg stays the caller's.
 */
int ps_mailbox_send(struct ps_mailbox *self, void *msg);
/* Takes out up to max messages in order, without waiting; returns how many. Clears the eventfd when it
 * empties. */
size_t ps_mailbox_take(struct ps_mailbox *self, void **ret_msgs, size_t max);
/* Waits for a message up to timeout_ms (-1: for ever). 0 with *ret_msg; PS_ERR_TIMEOUT; PS_ERR_CLOSED when
 * closed and empty. */
int ps_mailbox_wait(struct ps_mailbox *self, void **ret_msg, int timeout_ms);
/* Refuses further sends and wakes the taker. */
void ps_mailbox_close(struct ps_mailbox *self);
/* Readable while messages wait (or closed). Owned by the box. */
int ps_mailbox_fd(const struct ps_mailbox *self);
size_t ps_mailbox_n(struct ps_mailbox *self); /* messages waiting */

#endif
