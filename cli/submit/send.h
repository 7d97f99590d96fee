/* cli/submit/send.h: packs on their way to the server, several at once, and the events that come back: curl_multi on
 * one thread.
 *
 * A pack is repeated under its Idempotency-Key until it is acknowledged, so a lost answer, a server that restarts or one
 * that is full costs time and nothing else. The window of packs in flight halves when the server says 429 or 503 and
 * grows by one with each success, up to PS_SEND_WINDOW. When nothing has been acknowledged for give_up_ms, what waits is
 * given back as failed. */
#ifndef PS_CLI_SUBMIT_SEND_H
#define PS_CLI_SUBMIT_SEND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/api.h"
#include "cli/submit/pack.h"

#define PS_SEND_WINDOW      4   /* packs in flight */
#define PS_SEND_BACKOFF_MS  250 /* first wait after a failure; doubles */
#define PS_SEND_BACKOFF_MAX 5000
#define PS_SEND_STALL_MS    10000 /* all sent, no event for so long: ask the server for the whole batch */

struct ps_send_hooks {
    /* A file of a pack was acknowledged (line: its object), or refused (line NULL, why says so). */
    void (*file)(void *arg, const struct ps_pack *pack, const struct ps_pack_file *file, const json_t *line,
                 const char *why);
    /* All files of a pack have been told: time to sync a state file. */
    void (*pack)(void *arg, const struct ps_pack *pack);
    /* A scan event of the batch. */
    void (*event)(void *arg, const json_t *event);
    void *arg;
};

struct ps_send;

/* api is lent. options as in pack.h; follow: read events of the batch from seq after on. */
int ps_send_new(struct ps_send **ret_self, struct ps_api *api, const struct ps_pack_options *options,
                bool follow, int64_t after, uint64_t give_up_ms, const struct ps_send_hooks *hooks,
                struct ps_error *reterr);
void ps_send_free(struct ps_send **self_p);

/* True when another pack may be given. */
bool ps_send_wants(const struct ps_send *self);
/* Takes a pack that is full. */
void ps_send_give(struct ps_send *self, struct ps_pack *pack);
/* Packs not acknowledged yet. */
unsigned ps_send_waiting(const struct ps_send *self);
/* Lets transfers move; waits at most wait_ms for one to do so. */
void ps_send_turn(struct ps_send *self, int wait_ms);
/* What is waited for, for the progress line; NULL when all is well. Lent until the next turn. */
const char *ps_send_note(const struct ps_send *self);
/* Monotonic time of the last event or acknowledgement. */
uint64_t ps_send_heard_ms(const struct ps_send *self);

#endif
