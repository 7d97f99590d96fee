/* tests/flow/scan_master.c: a master without a web front: ingest and scan, told by lines on standard input.
 *
 *   scan_master CONNINFO ENDPOINT STORE NAME STALE_MS
 *
 *   submit FIRST N SIZE BAND   N samples of SIZE bytes, "sample FIRST", "sample FIRST + 1" ... -> "ok FIRST" or "no TEXT"
 *   stats                      -> one line of numbers
 *   end                        stops cleanly
 *
 * Says "leads EPOCH" and "follows" when that changes. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/log.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "db/store/store.h"
#include "master/ingest/ingest.h"
#include "master/scan/events.h"
#include "master/scan/scan.h"

#define GROUP_N 512

static atomic_uint_fast64_t events_n;

static void on_news(void *arg, const struct ps_ingest_news *news)
{
    ps_scan_nudge(arg, news->bands);
}

static void on_stale(void *arg, uint64_t epoch)
{
    ps_scan_suspect(arg, epoch);
}

static void on_event(void *arg)
{
    (void)arg;
}

/* Drains what was published, so that events are made as in a real master. */
static void drain(struct ps_events_sub *sub)
{
    struct ps_event *events[256];
    size_t n;

    while ((n = ps_events_take(sub, events, 256)) > 0)
        for (size_t i = 0; i < n; i++) {
            atomic_fetch_add(&events_n, events[i]->kind == PS_EVENT_SCAN);
            ps_event_unref(&events[i]);
        }
}

static void on_done(struct ps_ingest_request *request)
{
    (void)ps_mailbox_send(request->arg, request); /* there is room: one request at a time */
}

static void fill(uint8_t *data, size_t size, unsigned long number)
{
    int len = snprintf((char *)data, size, "sample %lu", number);

    for (size_t i = (size_t)len + 1; i < size; i++)
        data[i] = (uint8_t)(i * 31 + number);
}

static void submit(struct ps_ingest *ingest, struct ps_mailbox *done, unsigned long first, unsigned long n,
                   size_t size, int band)
{
    struct ps_ingest_file *files = ps_alloc(n, sizeof(*files));
    uint8_t *data = ps_alloc(n, size);
    struct ps_ingest_request request = {.kind = PS_INGEST_FILES,
                                        .owner_id = 1,
                                        .team_id = 1,
                                        .files = files,
                                        .files_n = n,
                                        .done = on_done,
                                        .arg = done};
    void *answer;

    for (unsigned long i = 0; i < n; i++) {
        ps_ingest_file_init(&files[i]);
        fill(data + i * size, size, first + i);
        files[i].n = i;
        files[i].name = PS_BYTES_LIT("sample");
        files[i].batch = PS_BYTES_LIT("flow");
        files[i].size = size;
        files[i].data = (struct ps_bytes){data + i * size, size};
        files[i].band = (enum ps_band)band;
    }
    int r = ps_ingest_send(ingest, &request);
    if (r == 0 && ps_mailbox_wait(done, &answer, -1) == 0)
        r = request.code;
    if (r == 0)
        printf("ok %lu\n", first);
    else
        printf("no %s\n", request.error.text[0] ? request.error.text : ps_err_text(r));
    fflush(stdout);
    ps_ingest_request_fini(&request);
    free(files);
    free(data);
}

static void submit_all(struct ps_ingest *ingest, struct ps_mailbox *done, const char *line)
{
    unsigned long first, n, size;
    int band;

    if (sscanf(line, "submit %lu %lu %lu %d", &first, &n, &size, &band) != 4)
        return;
    for (; n > 0; n -= PS_MIN(n, (unsigned long)GROUP_N), first += GROUP_N)
        submit(ingest, done, first, PS_MIN(n, (unsigned long)GROUP_N), size, band);
}

static void say_stats(struct ps_scan *scan)
{
    struct ps_scan_stats s;

    ps_scan_stats(scan, &s);
    printf(
        "stats epoch=%lu in_hand=%lu results=%lu repeated=%lu verdicts=%lu batches=%lu lost=%lu chunks=%lu "
        "backfilled=%lu events=%lu broker=%d database=%d\n",
        s.epoch, s.in_hand, s.results, s.repeated, s.verdicts, s.batches, s.lost, s.chunks, s.backfilled,
        (unsigned long)atomic_load(&events_n), s.broker_ok, s.database_ok);
    fflush(stdout);
}

static void serve(struct ps_scan *scan, struct ps_ingest *ingest, struct ps_mailbox *done,
                  struct ps_events_sub *sub)
{
    char line[256];
    size_t len = 0;
    uint64_t epoch = 0;

    for (;;) {
        struct pollfd fd = {.fd = 0, .events = POLLIN};
        (void)poll(&fd, 1, 20);
        drain(sub);
        if (ps_scan_epoch(scan) != epoch) {
            epoch = ps_scan_epoch(scan);
            printf(epoch ? "leads %lu\n" : "follows\n", epoch);
            fflush(stdout);
        }
        if (!(fd.revents & (POLLIN | POLLHUP)))
            continue;
        if (len == sizeof(line) - 1 || read(0, line + len, 1) != 1)
            return;
        if (line[len++] != '\n')
            continue;
        line[len] = '\0';
        len = 0;
        if (strncmp(line, "end", 3) == 0)
            return;
        if (strncmp(line, "stats", 5) == 0)
            say_stats(scan);
        else
            submit_all(ingest, done, line);
    }
}

static int fail(const struct ps_error *error)
{
    fprintf(stderr, "scan_master: %s\n", error->text);
    return 2;
}

int main(int argc, char **argv)
{
    struct ps_error error = {0};
    struct ps_store *store = NULL;
    struct ps_scan *scan = NULL;
    struct ps_ingest *ingest = NULL;
    struct ps_mailbox *done = NULL;
    struct ps_events_sub *sub = NULL;

    if (argc != 6)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    ps_log_init("scan_master", PS_LOG_INFO);
    void *context = zmq_ctx_new();
    const struct ps_peer_where where = {.context = context};
    const char *const broker = argv[2];
    if (ps_store_open(&store, argv[3], PS_STORE_SYNC_AUTO, NULL, &error) < 0)
        return fail(&error);
    const struct ps_scan_settings settings = {.conninfo = argv[1],
                                              .brokers = &broker,
                                              .brokers_n = 1,
                                              .where = &where,
                                              .store = store,
                                              .name = argv[4],
                                              .stale_ms = strtoull(argv[5], NULL, 10)};
    if (ps_scan_new(&scan, &settings, &error) < 0)
        return fail(&error);
    const struct ps_ingest_config config = {.conninfo = argv[1],
                                            .app = ps_scan_app(scan),
                                            .store = store,
                                            .news = on_news,
                                            .stale = on_stale,
                                            .arg = scan};
    if (ps_mailbox_new(&done, 4) < 0 || ps_events_subscribe(ps_scan_events(scan), on_event, NULL, &sub) < 0 ||
        ps_ingest_start(&ingest, &config, &error) < 0)
        return fail(&error);
    ps_scan_use_ingest(scan, ingest);
    if (ps_scan_start(scan, &error) < 0)
        return fail(&error);

    serve(scan, ingest, done, sub);

    ps_scan_stop(scan);
    ps_ingest_stop(&ingest);
    ps_events_unsubscribe(ps_scan_events(scan), &sub);
    ps_scan_free(&scan);
    ps_store_close(&store);
    ps_mailbox_free(&done, NULL);
    zmq_ctx_term(context);
    return 0;
}
