#include "worker/host/deadly.h"

#include <signal.h>
#include <unistd.h>

#include "base/mem.h"

static void die_of(int sig)
{
    _exit(128 + sig);
}

void ps_deadly_signals(void)
{
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGTERM, SIGXCPU};
    struct sigaction action = {.sa_handler = die_of, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < PS_ARRAY_N(deadly); i++)
        (void)sigaction(deadly[i], &action, NULL); /* valid signals: can't fail, these two */
    (void)signal(SIGPIPE, SIG_IGN);
}
