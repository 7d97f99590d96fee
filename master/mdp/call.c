/* master/mdp/call.c: the road of one request: ingest, the wait for its scan's end, the report, the reply. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/mdp/private.h"
#include "master/mdp/report.h"
#include "master/mdp/wish.h"
#include "master/scan/scan.h"

/* The seat is free again. */
static void release(struct mdp_seat *seat)
{
    ps_ingest_request_fini(&seat->request);
    ps_ingest_file_fini(&seat->file);
    ps_mdp_request_close(&seat->body);
    free(PS_TAKE(seat->text));
    seat->place = MDP_NOTHING;
    seat->orphan = seat->again = false;
}

/* Takes text. Without memory for one the client hears nothing, and asks again. */
static void answer(struct mdp_seat *seat, uint64_t now_ms, char *text)
{
    if (text && !seat->orphan)
        ps_mdp_link_reply(&seat->link, now_ms, text);
    else
        free(text);
    if (!text)
        ps_mdp_link_close(&seat->link, true);
    release(seat);
}

static void fail(struct mdp_seat *seat, uint64_t now_ms, int code, const char *text)
{
    answer(seat, now_ms, ps_report_error(code, text));
}

/* ---- ingest ---- */

/* On ingest's thread. */
static void ingested(struct ps_ingest_request *request)
{
    struct mdp_seat *seat = request->arg;

    /* Every seat is in it once at most, and there is room for all. */
    (void)ps_mailbox_send(seat->service->back, seat);
}

void mdp_call_begin(struct mdp_seat *seat, uint64_t now_ms)
{
    struct ps_bytes frames[PS_MDP_BODY_N];
    struct ps_error error = {0};
    int r;

    for (size_t i = 0; i < seat->body.n; i++)
        frames[i] = (struct ps_bytes){zmq_msg_data(&seat->body.parts[i]), zmq_msg_size(&seat->body.parts[i])};
    ps_ingest_file_init(&seat->file);
    seat->request = (struct ps_ingest_request){.kind = PS_INGEST_FILES,
                                               .owner_id = PS_MDP_OWNER,
                                               .team_id = PS_MDP_TEAM,
                                               .files = &seat->file,
                                               .files_n = 1,
                                               .done = ingested,
                                               .arg = seat};
    r = ps_wish_read(frames, seat->body.n, seat->service->config.max_sample_bytes, &seat->file, &error);
    if (!r) {
        seat->place = MDP_INGEST;
        r = ps_ingest_send(seat->service->config.ingest, &seat->request);
    }
    if (r)
        fail(seat, now_ms, r, error.text);
}

/* ---- the scan's end ---- */

static void read_scan(struct mdp_seat *seat)
{
    seat->place = MDP_READ;
    seat->again = false;
    (void)ps_mailbox_send(seat->service->reads, seat); /* once at most in it: there is room */
}

void mdp_call_look(struct mdp_seat *seat)
{
    if (seat->place == MDP_WAIT)
        read_scan(seat);
    else if (seat->place == MDP_READ)
        seat->again = true;
}

void *mdp_reader(void *arg)
{
    struct ps_mdp_service *self = arg;
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = NULL;
    int made = ps_pg_new(&pg, self->config.conninfo, ps_scan_app(self->config.scan));
    void *msg;

    while (ps_mailbox_wait(self->reads, &msg, -1) == 0) {
        struct mdp_seat *seat = msg;

        seat->error = (struct ps_error){0};
        seat->code = made ? made : ps_report_read(pg, seat->scan, &seat->text, &seat->error);
        (void)ps_mailbox_send(self->back, seat); /* as above */
    }
    return NULL;
}

/* ---- back ---- */

static void back_from_ingest(struct mdp_seat *seat, uint64_t now_ms)
{
    const struct ps_ingest_request *request = &seat->request;
    const struct ps_ingest_result *result = request->code ? NULL : &request->results[0];

    ps_mdp_request_close(&seat->body); /* large, and durable now */
    if (!result) {
        fail(seat, now_ms, request->code, request->error.text);
    } else if (result->code) {
        fail(seat, now_ms, result->code, result->text);
    } else {
        seat->scan = result->scan;
        read_scan(seat); /* it may have ended before its number was known here */
    }
}

/* The database away, or slow: the scan is safe, so the client goes on waiting. */
static bool is_passing(int code)
{
    return code == PS_ERR_AGAIN || code == PS_ERR_UNAVAILABLE || code == PS_ERR_TIMEOUT;
}

static void back_from_reader(struct mdp_seat *seat, uint64_t now_ms)
{
    if (seat->code == 0) {
        answer(seat, now_ms, PS_TAKE(seat->text));
    } else if (!is_passing(seat->code)) {
        fail(seat, now_ms, seat->code, seat->error.text);
    } else if (seat->again) {
        read_scan(seat);
    } else {
        seat->place = MDP_WAIT;
        seat->look_ms = now_ms + PS_MDP_LOOK_MS;
    }
}

void mdp_call_back(struct mdp_seat *seat, uint64_t now_ms)
{
    if (seat->orphan)
        release(seat);
    else if (seat->place == MDP_INGEST)
        back_from_ingest(seat, now_ms);
    else
        back_from_reader(seat, now_ms);
}

void mdp_call_abandon(struct mdp_seat *seat)
{
    if (seat->place == MDP_INGEST || seat->place == MDP_READ)
        seat->orphan = true; /* in other hands until it comes back */
    else
        release(seat);
}
