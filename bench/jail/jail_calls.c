/* bench/jail/jail_calls.c: what single calls into the jail cost. Each case prints one line of JSON, microseconds.
 *
 *   jail_calls handoff N BYTES HOST...  jobs one by one: from ps_host_run to HAVE (the child has the sample, its engine
 *                                       comes next) and to RESULT; whole: with memfd, copy and seal before it
 *   jail_calls fork N BYTES             the same by a forked process without jail or host: the floor
 *   jail_calls restart N HOST...        from the kill of an idle child to its EXITED, to READY of the next, and to that
 *                                       one's HAVE
 *   jail_calls exec N PROGRAM ARG...    a program started by posix_spawn and waited for
 *
 * HOST: PROGRAM PLUGIN TMP SIGNATURES-or-"" [OPTION...], of phagescan-enginehost. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "bench/jail/rig.h"

#define WARM_N    20 /* calls before the first one measured */
#define BYTES_MAX (64u << 20)
#define CALLS_MAX 10000000u

static unsigned long number(const char *text, unsigned long max)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || *end || end == text || n > max)
        bench_die("jail_calls: %s is no number up to %lu", text, max);
    return n;
}

static struct ps_host *start(char **words)
{
    static char name[PS_NAME_MAX + 1];
    struct ps_host_conf conf = {.engine = name, .slots = 1};
    const char *base;

    for (int i = 0; i < 4; i++)
        if (!words[i])
            bench_die("jail_calls: an engine host is PROGRAM PLUGIN TMP SIGNATURES [OPTION...]");
    base = strrchr(words[1], '/');
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(base ? base + 1 : words[1], "."),
                   base ? base + 1 : words[1]); /* a cut name is refused by the host */
    conf.program = words[0];
    conf.plugin = words[1];
    conf.tmp = words[2];
    conf.signatures = words[3][0] ? words[3] : NULL;
    conf.options = (const char *const *)(words + 4);
    while (conf.options[conf.options_n])
        conf.options_n++;
    return bench_host_start(&conf);
}

static char *some_bytes(size_t n)
{
    char *data = ps_alloc(n ? n : 1, 1);

    if (!data)
        bench_die("no memory");
    memset(data, 'x', n);
    return data;
}

/* ---- hand-off ---- */

struct handoff {
    struct bench_times have, result, whole;
};

static void handoff_init(struct handoff *self, size_t n)
{
    bench_times_init(&self->have, n);
    bench_times_init(&self->result, n);
    bench_times_init(&self->whole, n);
}

static void handoff_print(struct handoff *self)
{
    bench_times_print(&self->have, "have", "{");
    bench_times_print(&self->result, "result", ", ");
    bench_times_print(&self->whole, "whole", ", ");
    (void)printf("}\n");
    bench_times_fini(&self->have);
    bench_times_fini(&self->result);
    bench_times_fini(&self->whole);
}

/* from: before the memfd; run: before it was handed over. */
static void handoff_add(struct handoff *self, uint64_t from, uint64_t run, uint64_t have, uint64_t result)
{
    bench_times_add(&self->have, have - run);
    bench_times_add(&self->result, result - run);
    bench_times_add(&self->whole, result - from);
}

static void handoff(size_t n, size_t bytes, char **words)
{
    PS_CLEANUP(ps_host_free) struct ps_host *host = start(words);
    PS_FREE char *data = some_bytes(bytes);
    struct handoff times;

    handoff_init(&times, n);
    for (size_t i = 0; i < n + WARM_N; i++) {
        uint64_t from = bench_now_ns(), run, have, result;
        PS_CLOSE int fd = bench_sample(data, bytes);
        struct ps_host_event event;

        run = bench_now_ns();
        bench_run(host, 0, i, fd, bytes);
        (void)bench_wait(host, PS_HOST_HAVE);
        have = bench_now_ns();
        event = bench_wait(host, PS_HOST_RESULT);
        result = bench_now_ns();
        if (event.result->outcome != PS_OUTCOME_UNDETECTED)
            bench_die("job %zu: %s %s", i, ps_outcome_word(event.result->outcome), event.result->reason);
        if (i >= WARM_N)
            handoff_add(&times, from, run, have, result);
    }
    handoff_print(&times);
}

/* The process at the other end of the floor: takes a descriptor, says that it has it, says that it is done. */
static void __attribute__((noreturn)) serve(int sock)
{
    int fds[PS_SOCK_FDS_MAX];
    size_t fds_n, len;
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* else it ends when the socket does */
    while (ps_sock_recv(sock, &byte, 1, &len, fds, &fds_n, 0) == 0) {
        if (fds_n != 1 || ps_sock_send(sock, "h", 1, NULL, 0, 0) || ps_sock_send(sock, "d", 1, NULL, 0, 0))
            _exit(1);
        (void)close(fds[0]); /* read-only: nothing to lose */
    }
    _exit(0);
}

static void expect(int sock, char wanted)
{
    int fds[PS_SOCK_FDS_MAX];
    size_t fds_n, len;
    char byte;

    if (ps_sock_recv(sock, &byte, 1, &len, fds, &fds_n, 0) || len != 1 || byte != wanted)
        bench_die("the forked process does not answer");
}

static void forked(size_t n, size_t bytes)
{
    PS_FREE char *data = some_bytes(bytes);
    struct handoff times;
    int socks[2];
    pid_t pid;

    if (ps_sock_pair(socks) || (pid = fork()) < 0)
        bench_die("no process can be forked");
    if (pid == 0) {
        (void)close(socks[0]);
        serve(socks[1]);
    }
    (void)close(socks[1]);
    handoff_init(&times, n);
    for (size_t i = 0; i < n + WARM_N; i++) {
        uint64_t from = bench_now_ns(), run, have, result;
        PS_CLOSE int fd = bench_sample(data, bytes);

        run = bench_now_ns();
        if (ps_sock_send(socks[0], "j", 1, &fd, 1, 0))
            bench_die("the forked process takes nothing");
        expect(socks[0], 'h');
        have = bench_now_ns();
        expect(socks[0], 'd');
        result = bench_now_ns();
        if (i >= WARM_N)
            handoff_add(&times, from, run, have, result);
    }
    (void)close(socks[0]);
    (void)waitpid(pid, NULL, 0);
    handoff_print(&times);
}

/* ---- restart ---- */

static void restart(size_t n, char **words)
{
    PS_CLEANUP(ps_host_free) struct ps_host *host = start(words);
    PS_CLOSE int fd = bench_sample("sample", 6);
    struct bench_times exited, ready, have;
    pid_t pid;

    bench_times_init(&exited, n);
    bench_times_init(&ready, n);
    bench_times_init(&have, n);
    if (ps_host_spawn(host, 0, ps_clock_mono_ms()))
        bench_die("no child is spawned");
    pid = bench_wait(host, PS_HOST_READY).pid;
    for (size_t i = 0; i < n; i++) {
        uint64_t from = bench_now_ns();

        if (kill(pid, SIGKILL))
            bench_die("the child %d can't be killed: %s", (int)pid, strerror(errno));
        (void)bench_wait(host, PS_HOST_EXITED);
        bench_times_add(&exited, bench_now_ns() - from);
        bench_run(host, 0, i, fd, 6); /* forks the next child */
        pid = bench_wait(host, PS_HOST_READY).pid;
        bench_times_add(&ready, bench_now_ns() - from);
        (void)bench_wait(host, PS_HOST_HAVE);
        bench_times_add(&have, bench_now_ns() - from);
        (void)bench_wait(host, PS_HOST_RESULT);
    }
    bench_times_print(&exited, "exited", "{");
    bench_times_print(&ready, "ready", ", ");
    bench_times_print(&have, "have", ", ");
    (void)printf("}\n");
    bench_times_fini(&exited);
    bench_times_fini(&ready);
    bench_times_fini(&have);
}

/* ---- a plain program ---- */

static void exec_plainly(size_t n, char **argv)
{
    struct bench_times times;

    bench_times_init(&times, n);
    for (size_t i = 0; i < n + WARM_N; i++) {
        uint64_t from = bench_now_ns();
        int status = 0;
        pid_t pid;

        if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
            bench_die("%s can't be started", argv[0]);
        if (waitpid(pid, &status, 0) != pid || status != 0)
            bench_die("%s ended with status %d", argv[0], status);
        if (i >= WARM_N)
            bench_times_add(&times, bench_now_ns() - from);
    }
    bench_times_print(&times, "exec", "{");
    (void)printf("}\n");
    bench_times_fini(&times);
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    size_t n = argc > 3 ? number(argv[2], CALLS_MAX) : 0;

    if (strcmp(what, "handoff") == 0 && argc > 4)
        handoff(n, number(argv[3], BYTES_MAX), argv + 4);
    else if (strcmp(what, "fork") == 0)
        forked(n, number(argv[3], BYTES_MAX));
    else if (strcmp(what, "restart") == 0)
        restart(n, argv + 3);
    else if (strcmp(what, "exec") == 0)
        exec_plainly(n, argv + 3);
    else
        bench_die("jail_calls handoff|fork|restart|exec N ...: see the top of its source");
    return 0;
}
