/* Memory, disk and processes without end: each goes on until it is refused, or has what its argument says. */
#include "engines/crashy/crashy.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_BYTES  (16UL << 20)
#define BLOCK_BYTES 65536
#define FILE_BLOCKS 8 /* of a small file: 512 KiB */
#define MIB         (1UL << 20)
#define BOMB_N      100000U /* processes, threads, files when the argument says nothing */

/* How far to go: the argument, or for ever. */
static size_t wanted(const struct scan *scan)
{
    unsigned long n = strtoul(scan->argument, NULL, 10);

    return n ? n : SIZE_MAX;
}

/* Got n of unit, and then was refused; or all that it wanted. */
static enum ps_found got(struct scan *scan, size_t n, const char *unit, const char *label)
{
    int error = errno;

    if (n >= wanted(scan))
        return crashy_through(scan, label);
    scan->report->reason(scan->report->host, "refused after %zu %s: %s", n, unit, strerror(error));
    return PS_FOUND_INCOMPLETE;
}

/* Memory that is used, until there is no more; given back, so that the child lives on. */
static size_t take_memory(struct scan *scan, int flags, int fd)
{
    size_t n = 0, bytes = 0;
    char *first = NULL, *piece;

    while (bytes / MIB < wanted(scan)) {
        piece = mmap(NULL, STEP_BYTES, PROT_READ | PROT_WRITE, flags, fd, fd < 0 ? 0 : (off_t)bytes);
        if (piece == MAP_FAILED)
            break;
        memset(piece, 1, STEP_BYTES);
        *(char **)(void *)piece = first; /* a chain, to find them again */
        first = piece;
        bytes += STEP_BYTES;
        n++;
    }
    int error = errno;
    for (; n > 0; n--) {
        piece = *(char **)(void *)first;
        (void)munmap(first, STEP_BYTES);
        first = piece;
    }
    errno = error;
    return bytes / MIB;
}

static enum ps_found do_alloc(struct scan *scan)
{
    return got(scan, take_memory(scan, MAP_PRIVATE | MAP_ANONYMOUS, -1), "MiB", "Wall.Memory");
}

/* Limits on private memory do not count it. */
static enum ps_found do_alloc_shared(struct scan *scan)
{
    return got(scan, take_memory(scan, MAP_SHARED | MAP_ANONYMOUS, -1), "MiB", "Wall.Shared");
}

static size_t write_blocks(int fd, size_t n)
{
    static char block[BLOCK_BYTES];
    size_t done = 0;

    while (done < n && write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
        done++;
    return done;
}

static enum ps_found do_memfd(struct scan *scan)
{
    size_t want = wanted(scan), n = want > SIZE_MAX / MIB ? SIZE_MAX : want * (MIB / BLOCK_BYTES);
    int fd = memfd_create("crashy", MFD_CLOEXEC);

    if (fd < 0)
        return crashy_held(scan);
    n = write_blocks(fd, n);
    (void)close(fd);
    return got(scan, n * BLOCK_BYTES / MIB, "MiB", "Wall.Memfd");
}

/* Keeps what it takes: a leak of as many MiB a scan. */
static enum ps_found do_leak(struct scan *scan)
{
    size_t bytes = strtoul(scan->argument, NULL, 10) * MIB;
    void *piece = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (piece == MAP_FAILED)
        return crashy_held(scan);
    memset(piece, 1, bytes);
    return PS_FOUND_UNDETECTED;
}

static int open_file(const struct scan *scan, size_t number)
{
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/fill-%zu", scan->sample->tmpdir, number);
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static enum ps_found do_fill_tmp(struct scan *scan)
{
    size_t want = wanted(scan), n = want > SIZE_MAX / MIB ? SIZE_MAX : want * (MIB / BLOCK_BYTES);
    int fd = open_file(scan, 0), error;

    if (fd < 0)
        return crashy_held(scan);
    n = write_blocks(fd, n);
    error = errno;
    (void)close(fd);
    errno = error;
    return got(scan, n * BLOCK_BYTES / MIB, "MiB", "Wall.Disk");
}

/* As much in small files: a limit on each of them does not see it. */
static enum ps_found do_fill_many(struct scan *scan)
{
    size_t want = wanted(scan), blocks = 0, n = FILE_BLOCKS;

    for (size_t i = 0; n == FILE_BLOCKS && blocks * BLOCK_BYTES / MIB < want; i++) {
        int fd = open_file(scan, i), error;

        n = fd < 0 ? 0 : write_blocks(fd, FILE_BLOCKS);
        error = errno;
        blocks += n;
        if (fd >= 0)
            (void)close(fd);
        errno = error;
    }
    return got(scan, blocks * BLOCK_BYTES / MIB, "MiB", "Wall.Disk");
}

static enum ps_found do_inodes(struct scan *scan)
{
    size_t want = wanted(scan), n = 0;
    int fd;

    for (; n < want && n < BOMB_N && (fd = open_file(scan, n)) >= 0; n++)
        (void)close(fd);
    return got(scan, n, "files", "Wall.Inodes");
}

static enum ps_found do_open_files(struct scan *scan)
{
    static int fds[BOMB_N];
    size_t want = wanted(scan), n = 0;
    int error;

    while (n < want && n < BOMB_N && (fds[n] = dup(scan->sample->fd)) >= 0)
        n++;
    error = errno;
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
    errno = error;
    return got(scan, n, "descriptors", "Wall.Descriptors");
}

/* Processes that do nothing; they are ended again, or end with the child. */
static enum ps_found do_fork_bomb(struct scan *scan)
{
    size_t want = wanted(scan), most = want < BOMB_N ? want : BOMB_N, n = 0;
    pid_t *pids = calloc(most, sizeof(*pids));
    int error;

    while (pids && n < most && (pids[n] = fork()) >= 0) {
        if (pids[n] == 0)
            crashy_hang();
        n++;
    }
    error = errno;
    for (size_t i = 0; pids && i < n; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    free(pids);
    errno = error;
    return got(scan, n, "processes", "Wall.Processes");
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *wait_gate(void *unused)
{
    (void)pthread_mutex_lock(&gate);
    (void)pthread_mutex_unlock(&gate);
    return unused;
}

static enum ps_found do_thread_bomb(struct scan *scan)
{
    size_t want = wanted(scan), most = want < BOMB_N ? want : BOMB_N, n = 0;
    pthread_t *threads = calloc(most, sizeof(*threads));
    int error = 0;

    (void)pthread_mutex_lock(&gate);
    while (threads && n < most && (error = pthread_create(&threads[n], NULL, wait_gate, NULL)) == 0)
        n++;
    (void)pthread_mutex_unlock(&gate);
    for (size_t i = 0; threads && i < n; i++)
        (void)pthread_join(threads[i], NULL);
    free(threads);
    errno = error;
    return got(scan, n, "threads", "Wall.Threads");
}

const struct crashy_command crashy_bombs[] = {
    {"alloc", do_alloc},
    {"alloc-shared", do_alloc_shared},
    {"memfd", do_memfd},
    {"leak", do_leak},
    {"fill-tmp", do_fill_tmp},
    {"fill-many", do_fill_many},
    {"inodes", do_inodes},
    {"open-files", do_open_files},
    {"fork-bomb", do_fork_bomb},
    {"thread-bomb", do_thread_bomb},
    {NULL, NULL},
};
