/* bench/jail/jail_ours.c: a corpus through the jailed children of one engine, as a worker's session does it.
 *
 *   jail_ours PROGRAM PLUGIN TMP SIGNATURES SLOTS CORPUS [--OPTION...]
 *
 * --set=KEY=VALUE and other words are the engine host's. Each file of the directory CORPUS is copied into a sealed memfd,
 * one ahead of each slot. Says "ready" when loaded; then for each line of standard input:
 *   round      scans the corpus; prints {"seconds", "cpu_s", "hits", "files"}
 *   children   prints {"zygote", "children": [pid...]}: for who wants to look at their memory */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/jail/corpus.h"
#include "bench/jail/rig.h"

struct sample {
    int fd;
    uint64_t size;
};

struct stage {
    struct ps_host *host;
    struct bench_corpus corpus;
    unsigned slots_n;
    pid_t children[BENCH_SLOTS_MAX];
    struct sample ahead[BENCH_SLOTS_MAX]; /* made and not handed out yet; ahead_n of them */
    unsigned ahead_n;
    size_t next;  /* file to be read */
    size_t done;  /* results of this round */
    size_t hits;  /* with a label */
    uint64_t cpu; /* microseconds, by the children's word */
};

/* Copies the next file, as the worker copies what the network brings. */
static void make_ahead(struct stage *self)
{
    size_t len;
    void *data = bench_corpus_map(&self->corpus, self->next++, &len);

    self->ahead[self->ahead_n++] = (struct sample){bench_sample(data ? data : "", len), len};
    bench_corpus_unmap(data, len);
}

static void hand_out(struct stage *self)
{
    for (unsigned slot = 0; slot < self->slots_n && self->ahead_n > 0; slot++) {
        struct sample *sample;

        if (!ps_host_idle(self->host, slot))
            continue;
        sample = &self->ahead[--self->ahead_n];
        bench_run(self->host, slot, self->done, sample->fd, sample->size);
        ps_close_fd_p(&sample->fd);
    }
}

static void take(struct stage *self, const struct ps_host_event *event)
{
    if (event->kind == PS_HOST_READY)
        self->children[event->slot] = event->pid;
    if (event->kind != PS_HOST_RESULT)
        return;
    self->done++;
    self->hits += event->result->label[0] != '\0';
    self->cpu += event->result->cpu_us;
    if (event->result->outcome == PS_OUTCOME_FAILURE || event->result->outcome == PS_OUTCOME_TIMEOUT)
        bench_die("a scan failed: %s", event->result->reason);
}

static void scan_round(struct stage *self)
{
    uint64_t from = bench_now_ns();

    self->next = self->done = self->hits = 0;
    self->cpu = 0;
    while (self->done < self->corpus.n) {
        struct ps_host_event event;

        while (self->ahead_n < self->slots_n && self->next < self->corpus.n) {
            make_ahead(self);
            hand_out(self);
        }
        hand_out(self);
        event = bench_event(self->host);
        take(self, &event);
    }
    (void)printf("{\"seconds\": %.4f, \"cpu_s\": %.4f, \"hits\": %zu, \"files\": %zu}\n",
                 (double)(bench_now_ns() - from) / 1e9, (double)self->cpu / 1e6, self->hits, self->done);
}

static void show_children(const struct stage *self)
{
    (void)printf("{\"zygote\": %d, \"children\": [", (int)ps_host_info(self->host)->pid);
    for (unsigned i = 0; i < self->slots_n; i++)
        (void)printf("%s%d", i ? ", " : "", (int)self->children[i]);
    (void)printf("]}\n");
}

/* Children are there before the first round: a fork is not what is measured. */
static void spawn_all(struct stage *self)
{
    for (unsigned i = 0; i < self->slots_n; i++)
        if (ps_host_spawn(self->host, i, ps_clock_mono_ms()))
            bench_die("no child is spawned");
    for (unsigned n = 0; n < self->slots_n; n++) {
        struct ps_host_event event = bench_wait(self->host, PS_HOST_READY);

        take(self, &event);
    }
}

int main(int argc, char **argv)
{
    static struct stage stage;
    const char *options[PS_HOST_SETTINGS_MAX], *settings[PS_HOST_SETTINGS_MAX];
    struct ps_host_conf conf = {.engine = "clamav", .options = options, .settings = settings};
    char line[32];

    if (argc < 7 || argc - 7 > PS_HOST_SETTINGS_MAX)
        bench_die("jail_ours PROGRAM PLUGIN TMP SIGNATURES SLOTS CORPUS [--OPTION...]");
    conf.program = argv[1];
    conf.plugin = argv[2];
    conf.tmp = argv[3];
    conf.signatures = argv[4];
    stage.slots_n = conf.slots = (unsigned)PS_MIN(strtoul(argv[5], NULL, 10), (unsigned long)BENCH_SLOTS_MAX);
    for (int i = 7; i < argc; i++)
        if (strncmp(argv[i], "--set=", 6) == 0)
            settings[conf.settings_n++] = argv[i] + 6;
        else
            options[conf.options_n++] = argv[i];
    bench_corpus_init(&stage.corpus, argv[6]);
    stage.host = bench_host_start(&conf);
    spawn_all(&stage);
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (strcmp(line, "round\n") == 0)
            scan_round(&stage);
        else if (strcmp(line, "children\n") == 0)
            show_children(&stage);
        else
            bench_die("jail_ours: no such command: %s", line);
        (void)fflush(stdout); /* who asked waits, or is gone */
    }
    ps_host_free(&stage.host);
    bench_corpus_fini(&stage.corpus);
    return 0;
}
