/* cli/api.h: the HTTP API as the command line uses it: over run/api.sock, or to PHAGESCAN_URL. libcurl does
 * the talking. One handle belongs to one thread. */
#ifndef PS_CLI_API_H
#define PS_CLI_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct ps_api;

/* Finds the server: PHAGESCAN_URL when set, else the UNIX socket of the layout. Nothing is sent yet. */
int ps_api_new(struct ps_api **ret_self, struct ps_error *reterr);
void ps_api_free(struct ps_api **self_p);

struct ps_api_reply {
    long status;        /* HTTP status; 0 when there was no answer */
    struct ps_buf body; /* at most PS_API_REPLY_MAX bytes */
    long retry_after_s; /* from Retry-After; 0 when there was none */
    int64_t seq;        /* from Phagescan-Seq; -1 when there was none */
};
#define PS_API_REPLY_MAX (64u * 1024 * 1024)
#define PS_API_SILENCE_S 90L /* a request on which nothing moves for so long has failed */

void ps_api_reply_fini(struct ps_api_reply *self);

/* One request. path begins with /; headers is a NULL-ended list of "Name: value" or NULL; body may be empty.
 * 0 with *ret_reply (any status), or a ps_err when there was no answer: UNAVAILABLE with what to do. */
int ps_api_call(struct ps_api *self, const char *method, const char *path, const char *const *headers,
                struct ps_bytes body, struct ps_api_reply *ret_reply, struct ps_error *reterr);

/* The same in pieces, for callers that run several requests at once (curl_multi): sets up curl for one request whose
 * answer goes to *reply (ps_api_reply_init first). headers, body and reply must stay until the end; the caller frees
 * *ret_list (curl_slist_free_all) then. */
struct curl_slist;
void ps_api_reply_init(struct ps_api_reply *self);
int ps_api_setup(const struct ps_api *self, void *curl, const char *method, const char *path,
                 const char *const *headers, struct ps_bytes body, struct ps_api_reply *reply,
                 struct curl_slist **ret_list);
/* Turns a failed transfer into an error. */
int ps_api_no_answer(const struct ps_api *self, int curl_code, struct ps_error *reterr);

/* GET that must answer 200 with JSON. The caller owns *ret_json. A problem's detail becomes the error's text.
 */
int ps_api_get_json(struct ps_api *self, const char *path, json_t **ret_json, struct ps_error *reterr);

/* Turns a reply with an error status into an error: code by status, text from problem+json's detail. */
int ps_api_problem(const struct ps_api_reply *reply, struct ps_error *reterr);

#endif
