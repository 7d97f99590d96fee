/* ingest-rate: how fast ingest alone takes files in, against a private PostgreSQL: for tuning by hand.
 *
 *   ingest-rate [FILES] [BYTES] [FILES A BATCH] [BATCHES UNDER WAY] [SQL TO RUN BEFORE]
 *
 * Prints files a second and where the time went, and beside it the same rows by one COPY a table in one transaction
 * into the same tables. */
#include <endian.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/ingest/ingest.h"
#include "tests/pg/testpg.h"

#define UNDER_WAY_MAX 64

static struct ps_mailbox *answers;

static void on_done(struct ps_ingest_request *request)
{
    if (ps_mailbox_send(answers, request) != 0)
        abort();
}

static void die(const char *what, const struct ps_error *error)
{
    fprintf(stderr, "ingest-rate: %s: %s\n", what, error->text);
    exit(2);
}

/* A body of n files that differ from all others. */
static void fill(struct ps_buf *body, unsigned first, unsigned n, size_t bytes)
{
    PS_FREE uint64_t *data = ps_alloc(bytes / 8 + 1, 8);
    char json[128];

    ps_buf_clear(body);
    for (unsigned i = 0; i < n; i++) {
        int len =
            snprintf(json, sizeof(json), "{\"n\":%u,\"name\":\"file %u\",\"size\":%zu,\"batch\":\"rate\"}", i,
                     first + i, bytes);
        uint32_t wire = htobe32((uint32_t)len);

        for (size_t k = 0; k < bytes / 8 + 1; k++)
            data[k] = ((uint64_t)(first + i) << 32 | k) * UINT64_C(0x9e3779b97f4a7c15);
        ps_buf_put(body, &wire, 4);
        ps_buf_put(body, json, (size_t)len);
        ps_buf_put(body, data, bytes);
    }
}

static void send(struct ps_ingest *ingest, struct ps_ingest_request *request, struct ps_buf *body,
                 const char *key)
{
    *request = (struct ps_ingest_request){.kind = PS_INGEST_BODY,
                                          .owner_id = 1,
                                          .team_id = 1,
                                          .body = {body->data, body->len},
                                          .idempotency_key = key,
                                          .done = on_done,
                                          .arg = body};
    if (ps_ingest_send(ingest, request) != 0)
        abort();
}

/* Seconds of processor time of one process; on a busy machine it says more than the clock. */
static double cpu_of(long pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    file = fopen(path, "r");
    if (file) {
        size_t n = fread(text, 1, sizeof(text) - 1, file);
        const char *rest;

        text[n] = '\0';
        rest = strrchr(text, ')');
        if (rest)
            (void)sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
        fclose(file);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct settings {
    unsigned files, batch, under_way;
    size_t bytes;
};

/* Makes the bodies beforehand, so that only ingest is measured. */
static double run(struct ps_ingest *ingest, const struct settings *settings)
{
    unsigned batches = (settings->files + settings->batch - 1) / settings->batch, sent = 0, done = 0;
    struct ps_ingest_request *requests = ps_alloc(batches, sizeof(*requests));
    struct ps_buf *bodies = ps_alloc(batches, sizeof(*bodies));
    char(*keys)[24] = ps_alloc(batches, sizeof(*keys));
    uint64_t from_us;
    double seconds;

    for (unsigned i = 0; i < batches; i++) {
        ps_buf_init(&bodies[i], PS_BATCH_BYTES);
        fill(&bodies[i], i * settings->batch, PS_MIN(settings->batch, settings->files - i * settings->batch),
             settings->bytes);
        snprintf(keys[i], sizeof(keys[i]), "key %u", i);
        if (ps_buf_error(&bodies[i]))
            abort();
    }
    from_us = ps_clock_mono_us();
    while (done < batches) {
        void *msg;

        while (sent < batches && sent - done < settings->under_way) {
            send(ingest, &requests[sent], &bodies[sent], keys[sent]);
            sent++;
        }
        if (ps_mailbox_wait(answers, &msg, 60000) != 0)
            abort();
        if (((struct ps_ingest_request *)msg)->code)
            die("batch", &((struct ps_ingest_request *)msg)->error);
        done++;
    }
    seconds = (double)(ps_clock_mono_us() - from_us) / 1e6;
    for (unsigned i = 0; i < batches; i++) {
        ps_ingest_request_fini(&requests[i]);
        ps_buf_fini(&bodies[i]);
    }
    free(requests);
    free(bodies);
    free(keys);
    return seconds;
}

/* The rows that are there, out by COPY and in again, by the server's own binary COPY from files in its directory. */
static double copy_again(struct ps_testpg *server)
{
    static const char *const tables[] = {"sample", "scan", "job", "submission"};
    const char *files = ps_testpg_dir(server);
    int len = (int)(strrchr(files, '/') - files);
    struct ps_buf all;
    uint64_t from_us;

    ps_buf_init(&all, 65536);
    ps_buf_put_text(&all, "begin;");
    for (size_t i = 0; i < PS_ARRAY_N(tables); i++) {
        PS_FREE char *out =
            ps_strf("copy %s to '%.*s/data/%s.bin' (format binary)", tables[i], len, files, tables[i]);

        ps_testpg_sql(server, out);
        ps_buf_putf(&all, "copy %s from '%.*s/data/%s.bin' (format binary);", tables[i], len, files,
                    tables[i]);
    }
    ps_buf_put_text(&all, "commit");
    ps_testpg_sql(server, "truncate sample, scan, job, submission cascade");
    from_us = ps_clock_mono_us();
    ps_testpg_sql(server, ps_buf_text(&all));
    ps_buf_fini(&all);
    return (double)(ps_clock_mono_us() - from_us) / 1e6;
}

int main(int argc, char **argv)
{
    struct settings settings = {.files = argc > 1 ? (unsigned)atoi(argv[1]) : 10000,
                                .bytes = argc > 2 ? (size_t)atoi(argv[2]) : 4096,
                                .batch = argc > 3 ? (unsigned)atoi(argv[3]) : 1000,
                                .under_way = argc > 4 ? (unsigned)atoi(argv[4]) : 4};
    struct ps_testpg *server = ps_testpg_start_migrated(true);
    PS_FREE char *dir = ps_strf("%s/store", ps_testpg_dir(server));
    struct ps_ingest_config config = {.conninfo = ps_testpg_conninfo(server)};
    struct ps_ingest_stats stats;
    struct ps_ingest *ingest;
    struct ps_store *store;
    struct ps_error error;
    double seconds, copy, own;
    long long rows, backend;

    ps_testpg_sql(server, "update master_epoch set epoch = 1; update engine set enabled = name = 'type';"
                          "update profile set required = '{}' where name = 'full'");
    if (argc > 5)
        ps_testpg_sql(server, argv[5]);
    if (ps_store_open(&store, dir, PS_STORE_SYNC_AUTO, NULL, &error) != 0)
        die("store", &error);
    config.store = store;
    if (ps_mailbox_new(&answers, 1000) != 0 || ps_ingest_start(&ingest, &config, &error) != 0)
        die("start", &error);
    ps_ingest_set_epoch(ingest, 1);
    own = cpu_of(getpid());
    seconds = run(ingest, &settings);
    own = cpu_of(getpid()) - own;
    backend =
        ps_testpg_one(server, "select pid from pg_stat_activity where query ilike '%commit%' and "
                              "application_name = 'phagescan-master' order by query_start desc limit 1");
    stats = ps_ingest_stats(ingest);
    rows = (long long)stats.files + (long long)(stats.files - stats.known) + (long long)stats.scans +
           (long long)stats.jobs;
    printf("store %s, groups %llu\n", ps_store_sync_mode(store) == PS_STORE_SYNC_GROUP ? "group" : "each",
           (unsigned long long)stats.groups);
    printf("files %llu in %.3f s: %.0f files/s, %.0f rows/s\n", (unsigned long long)stats.files, seconds,
           (double)stats.files / seconds, (double)rows / seconds);
    printf("us per file: read %.1f hash %.1f store %.1f db %.1f\n",
           (double)stats.read_us / (double)stats.files, (double)stats.hash_us / (double)stats.files,
           (double)stats.store_us / (double)stats.files, (double)stats.db_us / (double)stats.files);
    printf("processor us per file: ours %.1f (making the bodies included), the server's backend %.1f\n",
           own * 1e6 / (double)stats.files, cpu_of((long)backend) * 1e6 / (double)stats.files);
    ps_ingest_stop(&ingest);
    copy = copy_again(server);
    printf("COPY of the same rows: %.3f s, %.0f rows/s; ours is %.2f of it\n", copy, (double)rows / copy,
           copy / seconds);
    ps_store_close(&store);
    ps_mailbox_free(&answers, NULL);
    ps_testpg_free(&server);
    return 0;
}
