#include "master/web/announce.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/server.h"
#include "master/web/shapes.h"

/* One reading is under way, or the pause after it; what comes meanwhile widens the range of the next one. */
struct ps_announcer {
    struct ps_web *web;
    int64_t first, last;         /* to be told of next; last 0: nothing */
    bool reading;                /* a query is under way */
    h2o_timeout_t pause;         /* PS_ANNOUNCE_MS */
    h2o_timeout_entry_t resting; /* linked during the pause */
};

struct news {
    struct ps_web_post post;
    struct ps_web *web;
    int64_t first, last;
};

static void go_on(struct ps_announcer *self);

/* The batch of a row, for the event's filter. */
static void publish_row(struct ps_events *events, const PGresult *result, int row)
{
    const char *batch = ps_row_text(result, row, 5);
    json_t *json =
        json_pack("{s:s, s:o}", "event", "submission", "submission", ps_shape_submission(result, row, 0));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct ps_event *event = NULL;

    json_decref(json);
    if (text && ps_event_new(&event, PS_EVENT_SUBMISSION, 0, (uint64_t)ps_row_i64(result, row, 10), text,
                             strlen(text), &batch, batch ? 1 : 0) == 0)
        ps_events_publish(events, &event);
}

static void range_read(void *arg, int code, const PGresult *result, const struct ps_error *error)
{
    struct ps_announcer *self = arg;

    (void)error; /* these events are live only: whoever watches sees the rows when the scans finish */
    self->reading = false;
    for (int i = 0; code == 0 && i < ps_row_n(result); i++)
        publish_row(ps_scan_events(self->web->settings.scan), result, i);
    if (code != PS_ERR_CANCELLED)
        h2o_timeout_link(self->web->context.loop, &self->pause, &self->resting);
}

static void read_range(struct ps_announcer *self)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, self->first);
    ps_pg_put_i64(&params, self->last);
    ps_pg_put_i32(&params, PS_ANNOUNCE_N);
    self->last = 0;
    self->reading = ps_pgloop_query(self->web->pg, PS_Q_WEB_READ_RANGE, &params, range_read, self, NULL) == 0;
}

static void go_on(struct ps_announcer *self)
{
    if (self->last && !self->reading && !h2o_timeout_is_linked(&self->resting))
        read_range(self);
}

static void rested(h2o_timeout_entry_t *entry)
{
    go_on(PS_CONTAINER_OF(entry, struct ps_announcer, resting));
}

static void take_news(struct ps_web_post *post)
{
    struct news *news = PS_CONTAINER_OF(post, struct news, post);
    struct ps_announcer *self = news->web->announcer;

    self->first = self->last ? PS_MIN(self->first, news->first) : news->first;
    self->last = PS_MAX(self->last, news->last);
    free(news);
    go_on(self);
}

void ps_web_submitted(struct ps_web *self, int64_t first_id, int64_t last_id)
{
    struct news *news;

    if (!ps_events_watched(ps_scan_events(self->settings.scan)))
        return;
    news = PS_NEW(struct news);
    if (!news)
        return; /* live events may be missed */
    news->post.run = take_news;
    news->web = self;
    news->first = first_id;
    news->last = last_id;
    ps_web_post(self, &news->post);
}

int ps_announcer_new(struct ps_announcer **ret_self, struct ps_web *web)
{
    struct ps_announcer *self = PS_NEW(struct ps_announcer);

    if (!self)
        return PS_ERR_NOMEM;
    self->web = web;
    h2o_timeout_init(web->context.loop, &self->pause, PS_ANNOUNCE_MS);
    self->resting.cb = rested;
    *ret_self = self;
    return 0;
}

void ps_announcer_free(struct ps_announcer **self_p)
{
    struct ps_announcer *self = PS_TAKE(*self_p);

    if (!self)
        return;
    if (h2o_timeout_is_linked(&self->resting))
        h2o_timeout_unlink(&self->resting);
    h2o_timeout_dispose(self->web->context.loop, &self->pause);
    free(self);
}
