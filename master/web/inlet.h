/* master/web/inlet.h: the way of a call to the ingest thread and back.
 *
 * Everything that ingest reads is copied into the inlet, because the request may die meanwhile. The completion comes
 * on ingest's thread, is posted to the loop, and there answers the call. Loop's thread only. */
#ifndef PS_MASTER_WEB_INLET_H
#define PS_MASTER_WEB_INLET_H

#include "base/bytes.h"
#include "master/ingest/ingest.h"
#include "master/web/call.h"
#include "master/web/server.h"

struct ps_inlet {
    struct ps_web_post post;
    struct ps_call *call;
    struct ps_ingest_request request;
    struct ps_ingest_file file; /* the one file, for all but batches */
    uint8_t *body;              /* owned copy */
    char upload_id[PS_STORE_UPLOAD_ID_MAX + 1];
    char key[PS_IDEMPOTENCY_KEY_BYTES + 1];
    /* Answers; request.code is 0, or PS_ERR_CONFLICT with a kind that has more to say than its text. Other failures are
     * answered before. */
    void (*answer)(struct ps_inlet *self);
};

/* Makes one for a call. NULL, with the call answered: out of memory. */
struct ps_inlet *ps_inlet_new(struct ps_call *call, enum ps_ingest_kind kind,
                              void (*answer)(struct ps_inlet *self));
/* Gives it up before it was sent. */
void ps_inlet_free(struct ps_inlet **self_p);

/* Copies a body. Answers and returns PS_ERR_NOMEM. */
int ps_inlet_copy(struct ps_inlet *self, struct ps_bytes body);
/* Sends it; takes it in any case. Refusals (busy, stopping) are answered here. */
void ps_inlet_send(struct ps_inlet **self_p);

/* {"sha256","submission","scan","known"} of a result that has code 0. */
json_t *ps_inlet_receipt(const struct ps_ingest_result *result);
/* Answers a result that failed. */
void ps_inlet_problem(struct ps_call *call, const struct ps_ingest_result *result);

#endif
