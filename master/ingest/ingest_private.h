/* master/ingest/ingest_private.h: the two threads and what they share. For ingest.c, worker.c and upload.c only. */
#ifndef PS_MASTER_INGEST_PRIVATE_H
#define PS_MASTER_INGEST_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/mailbox.h"
#include "master/ingest/group.h"
#include "master/ingest/ingest.h"

struct ps_uploads;

struct ps_ingest {
    struct ps_ingest_config config;  /* numbers are filled in; texts below */
    char *conninfo, *app;            /* owned */
    struct ps_mailbox *inbox;        /* to thread ingest */
    struct ps_mailbox *upload_inbox; /* to thread upload */
    pthread_t ingest_thread, upload_thread;
    bool ingest_runs, upload_runs; /* to be joined */
    atomic_uint_fast64_t epoch;    /* 0: does not write */
    atomic_bool refresh;           /* profiles changed */
    atomic_bool stopping;
    atomic_size_t queued_n, queued_bytes; /* sent, not yet done; without those that upload sends itself */

    /* Thread ingest. */
    struct ps_group group;
    struct ps_group_env env;        /* its connection, resolver */
    struct ps_ingest_request *late; /* taken out of the box, but for the next group */
    uint64_t sweep_at_ms;           /* old answers are deleted at or after it */

    /* Thread upload. */
    struct ps_uploads *uploads;

    pthread_mutex_t stats_lock; /* guards stats */
    struct ps_ingest_stats stats;
};

/* Ends a request: code and error are set, what it was charged goes back, its completion is called. */
void ps_ingest_finish(struct ps_ingest *self, struct ps_ingest_request *request, int code,
                      const struct ps_error *error);
/* Hands over what thread upload has for thread ingest, without charge. */
int ps_ingest_send_inner(struct ps_ingest *self, struct ps_ingest_request *request);

/* worker.c: thread ingest. */
void *ps_ingest_worker(void *arg);

/* upload.c: thread upload. */
int ps_uploads_new(struct ps_uploads **ret_self, struct ps_ingest *ingest);
void ps_uploads_free(struct ps_uploads **self_p);
void *ps_uploads_worker(void *arg); /* arg: struct ps_ingest */

#endif
