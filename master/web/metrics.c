/* GET /metrics: numbers in the Prometheus text format: the master's own, and the fleet's as the broker told them.
 * Rights: anyone who reaches the port (numbers and engine names). Limits: METRICS_MAX bytes. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/streams.h"

#define METRICS_MAX (1u << 20)

struct metric {
    const char *name, *type, *help;
    uint64_t value;
};

static void put(struct ps_buf *out, const struct metric *metrics, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ps_buf_putf(out, "# HELP phagescan_%s %s\n# TYPE phagescan_%s %s\nphagescan_%s %llu\n",
                    metrics[i].name, metrics[i].help, metrics[i].name, metrics[i].type, metrics[i].name,
                    (unsigned long long)metrics[i].value);
}

static uint64_t resident_bytes(void)
{
    PS_BUF struct ps_buf text = {0};
    unsigned long long size = 0, resident = 0;

    ps_buf_init(&text, 4096);
    if (ps_file_read("/proc/self/statm", &text) != 0 ||
        sscanf(ps_buf_text(&text), "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_web(struct ps_buf *out, struct ps_web *web)
{
    const struct ps_pgloop_stats pg = ps_pgloop_stats(web->pg);
    const struct metric metrics[] = {
        {"master_uptime_seconds", "gauge", "Age of this process.",
         (ps_clock_mono_ms() - web->started_ms) / 1000},
        {"master_resident_bytes", "gauge", "Memory of this process.", resident_bytes()},
        {"web_connections", "gauge", "Open connections.", web->conns_n[0] + web->conns_n[1]},
        {"web_accepted_total", "counter", "Connections taken.", web->accepted},
        {"web_refused_total", "counter", "Connections closed at once: there were too many.", web->refused},
        {"web_calls", "gauge", "Requests under way.", web->calls_n},
        {"web_streams", "gauge", "Open event streams.", ps_streams_n(web->streams)},
        {"web_events_total", "counter", "Events taken from the bus.", ps_streams_taken(web->streams)},
        {"web_lagged_total", "counter", "Times that a stream's client was too slow.",
         ps_streams_lagged(web->streams)},
        {"web_queries_total", "counter", "Queries answered by the database.", pg.done},
        {"web_queries_failed_total", "counter", "Queries that failed.", pg.failed},
        {"web_queries_busy_total", "counter", "Queries refused: too many waited.", pg.busy},
        {"web_queries_waiting", "gauge", "Queries that wait for a connection.", pg.waiting},
        {"web_database_connections", "gauge", "Connections to the database.", pg.connected},
        {"web_database_reconnects_total", "counter", "Times that a connection was made anew.", pg.reconnects},
    };

    put(out, metrics, PS_ARRAY_N(metrics));
    ps_buf_put_text(out, "# HELP phagescan_web_answers_total Answers by class of status.\n"
                         "# TYPE phagescan_web_answers_total counter\n");
    for (size_t i = 2; i < PS_ARRAY_N(web->answers); i++)
        ps_buf_putf(out, "phagescan_web_answers_total{class=\"%zuxx\"} %llu\n", i,
                    (unsigned long long)web->answers[i]);
}

static void put_ingest(struct ps_buf *out, struct ps_web *web)
{
    const struct ps_ingest_stats s = ps_ingest_stats(web->settings.ingest);
    const struct metric metrics[] = {
        {"ingest_groups_total", "counter", "Transactions.", s.groups},
        {"ingest_files_total", "counter", "Files acknowledged.", s.files},
        {"ingest_bytes_total", "counter", "Bytes of them.", s.bytes},
        {"ingest_known_total", "counter", "Files whose sample was there before.", s.known},
        {"ingest_joined_total", "counter", "Files that joined a scan under way.", s.joined},
        {"ingest_scans_total", "counter", "Scans made.", s.scans},
        {"ingest_jobs_total", "counter", "Jobs made.", s.jobs},
        {"ingest_replays_total", "counter", "Answers repeated for an Idempotency-Key.", s.replays},
        {"ingest_busy_total", "counter", "Requests refused: too much waited.", s.busy},
        {"ingest_failed_total", "counter", "Requests that failed.", s.failed},
        {"ingest_store_microseconds_total", "counter", "Time in the sample store.", s.store_us},
        {"ingest_database_microseconds_total", "counter", "Time in the database.", s.db_us},
        {"ingest_hash_microseconds_total", "counter", "Time in hashing.", s.hash_us},
        {"ingest_read_microseconds_total", "counter", "Time in reading headers.", s.read_us},
        {"ingest_waiting", "gauge", "Requests that wait.", s.waiting_n},
        {"ingest_waiting_bytes", "gauge", "Bytes of them.", s.waiting_bytes},
    };

    put(out, metrics, PS_ARRAY_N(metrics));
}

static void put_scan(struct ps_buf *out, struct ps_web *web)
{
    struct ps_scan_stats s;

    ps_scan_stats(web->settings.scan, &s);
    const struct metric metrics[] = {
        {"scan_epoch", "gauge", "Epoch in which this master leads; 0: it does not.", s.epoch},
        {"scan_database_up", "gauge", "The collecting connection works.", s.database_ok},
        {"scan_broker_up", "gauge", "A session with the broker is open.", s.broker_ok},
        {"scan_submitted_total", "counter", "Jobs sent to the broker, repeats included.", s.submitted},
        {"scan_in_hand", "gauge", "Jobs in the broker's hands.", s.in_hand},
        {"scan_waiting", "gauge", "Results that wait for their transaction.", s.waiting},
        {"scan_results_total", "counter", "Results made final.", s.results},
        {"scan_repeated_total", "counter", "Results that came late or twice.", s.repeated},
        {"scan_verdicts_total", "counter", "Scans finished.", s.verdicts},
        {"scan_batches_total", "counter", "Transactions of results.", s.batches},
        {"scan_lost_total", "counter", "Leases lost.", s.lost},
        {"scan_backfilled_total", "counter", "Scans made by back-fill.", s.backfilled},
        {"scan_chunks_total", "counter", "Pieces of samples sent.", s.chunks},
    };
    put(out, metrics, PS_ARRAY_N(metrics));
}

/* Names come from workers. */
static void put_label(struct ps_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            ps_buf_put(out, "\\", 1);
        if (*text == '\n')
            ps_buf_put_text(out, "\\n");
        else
            ps_buf_put(out, text, 1);
    }
}

static void put_engine(struct ps_buf *out, const char *metric, const struct ps_fleet_engine *engine,
                       uint64_t value)
{
    ps_buf_putf(out, "phagescan_engine_%s{engine=\"", metric);
    put_label(out, engine->offer.name);
    ps_buf_putf(out, "\"} %llu\n", (unsigned long long)value);
}

static uint64_t value_of(const struct ps_fleet_engine *engine, size_t which)
{
    const uint64_t values[] = {
        engine->workers, engine->queued,    engine->leased,           engine->reported,   engine->done,
        engine->lost,    engine->oldest_ms, engine->offer.signatures, engine->offer.age_s};

    return values[which];
}

static void put_engines(struct ps_buf *out, const struct ps_fleet_snapshot *fleet)
{
    static const struct metric metrics[] = {
        {"workers", "gauge", "Workers that offer the engine.", 0},
        {"queued", "gauge", "Jobs that wait.", 0},
        {"leased", "gauge", "Jobs in workers' hands.", 0},
        {"reported", "gauge", "Results that wait for the master.", 0},
        {"done_total", "counter", "Jobs done.", 0},
        {"lost_total", "counter", "Leases lost.", 0},
        {"oldest_milliseconds", "gauge", "Age of the job that waits longest.", 0},
        {"signatures", "gauge", "Signatures loaded.", 0},
        {"definitions_age_seconds", "gauge", "Age of the definitions; 0: unknown.", 0},
    };

    for (size_t i = 0; i < PS_ARRAY_N(metrics); i++) {
        ps_buf_putf(out, "# HELP phagescan_engine_%s %s\n# TYPE phagescan_engine_%s %s\n", metrics[i].name,
                    metrics[i].help, metrics[i].name, metrics[i].type);
        for (size_t k = 0; k < fleet->engines_n; k++)
            put_engine(out, metrics[i].name, &fleet->engines[k], value_of(&fleet->engines[k], i));
    }
}

static void put_fleet(struct ps_buf *out, struct ps_web *web)
{
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(web->settings.scan));
    uint64_t slots = 0, running = 0, held = 0;

    for (size_t i = 0; i < fleet->workers_n; i++) {
        slots += fleet->workers[i].slots;
        running += fleet->workers[i].running;
        held += fleet->workers[i].held;
    }
    const struct metric metrics[] = {
        {"broker_up", "gauge", "The broker answers.", fleet->connected},
        {"broker_jobs", "gauge", "Jobs in the broker's memory.", fleet->jobs},
        {"broker_late_total", "counter", "Results that came late or twice.", fleet->late},
        {"broker_denied_total", "counter", "Messages dropped because of their key or its rights.",
         fleet->denied},
        {"broker_strange_beats_total", "counter", "Heartbeats of sessions that are over or another's.",
         fleet->strange_beats},
        {"broker_uptime_seconds", "gauge", "Age of the broker.", fleet->uptime_s},
        {"workers", "gauge", "Workers with a session.", fleet->workers_n},
        {"worker_slots", "gauge", "Places where a job can run.", slots},
        {"worker_running", "gauge", "Jobs that run.", running},
        {"worker_held", "gauge", "Leases that workers hold.", held},
    };
    put(out, metrics, PS_ARRAY_N(metrics));
    put_engines(out, fleet);
}

void ps_get_metrics(struct ps_call *call)
{
    PS_BUF struct ps_buf out = {0};

    ps_buf_init(&out, METRICS_MAX);
    put_web(&out, call->web);
    put_ingest(&out, call->web);
    put_scan(&out, call->web);
    put_fleet(&out, call->web);
    if (ps_buf_error(&out))
        ps_call_error(call, ps_buf_error(&out), "the numbers do not fit");
    else
        ps_call_data(call, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
}
