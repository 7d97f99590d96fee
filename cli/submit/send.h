/* cli/submit/send.h: packs on their way to the server, several at once, and the events that come back: curl_multi on
 * one thread.
 *
 * A pack is repeated under its Idempotency-Key until it is answered, so a lost answer, a server that restarts or one
 * that is full costs time and nothing else. The window of packs in flight halves when the server says 429 or 503 and
 * grows by one with each success, up to PS_SEND_WINDOW. When the server has taken nothing for give_up_ms, we give up:
 * nothing more is sent, and nobody knows what became of the packs that wait. */
#ifndef PS_CLI_SUBMIT_SEND_H
#define PS_CLI_SUBMIT_SEND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/api.h"
#include "cli/submit/pack.h"

#define PS_SEND_WINDOW          4   /* packs in flight */
#define PS_SEND_BACKOFF_MS      250 /* first wait after a failure; doubles */
#define PS_SEND_BACKOFF_MAX     5000
#define PS_SEND_RETRY_AFTER_MAX 60000 /* a server that asks for more is asked earlier */
#define PS_SEND_RENEWALS        8 /* an upload begins anew, or goes back, so often; then its file is refused */

/* What becomes of packs; all are called from ps_send_give and ps_send_turn. */
struct ps_send_hooks {
    /* A file of a pack was acknowledged (line: its object), or refused (line NULL, why says so). */
    void (*file)(void *arg, const struct ps_pack *pack, const struct ps_pack_file *file, const json_t *line,
                 const char *why);
    /* The server had answered this pack's key before, and with other bytes (409). Each file is refused then, unless
     * this returns true. */
    bool (*conflict)(void *arg, const struct ps_pack *pack);
    /* The server has opened an upload for this large file: pack->upload. */
    void (*opened)(void *arg, const struct ps_pack *pack);
    /* All files of a pack have been told. */
    void (*settled)(void *arg, const struct ps_pack *pack);
    /* A scan event of the batch. */
    void (*event)(void *arg, const json_t *event);
    void *arg;
};

struct ps_send_settings {
    const struct ps_pack_options *options; /* lent */
    uint64_t give_up_ms;
    bool follow;   /* read events, */
    int64_t after; /* from this seq on */
    struct ps_send_hooks hooks;
};

struct ps_send;

/* api is lent. */
int ps_send_new(struct ps_send **ret_self, struct ps_api *api, const struct ps_send_settings *settings,
                struct ps_error *reterr);
void ps_send_free(struct ps_send **self_p);

/* True when another pack may be given. */
bool ps_send_wants(const struct ps_send *self);
/* Takes a pack that is full. */
void ps_send_give(struct ps_send *self, struct ps_pack *pack);
/* Packs not settled yet, and their files. */
unsigned ps_send_waiting(const struct ps_send *self);
size_t ps_send_waiting_files(const struct ps_send *self);
/* Lets transfers move; waits at most wait_ms for one to do so. */
void ps_send_turn(struct ps_send *self, int wait_ms);
/* What is waited for, for the progress line; NULL when all is well. Lent until the next turn. */
const char *ps_send_note(const struct ps_send *self);
/* True when the server has taken nothing (or, with all sent, answered nothing) for give_up_ms; note says why. */
bool ps_send_gave_up(const struct ps_send *self);
/* Monotonic time of the last event or acknowledgement. */
uint64_t ps_send_heard_ms(const struct ps_send *self);

#endif
