/* master/web/announce.h: SUBMISSION events for those who watch. Ingest says which ids were committed; their rows are
 * read, a few times a second at most, and in a flood the newest only. Loop's thread but for ps_web_submitted. */
#ifndef PS_MASTER_WEB_ANNOUNCE_H
#define PS_MASTER_WEB_ANNOUNCE_H

#include "base/err.h"

struct ps_announcer;
struct ps_web;

#define PS_ANNOUNCE_N  200 /* submissions told of at once */
#define PS_ANNOUNCE_MS 250 /* between two readings */

int ps_announcer_new(struct ps_announcer **ret_self, struct ps_web *web);
void ps_announcer_free(struct ps_announcer **self_p);

#endif
