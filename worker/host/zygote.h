/* worker/host/zygote.h: the process that has loaded the engine and forks its children on demand. Engine host only.
 *
 * It parses no sample and no packet of a child; its session is trusted. It has no threads. Where there is a pid
 * namespace it is process 1 of its own, and whatever lives in there ends with it. */
#ifndef PS_HOST_ZYGOTE_H
#define PS_HOST_ZYGOTE_H

#include "worker/host/child.h"

struct ps_zygote_conf {
    struct ps_plugin *plugin;
    struct ps_jail *jail;
    const char *tmp;       /* directory below which each slot has its own */
    uint64_t recycle;      /* see ps_child_conf */
    uint64_t growth_bytes; /* likewise */
    bool child_stderr;     /* children keep standard error (an engine is debugged); else it is /dev/null */
};

struct ps_zygote;

/* 0 or a ps_err with the story. The signals that it waits for are blocked from here on. */
int ps_zygote_new(struct ps_zygote **ret_self, const struct ps_zygote_conf *conf, struct ps_error *reterr);
/* Kills all children, wipes their directories. */
void ps_zygote_free(struct ps_zygote **self_p);
/* Serves the session at control until it closes it. 0 then, or a ps_err. */
int ps_zygote_serve(struct ps_zygote *self, int control, struct ps_error *reterr);
/* One turn of the loop: waits at most timeout_ms for whatever comes first, wake (-1 for none) being readable among
 * it. 0 or a ps_err. For the self-test, which is its own session. */
int ps_zygote_turn(struct ps_zygote *self, int control, int wake, int timeout_ms);

#endif
