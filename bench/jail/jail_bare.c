/* bench/jail/jail_bare.c: the peer of jail_ours: libclamav alone. Loads once, forks children without any jail, and each
 * takes the next file of the corpus until there is none: a prefork loop as short as it can be.
 *
 *   jail_bare TMP SIGNATURES CHILDREN CORPUS
 *
 * Limits, options and niceness are those of engines/clamav in its jail; its cache is off in both. Says "ready" when
 * loaded; each line "round" of standard input scans the corpus, and prints as jail_ours does. */
#include <clamav.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "bench/jail/corpus.h"
#include "bench/jail/rig.h"

#define CHILD_NICE 10 /* that of jailed children */

/* Shared by all children. */
struct shared {
    atomic_size_t next; /* file */
    atomic_size_t hits;
    atomic_uint_least64_t cpu_ns;
};

static struct cl_engine *load(const char *tmp, const char *signatures)
{
    static const struct {
        enum cl_engine_field field;
        long long n;
    } limits[] = {{CL_ENGINE_MAX_SCANSIZE, 2ll << 30}, {CL_ENGINE_MAX_FILESIZE, INT_MAX},
                  {CL_ENGINE_MAX_SCANTIME, 50000},     {CL_ENGINE_MAX_RECURSION, 17},
                  {CL_ENGINE_MAX_FILES, 10000},        {CL_ENGINE_DISABLE_CACHE, 1}};
    struct cl_engine *engine;
    unsigned n = 0;
    cl_error_t r = cl_init(CL_INIT_DEFAULT);

    engine = r == CL_SUCCESS ? cl_engine_new() : NULL;
    if (!engine)
        bench_die("libclamav does not start");
    for (size_t i = 0; i < PS_ARRAY_N(limits) && r == CL_SUCCESS; i++)
        r = cl_engine_set_num(engine, limits[i].field, limits[i].n);
    if (r == CL_SUCCESS)
        r = cl_engine_set_str(engine, CL_ENGINE_TMPDIR, tmp);
    if (r == CL_SUCCESS)
        r = cl_load(signatures, engine, &n, CL_DB_STDOPT);
    if (r == CL_SUCCESS)
        r = cl_engine_compile(engine);
    if (r != CL_SUCCESS)
        bench_die("the signatures do not load: %s", cl_strerror(r));
    return engine;
}

static bool scan_file(struct cl_engine *engine, const struct bench_corpus *corpus, size_t no)
{
    struct cl_scan_options options = {.general = CL_SCAN_GENERAL_HEURISTICS,
                                      .parse = ~0u,
                                      .heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX |
                                                   CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
                                                   CL_SCAN_HEURISTIC_ENCRYPTED_DOC};
    const char *name = NULL;
    unsigned long scanned = 0;
    size_t len;
    void *data = bench_corpus_map(corpus, no, &len);
    cl_fmap_t *map;
    cl_error_t r;

    if (!data)
        return false;
    map = cl_fmap_open_memory(data, len);
    if (!map)
        bench_die("no memory for a map");
    r = cl_scanmap_callback(map, NULL, &name, &scanned, engine, &options, NULL);
    cl_fmap_close(map);
    bench_corpus_unmap(data, len);
    if (r != CL_CLEAN && r != CL_VIRUS)
        bench_die("%s: %s", corpus->paths[no], cl_strerror(r));
    return r == CL_VIRUS;
}

static uint64_t cpu_ns(void)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at); /* there since Linux 2.6 */
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* As worker/host/jail.c does it for its children. */
static void yield(void)
{
    PS_CLOSE int fd = -1;

    (void)setsid(); /* a forked child leads no group yet: can't fail */
    fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    (void)setpriority(PRIO_PROCESS, 0, CHILD_NICE);
    if (fd >= 0)
        (void)ps_file_write_all(fd, "10", 2); /* without it both are as before */
}

static void __attribute__((noreturn))
child(struct cl_engine *engine, const struct bench_corpus *corpus, struct shared *shared, int sock)
{
    char go;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    yield();
    while (read(sock, &go, 1) == 1) {
        uint64_t from = cpu_ns();
        size_t no;

        while ((no = atomic_fetch_add(&shared->next, 1)) < corpus->n)
            if (scan_file(engine, corpus, no))
                atomic_fetch_add(&shared->hits, 1);
        atomic_fetch_add(&shared->cpu_ns, cpu_ns() - from);
        if (write(sock, "d", 1) != 1)
            break;
    }
    _exit(0);
}

/* Temporary names are the same in all children of one engine: each has a directory of its own. */
static int start_child(struct cl_engine *engine, const struct bench_corpus *corpus, struct shared *shared,
                       const char *tmp, unsigned no)
{
    PS_FREE char *dir = ps_strf("%s/bare-%u", tmp, no);
    int socks[2];
    pid_t pid;

    if (!dir || ps_file_mkdirs(dir, 0700) || ps_sock_pair(socks) || (pid = fork()) < 0)
        bench_die("no child can be forked");
    if (pid == 0) {
        (void)close(socks[0]);
        if (cl_engine_set_str(engine, CL_ENGINE_TMPDIR, dir) != CL_SUCCESS)
            bench_die("the directory %s is refused", dir);
        child(engine, corpus, shared, socks[1]);
    }
    (void)close(socks[1]);
    return socks[0];
}

static void scan_round(struct shared *shared, const int *socks, unsigned n, size_t files)
{
    uint64_t from = bench_now_ns();
    char done;

    atomic_store(&shared->next, 0);
    atomic_store(&shared->hits, 0);
    atomic_store(&shared->cpu_ns, 0);
    for (unsigned i = 0; i < n; i++)
        if (write(socks[i], "g", 1) != 1)
            bench_die("a child is gone");
    for (unsigned i = 0; i < n; i++)
        if (read(socks[i], &done, 1) != 1)
            bench_die("a child is gone");
    (void)printf("{\"seconds\": %.4f, \"cpu_s\": %.4f, \"hits\": %zu, \"files\": %zu}\n",
                 (double)(bench_now_ns() - from) / 1e9, (double)atomic_load(&shared->cpu_ns) / 1e9,
                 atomic_load(&shared->hits), files);
}

int main(int argc, char **argv)
{
    struct bench_corpus corpus;
    int socks[BENCH_SLOTS_MAX];
    struct cl_engine *engine;
    struct shared *shared;
    unsigned n;
    char line[32];

    if (argc != 5)
        bench_die("jail_bare TMP SIGNATURES CHILDREN CORPUS");
    n = (unsigned)PS_MIN(strtoul(argv[3], NULL, 10), (unsigned long)BENCH_SLOTS_MAX);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bench_die("no shared memory");
    bench_corpus_init(&corpus, argv[4]);
    engine = load(argv[1], argv[2]);
    for (unsigned i = 0; i < n; i++)
        socks[i] = start_child(engine, &corpus, shared, argv[1], i);
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        scan_round(shared, socks, n, corpus.n);
        (void)fflush(stdout); /* who asked waits, or is gone */
    }
    for (unsigned i = 0; i < n; i++)
        (void)close(socks[i]); /* their read ends */
    while (waitpid(-1, NULL, 0) > 0)
        ;
    bench_corpus_fini(&corpus);
    return (int)cl_engine_free(engine);
}
