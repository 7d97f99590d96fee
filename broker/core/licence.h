/* broker/core/licence.h: engines of which no more than so many may run in the whole fleet, whoever is cut off from whom.
 *
 * A limit counts leases, and a lease that was taken from a worker who may not know of it, whatever the reason (dead,
 * banned, sent away): a *ghost*, which counts until it must have ended by itself (its time, and dead_ms for the worker to
 * notice that it is alone: it begins nothing then). A lease of a connected worker that is told CANCEL counts twice dead_ms
 * more: until then it has read that, or has noticed that it is alone and come back on another connection, or its session
 * is over. In the last case nobody knows whether it had begun before, so it counts as one that was not told. Leases of an
 * earlier boot are not known here at first: nothing is leased for limit_hold_ms after the start.
 *
 * Of several brokers one has the engine, by its master's word. So without a master nothing of it is leased, and what
 * does not run is dropped: the master may give it to another broker once what runs has passed, and whoever leads
 * submits anew what is his. A broker that slept for dead_ms or longer does not know any more whether its master is
 * still his: it ends that session, and a new one begins with an answer of the living.
 *
 * A limit comes from the configuration, or from what offers say of their licences; the smaller one holds.
 *
 * Without limits none of this does anything. */
#ifndef PS_BROKER_CORE_LICENCE_H
#define PS_BROKER_CORE_LICENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_core;
struct ps_engine;
struct ps_part_limit;

/* Offers of the engine came or went, one of which speaks of a licence, or it has a limit: the limit is the smallest of
 * configuration and offers. When nobody offers it any more the last one stays, for leases that may still run. */
void ps_licence_offered(struct ps_core *core, uint16_t engine);
/* One more lease of the engine may be given. */
bool ps_licence_free(const struct ps_core *core, const struct ps_engine *engine);
/* A lease of it is taken from the worker of that session, who may go on with it for allow_ms. told: it is told CANCEL. */
void ps_licence_lost(struct ps_core *core, uint16_t engine, uint32_t session, uint32_t allow_ms, bool told);
/* The session ends: what it was told of late it may not have read. */
void ps_licence_unread(struct ps_core *core, uint32_t session);
/* Looks again which limited engines are active: the master came or went. */
void ps_licences_refresh(struct ps_core *core);
/* The master that led is gone. */
void ps_licences_left(struct ps_core *core);
/* The broker was asleep for dead_ms or longer. */
void ps_licences_overslept(struct ps_core *core);
/* Forgets ghosts that have passed. */
void ps_licences_tick(struct ps_core *core);
/* The limits, for WELCOME: at most PS_ENGINES_MAX, texts are the core's. Returns how many. */
size_t ps_licences_list(const struct ps_core *core, struct ps_part_limit *ret_limits);

#endif
