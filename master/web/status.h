/* master/web/status.h: what GET /status asked the database last: asked again after a second at the earliest. */
#ifndef PS_MASTER_WEB_STATUS_H
#define PS_MASTER_WEB_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct ps_status_cache {
    uint64_t at_ms;      /* monotonic time of the reading; 0: none yet */
    int64_t seq;         /* of the newest finished scan */
    int64_t scans, jobs; /* unfinished; at most PS_STATUS_COUNT_MAX scans are counted */
    int64_t samples;     /* about, when there are many */
};

#define PS_STATUS_CACHE_MS  1000
#define PS_STATUS_COUNT_MAX 100000

int ps_status_cache_new(struct ps_status_cache **ret_self);
void ps_status_cache_free(struct ps_status_cache **self_p);

#endif
