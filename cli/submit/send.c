#include "cli/submit/send.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define FOLLOW_WAIT_MS 20000

enum step { STEP_BATCH, STEP_ANNOUNCE, STEP_CHUNK };

/* One request slot: carries a pack until it is acknowledged. */
struct slot {
    CURL *curl;
    bool active;          /* in the multi handle */
    struct ps_pack *pack; /* NULL: free */
    enum step step;
    char path[256];
    char header_text[160];
    const char *headers[3];
    struct curl_slist *list;
    struct ps_api_reply reply;
    uint64_t retry_ms; /* monotonic: not before */
    uint64_t backoff_ms;
};

/* The slot that follows events. */
struct follower {
    CURL *curl;
    bool active, on;
    char path[256];
    struct curl_slist *list;
    struct ps_api_reply reply;
    int64_t after;
    uint64_t retry_ms;
};

struct ps_send {
    struct ps_api *api;
    struct ps_pack_options options;
    struct ps_send_hooks hooks;
    CURLM *multi;
    struct slot slots[PS_SEND_WINDOW];
    struct follower follower;
    unsigned window;      /* packs that may be in flight now: 1..PS_SEND_WINDOW */
    uint64_t chunk_bytes; /* as the server said */
    uint64_t give_up_ms;
    uint64_t heard_ms; /* last acknowledgement or event */
    uint64_t acked_ms; /* last sign that the server takes things */
    char note[PS_ERROR_TEXT_MAX];
};

int ps_send_new(struct ps_send **ret_self, struct ps_api *api, const struct ps_pack_options *options,
                bool follow, int64_t after, uint64_t give_up_ms, const struct ps_send_hooks *hooks,
                struct ps_error *reterr)
{
    PS_CLEANUP(ps_send_free) struct ps_send *self = PS_NEW(struct ps_send);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->api = api;
    self->options = *options;
    self->hooks = *hooks;
    self->window = PS_SEND_WINDOW;
    self->chunk_bytes = 8 * 1024 * 1024;
    self->give_up_ms = give_up_ms;
    self->heard_ms = self->acked_ms = ps_clock_mono_ms();
    self->follower.on = follow;
    self->follower.after = after;
    self->multi = curl_multi_init();
    self->follower.curl = curl_easy_init();
    bool ok = self->multi && self->follower.curl;
    for (size_t i = 0; i < PS_SEND_WINDOW; i++)
        ok = (self->slots[i].curl = curl_easy_init()) != NULL && ok;
    if (!ok)
        return ps_error_set(reterr, PS_ERR_NOMEM, "libcurl did not start");
    *ret_self = PS_TAKE(self);
    return 0;
}

static void stop_transfer(struct ps_send *self, CURL *curl, bool *active, struct curl_slist **list,
                          struct ps_api_reply *reply)
{
    if (*active)
        (void)curl_multi_remove_handle(self->multi, curl);
    *active = false;
    curl_slist_free_all(*list);
    *list = NULL;
    ps_api_reply_fini(reply);
}

void ps_send_free(struct ps_send **self_p)
{
    struct ps_send *self = *self_p;

    if (!self)
        return;
    for (size_t i = 0; i < PS_SEND_WINDOW; i++) {
        struct slot *slot = &self->slots[i];

        stop_transfer(self, slot->curl, &slot->active, &slot->list, &slot->reply);
        ps_pack_free(&slot->pack);
        curl_easy_cleanup(slot->curl);
    }
    stop_transfer(self, self->follower.curl, &self->follower.active, &self->follower.list,
                  &self->follower.reply);
    curl_easy_cleanup(self->follower.curl);
    if (self->multi)
        (void)curl_multi_cleanup(self->multi);
    free(self);
    *self_p = NULL;
}

unsigned ps_send_waiting(const struct ps_send *self)
{
    unsigned n = 0;

    for (size_t i = 0; i < PS_SEND_WINDOW; i++)
        n += self->slots[i].pack != NULL;
    return n;
}

bool ps_send_wants(const struct ps_send *self)
{
    return ps_send_waiting(self) < self->window;
}

const char *ps_send_note(const struct ps_send *self)
{
    return *self->note ? self->note : NULL;
}

uint64_t ps_send_heard_ms(const struct ps_send *self)
{
    return self->heard_ms;
}

/* ---- requests ---- */

static int start(struct ps_send *self, struct slot *slot)
{
    const struct ps_pack *pack = slot->pack;
    struct ps_bytes body = {pack->body.data, pack->body.len};
    const char *method = slot->step == STEP_CHUNK ? "PATCH" : "POST";

    slot->headers[0] = slot->header_text;
    slot->headers[1] = slot->step == STEP_BATCH ? "Content-Type: application/octet-stream" : NULL;
    slot->headers[2] = NULL;
    switch (slot->step) {
    case STEP_BATCH:
        (void)snprintf(slot->path, sizeof(slot->path), "/api/v1/batch");
        (void)snprintf(slot->header_text, sizeof(slot->header_text), "Idempotency-Key: %s", pack->key);
        break;
    case STEP_ANNOUNCE:
        (void)snprintf(slot->path, sizeof(slot->path), "/api/v1/uploads");
        (void)snprintf(slot->header_text, sizeof(slot->header_text), "Content-Type: application/json");
        break;
    case STEP_CHUNK:
        (void)snprintf(slot->path, sizeof(slot->path), "/api/v1/uploads/%s", pack->upload);
        (void)snprintf(slot->header_text, sizeof(slot->header_text), "Upload-Offset: %llu",
                       (unsigned long long)pack->offset);
        break;
    }
    ps_api_reply_init(&slot->reply);
    int r = ps_api_setup(self->api, slot->curl, method, slot->path, slot->headers, body, &slot->reply,
                         &slot->list);
    if (r)
        return r;
    (void)curl_easy_setopt(slot->curl, CURLOPT_PRIVATE, slot);
    (void)curl_multi_add_handle(self->multi, slot->curl);
    slot->active = true;
    return 0;
}

void ps_send_give(struct ps_send *self, struct ps_pack *pack)
{
    for (size_t i = 0; i < PS_SEND_WINDOW; i++) {
        struct slot *slot = &self->slots[i];

        if (slot->pack)
            continue;
        slot->pack = pack;
        slot->step = pack->large ? STEP_ANNOUNCE : STEP_BATCH;
        slot->retry_ms = 0;
        slot->backoff_ms = PS_SEND_BACKOFF_MS;
        if (ps_send_waiting(self) == 1)
            self->acked_ms = ps_clock_mono_ms(); /* patience is counted while something waits */
        return;
    }
    ps_pack_free(&pack); /* callers ask ps_send_wants first */
}

/* ---- endings ---- */

static void end_pack(struct ps_send *self, struct slot *slot)
{
    self->hooks.pack(self->hooks.arg, slot->pack);
    ps_pack_free(&slot->pack);
    self->window = PS_MIN(self->window + 1, (unsigned)PS_SEND_WINDOW);
}

static void fail_pack(struct ps_send *self, struct slot *slot, const char *why)
{
    for (size_t i = 0; i < slot->pack->n; i++)
        self->hooks.file(self->hooks.arg, slot->pack, &slot->pack->files[i], NULL, why);
    end_pack(self, slot);
}

static void try_again(struct ps_send *self, struct slot *slot, uint64_t now_ms, const char *why)
{
    uint64_t wait = PS_MAX(slot->backoff_ms, (uint64_t)slot->reply.retry_after_s * 1000);

    if (now_ms - self->acked_ms >= self->give_up_ms) {
        fail_pack(self, slot, why);
        return;
    }
    slot->retry_ms = now_ms + wait;
    slot->backoff_ms = PS_MIN(2 * slot->backoff_ms, (uint64_t)PS_SEND_BACKOFF_MAX);
    (void)snprintf(self->note, sizeof(self->note), "waiting: %s", why);
}

static void progress_made(struct ps_send *self, struct slot *slot, uint64_t now_ms)
{
    self->acked_ms = self->heard_ms = now_ms;
    self->note[0] = '\0';
    slot->backoff_ms = PS_SEND_BACKOFF_MS;
}

static const char *problem_text(const json_t *line)
{
    const char *detail = json_string_value(json_object_get(json_object_get(line, "problem"), "detail"));

    return detail ? detail : "refused";
}

/* The answer to a batch: NDJSON, a line a file in order; the last may say where the body turned bad. */
static void read_batch_answer(struct ps_send *self, struct slot *slot)
{
    const char *at = (const char *)slot->reply.body.data, *end = at + slot->reply.body.len;
    size_t told = 0;

    while (at < end && told < slot->pack->n) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line = json_loadb(at, (size_t)((stop ? stop : end) - at), 0, NULL);
        bool good = json_object_get(line, "sha256") != NULL;

        self->hooks.file(self->hooks.arg, slot->pack, &slot->pack->files[told++], good ? line : NULL,
                         good ? NULL : problem_text(line));
        json_decref(line);
        at = stop ? stop + 1 : end;
    }
    while (told < slot->pack->n)
        self->hooks.file(self->hooks.arg, slot->pack, &slot->pack->files[told++], NULL,
                         "the server's answer ended before this file");
    end_pack(self, slot);
}

static void next_chunk(struct ps_send *self, struct slot *slot)
{
    struct ps_error why = {0};

    slot->step = STEP_CHUNK;
    if (ps_pack_read_chunk(slot->pack, (size_t)self->chunk_bytes, &why) != 0)
        fail_pack(self, slot, why.text);
}

static void read_upload_answer(struct ps_send *self, struct slot *slot)
{
    json_t *json = json_loadb((const char *)slot->reply.body.data, slot->reply.body.len, 0, NULL);
    const char *id = json_string_value(json_object_get(json, "id"));
    json_int_t chunk = json_integer_value(json_object_get(json, "chunk_bytes"));

    slot->pack->offset = (uint64_t)json_integer_value(json_object_get(json, "offset"));
    if (slot->step == STEP_ANNOUNCE) {
        free(slot->pack->upload);
        slot->pack->upload = id ? ps_strf("%s", id) : NULL;
        if (chunk > 0)
            self->chunk_bytes = (uint64_t)PS_MIN(chunk, (json_int_t)PS_PACK_BYTES);
        if (!slot->pack->upload)
            fail_pack(self, slot, "the server's answer to POST /uploads has no id");
        else
            next_chunk(self, slot);
    } else if (json_object_get(json, "sha256")) {
        self->hooks.file(self->hooks.arg, slot->pack, &slot->pack->files[0], json, NULL);
        end_pack(self, slot);
    } else {
        next_chunk(self, slot);
    }
    json_decref(json);
}

/* A chunk that is not the one expected: go on where the server is. An upload it no longer knows begins anew. */
static bool recover_upload(struct ps_send *self, struct slot *slot)
{
    json_t *json;

    if (slot->step != STEP_CHUNK)
        return false;
    if (slot->reply.status == 404) {
        slot->step = STEP_ANNOUNCE;
        slot->pack->offset = 0;
        return true;
    }
    if (slot->reply.status != 409)
        return false;
    json = json_loadb((const char *)slot->reply.body.data, slot->reply.body.len, 0, NULL);
    const json_t *offset = json_object_get(json, "offset");
    bool known = json_is_integer(offset);
    if (known) {
        slot->pack->offset = (uint64_t)json_integer_value(offset);
        next_chunk(self, slot);
    }
    json_decref(json);
    return known;
}

static bool waiting_helps(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504 || status == 507;
}

static void finish_slot(struct ps_send *self, struct slot *slot, CURLcode code)
{
    uint64_t now_ms = ps_clock_mono_ms();
    struct ps_error why = {0};
    long status = 0;

    (void)curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);
    slot->reply.status = status;
    (void)curl_multi_remove_handle(self->multi, slot->curl);
    slot->active = false;

    if (code != CURLE_OK) {
        (void)ps_api_no_answer(self->api, (int)code, &why);
        try_again(self, slot, now_ms, why.text);
    } else if (status == 200 || status == 201) {
        progress_made(self, slot, now_ms);
        if (slot->step == STEP_BATCH)
            read_batch_answer(self, slot);
        else
            read_upload_answer(self, slot);
    } else if (recover_upload(self, slot)) {
        progress_made(self, slot, now_ms);
    } else {
        (void)ps_api_problem(&slot->reply, &why);
        if (status == 429 || status == 503)
            self->window = PS_MAX(self->window / 2, 1u);
        if (waiting_helps(status))
            try_again(self, slot, now_ms, why.text);
        else
            fail_pack(self, slot, why.text);
    }
    stop_transfer(self, slot->curl, &slot->active, &slot->list, &slot->reply);
}

/* ---- events ---- */

static void start_follower(struct ps_send *self)
{
    struct follower *f = &self->follower;

    (void)snprintf(f->path, sizeof(f->path), "/api/v1/events?batch=%s&after=%lld&wait_ms=%d",
                   self->options.batch, (long long)f->after, FOLLOW_WAIT_MS);
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    ps_api_reply_init(&f->reply);
    if (ps_api_setup(self->api, f->curl, "GET", f->path, headers, (struct ps_bytes){0}, &f->reply,
                     &f->list) != 0)
        return;
    (void)curl_easy_setopt(f->curl, CURLOPT_PRIVATE, NULL);
    (void)curl_multi_add_handle(self->multi, f->curl);
    f->active = true;
}

static void finish_follower(struct ps_send *self, CURLcode code)
{
    struct follower *f = &self->follower;
    const char *at = (const char *)f->reply.body.data, *end = at + f->reply.body.len;
    long status = 0;

    (void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        f->retry_ms = ps_clock_mono_ms() + PS_SEND_BACKOFF_MS;
        at = end;
    }
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line = json_loadb(at, (size_t)((stop ? stop : end) - at), 0, NULL);
        json_int_t seq = json_integer_value(json_object_get(line, "seq"));

        if (seq > f->after) {
            f->after = seq;
            self->heard_ms = ps_clock_mono_ms();
            self->hooks.event(self->hooks.arg, line);
        }
        json_decref(line);
        at = stop ? stop + 1 : end;
    }
    if (code == CURLE_OK && status == 200 && f->reply.seq > f->after)
        f->after = f->reply.seq;
    stop_transfer(self, f->curl, &f->active, &f->list, &f->reply);
}

/* ---- the turn ---- */

static void start_due(struct ps_send *self, uint64_t now_ms)
{
    for (size_t i = 0; i < PS_SEND_WINDOW; i++) {
        struct slot *slot = &self->slots[i];

        if (!slot->pack || slot->active || now_ms < slot->retry_ms)
            continue;
        if (slot->step == STEP_ANNOUNCE && ps_pack_announce(slot->pack, &self->options) != 0)
            fail_pack(self, slot, "out of memory");
        else if (start(self, slot) != 0)
            try_again(self, slot, now_ms, "out of memory");
    }
    if (self->follower.on && !self->follower.active && now_ms >= self->follower.retry_ms)
        start_follower(self);
}

void ps_send_turn(struct ps_send *self, int wait_ms)
{
    int running = 0, left = 0;
    CURLMsg *done;

    start_due(self, ps_clock_mono_ms());
    (void)curl_multi_perform(self->multi, &running);
    if (wait_ms > 0)
        (void)curl_multi_poll(self->multi, NULL, 0, wait_ms, NULL);
    (void)curl_multi_perform(self->multi, &running);
    while ((done = curl_multi_info_read(self->multi, &left)) != NULL) {
        struct slot *slot = NULL;
        CURLcode code = done->data.result;

        (void)curl_easy_getinfo(done->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        if (slot)
            finish_slot(self, slot, code);
        else
            finish_follower(self, code);
    }
}
