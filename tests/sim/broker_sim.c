/* The broker's core under simulated time with random faults: `sim_broker [runs [first seed [verbose]]]`, on all cores. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define RUNS       10000
#define FAILED_MAX 5    /* then a process stops looking for more */
#define HANDS_MAX  64   /* processes */
#define ALL_SEEN   1000 /* so many runs have met all that can happen */

static const char *const events[SIM_EVENTS_N] = {
#define X(name) #name,
    SIM_EVENTS(X)
#undef X
};

/* What a process has to tell; shared with its parent. */
struct tally {
    uint64_t runs, failed;
    uint64_t saw[SIM_EVENTS_N];
};

static void run_seeds(struct tally *tally, uint64_t first, uint64_t end, uint64_t each, bool verbose)
{
    for (uint64_t seed = first; seed < end && tally->failed < FAILED_MAX; seed += each) {
        const char *broken = sim_run(seed, verbose, tally->saw);

        tally->runs++;
        if (!broken)
            continue;
        printf("FAILED seed %llu: %s\n", (unsigned long long)seed, broken);
        fflush(stdout);
        tally->failed++;
    }
}

/* Every hand takes every n-th seed. One that dies has failed. */
static void run_all(struct tally *tallies, unsigned hands, uint64_t first, uint64_t end)
{
    for (unsigned i = 0; i < hands; i++) {
        pid_t pid = fork();

        if (pid < 0)
            abort();
        if (pid == 0) {
            run_seeds(&tallies[i], first + i, end, hands, false);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < hands; i++) {
        int status;

        if (wait(&status) < 0 || status) {
            printf("FAILED: a process ended with status %d\n", status);
            tallies[0].failed++;
        }
    }
}

/* A fault that never strikes shows nothing. */
static bool all_seen(const struct tally *sum)
{
    bool all = true;

    for (int i = 0; i < SIM_EVENTS_N; i++) {
        printf("%s=%llu%s", events[i], (unsigned long long)sum->saw[i], i + 1 < SIM_EVENTS_N ? " " : "\n");
        all &= sum->saw[i] > 0;
    }
    if (!all && sum->runs >= ALL_SEEN)
        printf("FAILED: something never happened\n");
    return all || sum->runs < ALL_SEEN;
}

int main(int argc, char **argv)
{
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : RUNS,
             first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned hands = cores > 0 ? (unsigned)PS_MIN(cores, HANDS_MAX) : 1;
    struct tally *tallies =
        mmap(NULL, HANDS_MAX * sizeof(*tallies), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct tally sum = {0};

    if (tallies == MAP_FAILED)
        return 1;
    if (argc > 3)
        run_seeds(&tallies[0], first, first + runs, 1, true);
    else
        run_all(tallies, hands, first, first + runs);
    for (unsigned i = 0; i < hands; i++) {
        sum.runs += tallies[i].runs;
        sum.failed += tallies[i].failed;
        for (int j = 0; j < SIM_EVENTS_N; j++)
            sum.saw[j] += tallies[i].saw[j];
    }
    if (!all_seen(&sum) || sum.failed)
        return 1;
    printf("%llu runs from seed %llu: every job final once, books agree, nothing left\n",
           (unsigned long long)sum.runs, (unsigned long long)first);
    return 0;
}
