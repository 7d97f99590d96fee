/* engines/python/card.h: what an engine's class says of itself, as lists and numbers. */
#ifndef PS_PYTHON_CARD_H
#define PS_PYTHON_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "engines/kit/kit.h"

#define PS_CARD_ITEMS_MAX 64 /* paths or hosts in one list */

struct ps_card_list {
    const char *at[PS_CARD_ITEMS_MAX + 1]; /* ended by NULL; texts are the object's */
    size_t n;
};

struct ps_card {
    json_t *object; /* owned: holds the texts */
    enum ps_engine_kind kind;
    const char *types;   /* globs; "" for all */
    const char *licence; /* SPDX */
    struct ps_card_list programs, readable, writable, hosts;
    const char *socket; /* "" for none */
    uint32_t run_ms, at_once;
    bool updates; /* it has an update_definitions of its own */
};

/* What it says when asked whether it can work here. */
struct ps_checked {
    json_t *object;     /* owned: holds the texts */
    const char *reason; /* why it can't; "" when it can */
    const char *version, *definitions;
    uint32_t licence_scans;
    int64_t licence_ends_at; /* seconds since 1970; 0 for unknown */
    bool silence_counts;
};

/* Read an answer's object, which they hold on to. 0 to be ended by ..._fini, or -1 with a sentence. */
int ps_card_read(struct ps_card *ret_self, json_t *object, char *err, size_t err_max);
void ps_card_fini(struct ps_card *self);
int ps_checked_read(struct ps_checked *ret_self, json_t *object, char *err, size_t err_max);
void ps_checked_fini(struct ps_checked *self);

#endif
