/* worker/host/selftest.h: whether a freshly loaded engine is fit to be offered. Engine host only. */
#ifndef PS_HOST_SELFTEST_H
#define PS_HOST_SELFTEST_H

#include "worker/host/zygote.h"

enum ps_self_test {
    PS_SELF_TEST_NONE,  /* believe it */
    PS_SELF_TEST_CLEAN, /* a jailed child answers about a harmless text, and finds nothing in it */
    PS_SELF_TEST_EICAR, /* and finds the EICAR test file: for definitions that must have it */
};

/* Runs it in a child as jailed as any. kind: of the engine. 0, or PS_ERR_UNAVAILABLE with a sentence that says what the
 * engine did. */
int ps_self_test(struct ps_zygote *zygote, enum ps_engine_kind kind, enum ps_self_test what,
                 struct ps_error *reterr);

#endif
