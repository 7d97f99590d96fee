/* master/scan/keep.h: the thread that keeps the files which engines derived: KEEP and PIECE in, WANT and KEPT out.
 *
 * A file is KEPT when its bytes are durable in the store and its row in table artifact_file is committed; one that is
 * there already is KEPT at once. Files are asked for in the order of their KEEPs, piece by piece: no more than
 * PS_KEEP_FLIGHT bytes are on their way, so results have little in front of them. Of several workers that have a file
 * one is asked, and the next when nothing comes of it. Complete ones become durable together.
 *
 * A file is refused when it is larger than PS_FILE_MAX, the store is full, or its bytes are not those of its hash.
 * Everything else (no database, no memory, too many at once) is silence: the worker says KEEP again. What no result
 * named within a day is swept. Private to master/scan and its tests. */
#ifndef PS_MASTER_SCAN_KEEP_H
#define PS_MASTER_SCAN_KEEP_H

#include "master/scan/hub.h"

#define PS_KEEP_FILES_N  4096               /* files that wait or arrive; over it a KEEP is not heard */
#define PS_KEEP_FLIGHT   (512 * 1024)       /* bytes asked for and not here */
#define PS_KEEP_PART     (4 * PS_CHUNK_MAX) /* of one file at a time */
#define PS_KEEP_TOGETHER 64                 /* files that become durable together at most */
#define PS_KEEP_WORKERS  16                 /* workers known to have a file */
#define PS_KEEP_STALE_MS 5000               /* asked, and nothing came: another worker is asked */
#define PS_KEEP_SWEEP_MS 600000             /* between two sweeps */

struct ps_keep;

/* hub is lent; its store is written. app: application_name of the connection. 0 or PS_ERR_NOMEM. */
int ps_keep_new(struct ps_keep **ret_self, struct ps_hub *hub, const char *conninfo, const char *app);
int ps_keep_start(struct ps_keep *self);
/* After ps_hub_stop: waits for the thread. */
void ps_keep_join(struct ps_keep *self);
void ps_keep_free(struct ps_keep **self_p);

#endif
