#include "broker/mdp/frames.h"

#include <string.h>

#include "base/err.h"

enum {
    EMPTY,
    PROTOCOL,
    THIRD,
    CLIENT,
    DELIMITER
}; /* places of frames; THIRD is the service or the command */

/* What each command of a worker's dialogue looks like: the RFC's frames, counted. */
static const struct shape {
    const char *word;
    size_t frames_n; /* exactly so many; with a body: at least */
    bool names;      /* the fourth frame is a service */
    bool has_body;   /* client, empty frame, body */
} shapes[PS_MDP_KINDS_N] = {
    [PS_MDP_CLIENT_REQUEST] = {"REQUEST of a client", 4, false, true},
    [PS_MDP_READY] = {"READY", 4, true, false},
    [PS_MDP_REQUEST] = {"REQUEST", 6, false, true},
    [PS_MDP_REPLY] = {"REPLY", 6, false, true},
    [PS_MDP_HEARTBEAT] = {"HEARTBEAT", 3, false, false},
    [PS_MDP_DISCONNECT] = {"DISCONNECT", 3, false, false},
};

static bool is_service(struct ps_bytes name)
{
    return name.len > 0 && name.len <= PS_MDP_SERVICE_MAX;
}

static bool counts_fit(const struct shape *shape, size_t n)
{
    return shape->has_body ? n >= shape->frames_n && n < shape->frames_n + PS_MDP_BODY_N
                           : n == shape->frames_n;
}

static int read_client(const struct ps_bytes *frames, size_t n, struct ps_mdp_message *ret_message)
{
    if (!counts_fit(&shapes[PS_MDP_CLIENT_REQUEST], n) || !is_service(frames[THIRD]))
        return PS_ERR_PROTO;
    *ret_message = (struct ps_mdp_message){
        .kind = PS_MDP_CLIENT_REQUEST, .service = frames[THIRD], .body_at = THIRD + 1};
    return 0;
}

static int read_worker(const struct ps_bytes *frames, size_t n, struct ps_mdp_message *ret_message)
{
    struct ps_mdp_message message = {.body_at = n};
    const struct shape *shape;

    if (frames[THIRD].len != 1 || frames[THIRD].at[0] < PS_MDP_READY ||
        frames[THIRD].at[0] > PS_MDP_DISCONNECT)
        return PS_ERR_PROTO;
    message.kind = (enum ps_mdp_kind)frames[THIRD].at[0];
    shape = &shapes[message.kind];
    if (!counts_fit(shape, n))
        return PS_ERR_PROTO;
    if (shape->names) {
        message.service = frames[THIRD + 1];
        if (!is_service(message.service))
            return PS_ERR_PROTO;
    }
    if (shape->has_body) {
        message.client = frames[CLIENT];
        message.body_at = DELIMITER + 1;
        if (!message.client.len || message.client.len > PS_MDP_ADDRESS_MAX || frames[DELIMITER].len)
            return PS_ERR_PROTO;
    }
    *ret_message = message;
    return 0;
}

int ps_mdp_read(const struct ps_bytes *frames, size_t n, struct ps_mdp_message *ret_message)
{
    if (n <= THIRD || frames[EMPTY].len)
        return PS_ERR_PROTO;
    if (ps_bytes_is(frames[PROTOCOL], PS_MDP_CLIENT))
        return read_client(frames, n, ret_message);
    if (ps_bytes_is(frames[PROTOCOL], PS_MDP_WORKER))
        return read_worker(frames, n, ret_message);
    return PS_ERR_PROTO;
}

const char *ps_mdp_word(enum ps_mdp_kind kind)
{
    return shapes[kind].word;
}

bool ps_mdp_is_own(struct ps_bytes service)
{
    static const char prefix[] = PS_MDP_OWN_SERVICES;

    return service.len >= sizeof(prefix) - 1 && memcmp(service.at, prefix, sizeof(prefix) - 1) == 0;
}
