/* cli/submit/follow.h: the events of a batch, as they come: one long poll after the other, in the caller's curl_multi.
 * One thread. */
#ifndef PS_CLI_SUBMIT_FOLLOW_H
#define PS_CLI_SUBMIT_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/api.h"

#define PS_FOLLOW_WAIT_MS     20000 /* the server answers after so long, also when nothing came */
#define PS_FOLLOW_BACKOFF_MS  250   /* first wait after a failure; doubles */
#define PS_FOLLOW_BACKOFF_MAX 5000

struct ps_follow;

struct ps_follow_settings {
    const char *batch; /* lent */
    int64_t after;     /* seq from which on */
    void (*event)(void *arg, const json_t *event);
    void *arg;
};

/* multi: the caller's curl_multi handle, lent; CURLOPT_PRIVATE of our transfers is NULL. */
int ps_follow_new(struct ps_follow **ret_self, const struct ps_api *api, void *multi,
                  const struct ps_follow_settings *settings);
void ps_follow_free(struct ps_follow **self_p);

/* Asks again when it is time. */
void ps_follow_start(struct ps_follow *self, uint64_t now_ms);
/* The transfer has ended with this curl code. */
void ps_follow_finish(struct ps_follow *self, int curl_code, uint64_t now_ms);

/* Monotonic times of the last event and of the last good answer. */
uint64_t ps_follow_event_ms(const struct ps_follow *self);
uint64_t ps_follow_answer_ms(const struct ps_follow *self);
/* Why the last call failed; NULL when it did not. Lent. */
const char *ps_follow_problem(const struct ps_follow *self);

#endif
