/* The broker's core under simulated time with random faults: `sim_broker [runs [first seed [verbose]]]`. */
#include "tests/sim/sim.h"

#define RUNS 1000

int main(int argc, char **argv)
{
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : RUNS,
             first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    unsigned failed = 0;

    for (uint64_t seed = first; seed < first + runs && failed < 5; seed++) {
        const char *broken = sim_run(seed, argc > 3);

        if (!broken)
            continue;
        printf("FAILED seed %llu: %s\n", (unsigned long long)seed, broken);
        failed++;
    }
    if (!failed)
        printf("%llu runs from seed %llu: every job final once, books agree, nothing left\n",
               (unsigned long long)runs, (unsigned long long)first);
    return failed ? 1 : 0;
}
