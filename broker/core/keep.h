/* broker/core/keep.h: files that engines derived, on their way from a worker to the master: KEEP and PIECE up, WANT and
 * KEPT down.
 *
 * Nothing of it is stored, and who is to have what is the master's business: it asks for a few pieces at a time, so that
 * results have little in front of them. A worker sends no more than was asked of it: the rest is dropped here. While
 * one keeps files its leases that run are not late (PS_LEASE_MARGIN_MS from its last word, at most to their hard end). */
#ifndef PS_BROKER_CORE_KEEP_H
#define PS_BROKER_CORE_KEEP_H

#include <stdint.h>

#include "proto/messages.h"

struct ps_core;
struct ps_event;
struct ps_lease;

#define PS_KEEP_ASKED_MAX (4 * 1024 * 1024) /* bytes asked of a worker and not come; more is not counted */

void ps_keep_said(struct ps_core *core, uint32_t session, const struct ps_msg_KEEP *msg);
void ps_keep_piece(struct ps_core *core, uint32_t session, const struct ps_event *event);
/* The master's. */
void ps_keep_want(struct ps_core *core, const struct ps_event *event);
void ps_keep_kept(struct ps_core *core, const struct ps_event *event);
/* A new connection: what was asked for on the old one does not come any more. */
void ps_keep_clear(struct ps_core *core, uint32_t session);
/* Core time until which a lease that is past its time may still run, because its worker keeps files; 0: it may not. */
uint64_t ps_keep_until_ms(const struct ps_core *core, const struct ps_lease *lease);

#endif
