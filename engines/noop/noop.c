/* engines/noop/noop.c: judges without looking. For benches that measure everything but an engine; installed with
 * -Dbench=true only. */
#include "engines/engine.h"

static void noop_info(void *engine, struct ps_engine_info *ret_info)
{
    (void)engine;
    ret_info->version = "1";
    ret_info->definitions = "";
    ret_info->note = "looks at nothing; for benches";
    ret_info->silence_counts = true;
}

static enum ps_found noop_scan(void *engine, const struct ps_engine_sample *sample,
                               const struct ps_engine_report *report)
{
    (void)engine;
    (void)sample;
    (void)report;
    return PS_FOUND_UNDETECTED;
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "noop",
    .kind = PS_ENGINE_EVILNESS,
    .licence = "MPL-2.0",
    .run_ms = 10000,
    .info = noop_info,
    .scan = noop_scan,
};
