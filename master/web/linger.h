/* master/web/linger.h: the end of a connection whose client still sends.
 *
 * h2o answers a body that is too large at once and closes. What the client has sent meanwhile is unread then, and the
 * kernel throws the connection away together with our answer. So a second descriptor keeps it open, until the client
 * has stopped, for a while. Loop's thread only. */
#ifndef PS_MASTER_WEB_LINGER_H
#define PS_MASTER_WEB_LINGER_H

struct ps_lingers;
struct ps_web;

#define PS_LINGERS_MAX 64   /* at once; over it the connection ends as h2o ends it */
#define PS_LINGER_MS   5000 /* each, at most */

int ps_lingers_new(struct ps_lingers **ret_self, struct ps_web *web);
void ps_lingers_free(struct ps_lingers **self_p);

/* h2o has closed the connection of which fd is a copy: says the end, then reads and forgets. Takes fd. self may be NULL:
 * the server ends. */
void ps_linger(struct ps_lingers *self, int fd);

#endif
