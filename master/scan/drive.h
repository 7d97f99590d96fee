/* master/scan/drive.h: the thread that keeps the broker supplied from the database.
 *
 * For each priority band, interactive first, it reads unfinished scans behind a cursor into a bounded window of jobs
 * and sends a SUBMIT for each; the window refills as jobs are settled. The cursor may trust the order of ids (all scans
 * are made by one thread, ingest), and a sweep of what lies behind it corrects it where that was wrong. After a new
 * session with the broker, a new epoch, or news that did not fit it forgets its book and starts from the first
 * unfinished scan: SUBMIT is idempotent, so that only costs time.
 *
 * It also registers engines that the fleet offers, and asks ingest to back-fill what engines missed while they were
 * away. Private to master/scan and its tests. */
#ifndef PS_MASTER_SCAN_DRIVE_H
#define PS_MASTER_SCAN_DRIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/outcome.h"
#include "master/scan/hub.h"

/* Jobs in the broker's hands, per band. */
#define PS_DRIVE_WINDOW         \
    {                           \
        4096, 16384, 8192, 4096 \
    }

#define PS_DRIVE_PULL_N    512   /* scans read at once */
#define PS_DRIVE_ACK_MS    30000 /* a SUBMIT without ACCEPTED or BUSY is sent again after this */
#define PS_DRIVE_SWEEP_MS  10000 /* between looks behind the cursor */
#define PS_DRIVE_SWEEP_N   65536 /* scans that one such look goes through */
#define PS_DRIVE_LOOK_MS   1000  /* without any news it looks for new scans this often */
#define PS_DRIVE_ENGINE_MS 60000 /* seen_at of the engines offered is renewed this often */
#define PS_DRIVE_IDLE_MS   10000 /* a broker that has no job for so long while we think it has is told anew */

struct ps_ingest;
struct ps_drive;

/* hub is lent. windows: PS_BANDS_N numbers of jobs, 0 for the default. backfill_per_s: scans. app: application_name.
 * 0 or PS_ERR_NOMEM. */
int ps_drive_new(struct ps_drive **ret_self, struct ps_hub *hub, const char *conninfo, const char *app,
                 const uint32_t windows[PS_BANDS_N], uint32_t backfill_per_s);
/* Before start: see ps_brokers_longest_run. */
void ps_drive_longest_run(struct ps_drive *self, uint32_t run_ms);
/* Before start. ingest is lent, NULL: no back-fill. */
void ps_drive_use_ingest(struct ps_drive *self, struct ps_ingest *ingest);
int ps_drive_start(struct ps_drive *self);
/* After ps_hub_stop: waits for the thread. */
void ps_drive_join(struct ps_drive *self);
/* Ingest must have been stopped: a back-fill request may be in its hands until then. */
void ps_drive_free(struct ps_drive **self_p);

#endif
