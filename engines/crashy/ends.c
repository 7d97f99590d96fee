/* Deaths and hangs. */
#include "engines/crashy/crashy.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define GRANDCHILDREN 4

static enum ps_found do_segv(struct scan *scan)
{
    volatile int *nowhere = NULL;

    (void)scan;
    *nowhere = 1; // NOLINT(clang-analyzer-core.NullDereference): that is what it is for
    return PS_FOUND_FAILURE;
}

static enum ps_found do_abort(struct scan *scan)
{
    (void)scan;
    abort();
}

static enum ps_found do_exit(struct scan *scan)
{
    _exit(atoi(scan->argument));
}

/* Until there is no stack. */
static unsigned deeper(volatile char *before)
{
    volatile char frame[4096];

    frame[0] = before[0];
    if (!frame[0])
        return 0; /* never: but a compiler can't know */
    return deeper(frame) + (unsigned char)frame[0];
}

static enum ps_found do_stack(struct scan *scan)
{
    volatile char first = 1;

    (void)scan;
    return deeper(&first) ? PS_FOUND_FAILURE : PS_FOUND_INCOMPLETE;
}

void __attribute__((noreturn)) crashy_hang(void)
{
    for (;;)
        (void)pause(); /* until killed */
}

static void __attribute__((noreturn)) spin(void)
{
    volatile unsigned turns = 0;

    for (;;)
        turns++;
}

static enum ps_found do_hang(struct scan *scan)
{
    (void)scan;
    crashy_hang();
}

static enum ps_found do_spin(struct scan *scan)
{
    (void)scan;
    spin();
}

static void ignore_all(void)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_IGN); /* refused for two of them */
}

/* All that a process may ignore it ignores: only SIGKILL ends it. */
static enum ps_found do_hang_ignore(struct scan *scan)
{
    (void)scan;
    ignore_all();
    crashy_hang();
}

static enum ps_found do_spin_ignore(struct scan *scan)
{
    (void)scan;
    ignore_all();
    spin();
}

/* Grandchildren in sessions of their own, which killing the process group misses. They are named so that a
 * test can look for those left over. */
static enum ps_found do_fork_hang(struct scan *scan)
{
    for (int i = 0; i < GRANDCHILDREN; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            scan->report->reason(scan->report->host, "fork: %s", strerror(errno));
            return PS_FOUND_UNDETECTED;
        }
        if (!pid) {
            (void)setsid();
            (void)prctl(PR_SET_NAME, "crashy-orphan");
            crashy_hang();
        }
    }
    crashy_hang();
}

/* Bears a name meanwhile, by which a test counts such runs from outside. */
static enum ps_found do_slow(struct scan *scan)
{
    long ms = atol(scan->argument);
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    char name[16] = "";

    (void)prctl(PR_GET_NAME, name);
    (void)prctl(PR_SET_NAME, "crashy-slow");
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
    (void)prctl(PR_SET_NAME, name);
    return PS_FOUND_UNDETECTED;
}

const struct crashy_command crashy_ends[] = {
    {"segv", do_segv},
    {"abort", do_abort},
    {"exit", do_exit},
    {"stack", do_stack},
    {"hang", do_hang},
    {"hang-ignore", do_hang_ignore},
    {"spin", do_spin},
    {"spin-ignore", do_spin_ignore},
    {"fork-hang", do_fork_hang},
    {"slow", do_slow},
    {NULL, NULL},
};
