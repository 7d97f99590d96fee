/* broker/core/names.h: a bounded table of short texts: each gets a small number, from 1. One thread at a time. */
#ifndef PS_BROKER_CORE_NAMES_H
#define PS_BROKER_CORE_NAMES_H

#include <stdint.h>

#include "base/bytes.h"

struct ps_names {
    struct ps_bytes *texts; /* owned copies, by number; at NULL: free */
    uint16_t *slots;        /* open addressing: numbers, 0 empty */
    uint16_t limit_n;       /* numbers 1..limit_n */
    uint16_t top;           /* highest number given so far */
    uint16_t mask;          /* slots less one */
    uint64_t secret;        /* mixed into hashes */
};

/* 0 or PS_ERR_NOMEM. */
int ps_names_init(struct ps_names *self, uint16_t limit_n, uint64_t secret);
void ps_names_fini(struct ps_names *self);
/* Its number; 0 when it is not there. */
uint16_t ps_names_find(const struct ps_names *self, struct ps_bytes text);
/* Its number, new or old; 0 when the table is full or memory is out. */
uint16_t ps_names_put(struct ps_names *self, struct ps_bytes text);
void ps_names_remove(struct ps_names *self, uint16_t number);
/* Lent as long as the name is there; empty for 0. */
struct ps_bytes ps_names_text(const struct ps_names *self, uint16_t number);

#endif
