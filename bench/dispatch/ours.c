/* dispatch_ours client|fill|worker|keys: a master and workers over proto/peer, as master/scan/uplink and worker/talk use it. */
#include "bench/dispatch/ours.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/log.h"
#include "bench/dispatch/payload.h"

const char *const ours_engines[OURS_ENGINES_N] = {"clamav", "yara", "type", "hashes", "e4", "e5", "e6", "e7"};

void ours_sha(uint8_t sha256[PS_SHA256_BYTES], uint64_t sample)
{
    const uint64_t words[4] = {payload_mix(sample), sample, payload_mix(sample + 1), payload_mix(~sample)};

    memcpy(sha256, words, sizeof(words));
}

uint64_t ours_sample(const uint8_t sha256[PS_SHA256_BYTES])
{
    uint64_t sample;

    memcpy(&sample, sha256 + sizeof(sample), sizeof(sample));
    return sample;
}

void ours_label(char label[OURS_LABEL], uint64_t sum)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = OURS_LABEL - 2; i >= 0; i--, sum >>= 4)
        label[i] = digits[sum & 15];
    label[OURS_LABEL - 1] = '\0';
}

void *ours_context(void)
{
    void *context = zmq_ctx_new();

    if (!context || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 16384))
        bench_die("no libzmq context");
    return context;
}

int main(int argc, char **argv)
{
    struct bench_options options;
    int status;

    ps_log_init("dispatch_ours", PS_LOG_WARN);
    bench_options_read(&options, argc, argv);
    if (!options.endpoint && !bench_is(&options, "keys"))
        bench_die("--endpoint is missing");
    if (bench_is(&options, "client"))
        status = ours_client(&options);
    else if (bench_is(&options, "fill"))
        status = ours_fill(&options);
    else if (bench_is(&options, "worker"))
        status = ours_worker(&options);
    else if (bench_is(&options, "keys"))
        status = ours_keys(&options);
    else
        bench_die("client, fill, worker or keys");
    bench_options_fini(&options);
    return status;
}
