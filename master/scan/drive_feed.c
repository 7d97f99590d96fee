/* From rows to the broker: windows, cursors, what has to be sent again. */
#include "master/scan/drive_private.h"
#include "master/scan/pull.h"

#define AGAIN_N     256 /* scans sent again at once */
#define WINDOW_PART 8   /* a window refills when this part of it is free: not for every single job */

void drive_forget(struct ps_drive *self)
{
    ps_flights_clear(self->flights);
    for (size_t i = 0; i < self->unsent_n; i++)
        ps_order_free(self->unsent[i]);
    self->unsent_n = 0;
    for (size_t i = 0; i < PS_BANDS_N; i++) {
        self->bands[i].cursor = 0;
        self->bands[i].more = true;
        self->bands[i].again_ms = 0;
    }
    self->idle_since_ms = 0;
}

bool drive_flush(struct ps_drive *self)
{
    size_t sent = 0;

    for (; sent < self->unsent_n; sent++) {
        uint64_t jobs_n = self->unsent[sent]->asks_n;
        struct ps_hub_line *line = &self->hub->lines[self->unsent[sent]->broker];
        /* Said before it is tried: otherwise link could empty its box in between and never call. */
        atomic_store(&line->orders_full, true);
        if (ps_mailbox_send(line->orders, self->unsent[sent]) < 0)
            break;
        atomic_store(&line->orders_full, false);
        atomic_fetch_add(&self->hub->counters.submitted, jobs_n);
    }
    self->unsent_n -= sent;
    memmove(self->unsent, self->unsent + sent, self->unsent_n * sizeof(void *));
    return self->unsent_n == 0;
}

/* Takes the asks out of whole that are for a broker, as an order of their own. NULL without memory. */
static struct ps_order *part_for(const struct ps_order *whole, const int *picked, int broker, size_t asks_n)
{
    struct ps_order *part = ps_order_new(asks_n);
    size_t n = 0;

    if (!part)
        return NULL;
    memcpy(part, whole, sizeof(*part));
    part->asks_n = asks_n;
    part->broker = (unsigned)broker;
    part->data = NULL;
    part->data_len = 0;
    for (size_t i = 0; i < whole->asks_n; i++)
        if (picked[i] == broker)
            part->asks[n++] = whole->asks[i];
    if (whole->data) { /* without memory workers FETCH it */
        part->data = ps_alloc(1, whole->data_len);
        if (part->data) {
            memcpy(part->data, whole->data, whole->data_len);
            part->data_len = whole->data_len;
        }
    }
    return part;
}

/* Sends each broker its part of a scan. Takes order. Jobs that wait are in the book like the others: they count, and are
 * read again when it is forgotten. There is room: rows hold at most PS_DRIVE_PULL_N scans. */
static int share_out(struct ps_drive *self, struct ps_order *order, uint64_t now_ms)
{
    int picked[PS_ENGINES_MAX], r = 0;
    size_t counts[PS_BROKERS_MAX] = {0};

    for (size_t i = 0; i < order->asks_n; i++) {
        const struct ps_brokers_job job = {.engine = order->asks[i].engine,
                                           .sha256 = order->sha256,
                                           .scan = order->scan,
                                           .size = order->size,
                                           .run_ms = order->asks[i].run_ms};
        picked[i] = ps_brokers_pick(self->brokers, &job, now_ms);
        if (picked[i] >= 0)
            counts[picked[i]]++;
    }
    for (unsigned b = 0; b < self->hub->lines_n && r == 0; b++) {
        if (counts[b] == order->asks_n) {
            order->broker = b;
            self->unsent[self->unsent_n++] = order;
            return 0;
        }
        struct ps_order *part = counts[b] ? part_for(order, picked, (int)b, counts[b]) : NULL;
        if (part)
            self->unsent[self->unsent_n++] = part;
        else if (counts[b])
            r = PS_ERR_NOMEM;
    }
    ps_order_free(order);
    return r;
}

static int send_scan(struct ps_drive *self, const PGresult *rows, int row, int span, uint64_t now_ms)
{
    struct ps_order *order = NULL;
    uint64_t jobs[PS_JOB_ORDINALS];
    int r = ps_pull_order(rows, row, span, self->hub->store, &order);

    if (r < 0)
        return r;
    order->epoch = self->epoch;
    for (size_t i = 0; i < order->asks_n; i++)
        jobs[i] = order->asks[i].job;
    if (order->band >= PS_BANDS_N)
        order->band = PS_BAND_IDLE; /* the table does not check it */
    r = ps_flights_send(self->flights, order->scan, order->band, jobs, order->asks_n, now_ms);
    if (r < 0) {
        ps_order_free(order);
        return r;
    }
    return share_out(self, order, now_ms);
}

/* Sends scans again that the broker was too busy for, or did not answer about. Those that are finished by now come
 * back without a row. */
static int feed_again(struct ps_drive *self, unsigned band, uint64_t now_ms, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    uint64_t scans[AGAIN_N];
    size_t n = ps_flights_again(self->flights, band, scans, AGAIN_N), at = 0;
    int r = ps_pull_again(self->pg, scans, n, &rows, reterr);

    for (int row = 0; r == 0 && row < ps_row_n(rows);) {
        int span = ps_pull_span(rows, row);
        r = send_scan(self, rows, row, span, now_ms);
        row += span;
    }
    for (; r == 0 && at < n; at++) {
        bool found = false;
        for (int row = 0; !found && row < ps_row_n(rows); row += ps_pull_span(rows, row))
            found = ps_pull_scan(rows, row) == scans[at];
        if (!found)
            ps_flights_end(self->flights, scans[at]);
    }
    return r;
}

static size_t room(const struct ps_drive *self, unsigned band)
{
    size_t used = ps_flights_jobs_n(self->flights, band);

    return used < self->bands[band].window ? self->bands[band].window - used : 0;
}

/* New scans behind the cursor, as far as the window has room; a scan that does not fit stays for the next time, but for
 * one that is alone: it may be larger than the window. */
static int feed_new(struct ps_drive *self, unsigned band, uint64_t now_ms, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    struct drive_band *b = &self->bands[band];
    size_t scans_n = PS_MIN(room(self, band), (size_t)PS_DRIVE_PULL_N), seen = 0;
    int r = ps_pull_next(self->pg, band, b->cursor, scans_n, &rows, reterr);

    for (int row = 0; r == 0 && row < ps_row_n(rows);) {
        int span = ps_pull_span(rows, row);
        uint64_t scan = ps_pull_scan(rows, row);
        if (!ps_flights_has(self->flights, scan)) {
            if ((size_t)span > room(self, band) && ps_flights_jobs_n(self->flights, band) > 0)
                return 0;
            r = send_scan(self, rows, row, span, now_ms);
        }
        if (r == 0)
            b->cursor = scan;
        row += span;
        seen++;
    }
    if (r == 0 && seen < scans_n)
        b->more = false;
    return r;
}

/* Ids that the sweep found and nobody has in hand: in the order of ids this can't be, but the order is a promise of
 * others. */
static int feed_strays(struct ps_drive *self, unsigned band, const uint64_t *scans, size_t n, uint64_t now_ms,
                       struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    int r = ps_pull_again(self->pg, scans, n, &rows, reterr);

    for (int row = 0; r == 0 && row < ps_row_n(rows);) {
        int span = ps_pull_span(rows, row);
        r = send_scan(self, rows, row, span, now_ms);
        row += span;
    }
    if (r == 0 && ps_row_n(rows) > 0)
        ps_log(PS_LOG_INFO, "strays-found", "band=%u scans=%zu", band, n);
    return r;
}

static int sweep(struct ps_drive *self, unsigned band, uint64_t now_ms, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    uint64_t strays[AGAIN_N];
    size_t n = 0;
    int r = ps_pull_sweep(self->pg, band, 0, self->bands[band].cursor, PS_DRIVE_SWEEP_N, &rows, reterr);

    if (r < 0)
        return r;
    for (int row = 0; row < ps_row_n(rows) && n < AGAIN_N; row++) {
        uint64_t scan = (uint64_t)ps_row_i64(rows, row, 0);
        if (!ps_flights_has(self->flights, scan))
            strays[n++] = scan;
    }
    return n > 0 && room(self, band) > 0 ? feed_strays(self, band, strays, n, now_ms, reterr) : 0;
}

static bool wants_new(const struct ps_drive *self, unsigned band)
{
    const struct drive_band *b = &self->bands[band];
    size_t free_n = room(self, band);

    return b->more && ps_flights_again_n(self->flights, band) == 0 &&
           (free_n >= PS_MAX(b->window / WINDOW_PART, 1u) || ps_flights_jobs_n(self->flights, band) == 0);
}

static int feed_band(struct ps_drive *self, unsigned band, uint64_t now_ms, bool *ret_worked,
                     struct ps_error *reterr)
{
    int r = 0;

    *ret_worked = false;
    if (ps_flights_again_n(self->flights, band) > 0 && now_ms >= self->bands[band].again_ms) {
        *ret_worked = true;
        r = feed_again(self, band, now_ms, reterr);
    } else if (wants_new(self, band)) {
        *ret_worked = true;
        r = feed_new(self, band, now_ms, reterr);
    }
    return r;
}

/* A look behind the cursors, one band a turn: orders must fit into unsent. */
static int sweep_due(struct ps_drive *self, uint64_t now_ms, struct ps_error *reterr)
{
    unsigned band = (unsigned)(self->sweeps_n++ % PS_BANDS_N);

    self->sweep_ms = now_ms + PS_DRIVE_SWEEP_MS / PS_BANDS_N;
    (void)ps_flights_overdue(self->flights, now_ms > PS_DRIVE_ACK_MS ? now_ms - PS_DRIVE_ACK_MS : 0);
    return sweep(self, band, now_ms, reterr);
}

bool drive_feed(struct ps_drive *self, uint64_t now_ms, int *ret_code, struct ps_error *reterr)
{
    bool worked = false;
    int r = 0;

    if (!drive_flush(self)) {
        *ret_code = 0;
        return false; /* link says when it has room */
    }
    if (now_ms >= self->sweep_ms) {
        r = sweep_due(self, now_ms, reterr);
        worked = true;
    }
    /* One pull a turn, the most urgent: news are looked at in between, and interactive jobs pass the rest. */
    for (unsigned band = 0; r == 0 && !worked && band < PS_BANDS_N; band++)
        r = feed_band(self, band, now_ms, &worked, reterr);
    (void)drive_flush(self); /* what is left goes next time */
    *ret_code = r;
    return r == 0 && worked;
}
