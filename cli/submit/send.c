#include "cli/submit/send.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/submit/follow.h"

enum step { STEP_BATCH, STEP_ANNOUNCE, STEP_CHUNK };

/* One request slot: carries a pack until it is settled. */
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
    unsigned renewals; /* times its upload went back or began anew */
};

struct ps_send {
    struct ps_api *api;
    struct ps_send_settings settings;
    CURLM *multi;
    struct slot slots[PS_SEND_WINDOW];
    struct ps_follow *follow; /* NULL: nobody waits for events */
    unsigned window;          /* requests that may be in flight now: 1..PS_SEND_WINDOW */
    uint64_t chunk_bytes;     /* as the server said */
    uint64_t acked_ms;        /* last sign that the server takes things */
    bool gave_up;
    char note[PS_ERROR_TEXT_MAX + 16];
};

int ps_send_new(struct ps_send **ret_self, struct ps_api *api, const struct ps_send_settings *settings,
                struct ps_error *reterr)
{
    PS_CLEANUP(ps_send_free) struct ps_send *self = PS_NEW(struct ps_send);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->api = api;
    self->settings = *settings;
    self->window = PS_SEND_WINDOW;
    self->chunk_bytes = PS_PACK_SMALL;
    self->acked_ms = ps_clock_mono_ms();
    self->multi = curl_multi_init();
    bool ok = self->multi != NULL;
    for (size_t i = 0; i < PS_SEND_WINDOW; i++)
        ok = (self->slots[i].curl = curl_easy_init()) != NULL && ok;
    if (ok && settings->follow) {
        const struct ps_follow_settings follow = {.batch = settings->options->batch,
                                                  .after = settings->after,
                                                  .event = settings->hooks.event,
                                                  .arg = settings->hooks.arg};

        ok = ps_follow_new(&self->follow, api, self->multi, &follow) == 0;
    }
    if (!ok)
        return ps_error_set(reterr, PS_ERR_NOMEM, "libcurl did not start");
    *ret_self = PS_TAKE(self);
    return 0;
}

static void end_transfer(struct ps_send *self, struct slot *slot)
{
    if (slot->active)
        (void)curl_multi_remove_handle(self->multi, slot->curl); /* can't fail for one that is in it */
    slot->active = false;
    curl_slist_free_all(slot->list);
    slot->list = NULL;
    ps_api_reply_fini(&slot->reply);
}

void ps_send_free(struct ps_send **self_p)
{
    struct ps_send *self = *self_p;

    if (!self)
        return;
    for (size_t i = 0; i < PS_SEND_WINDOW; i++) {
        end_transfer(self, &self->slots[i]);
        ps_pack_free(&self->slots[i].pack);
        curl_easy_cleanup(self->slots[i].curl);
    }
    ps_follow_free(&self->follow);
    if (self->multi)
        (void)curl_multi_cleanup(self->multi); /* empty by now: can't fail */
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

size_t ps_send_waiting_files(const struct ps_send *self)
{
    size_t n = 0;

    for (size_t i = 0; i < PS_SEND_WINDOW; i++)
        n += self->slots[i].pack ? self->slots[i].pack->n : 0;
    return n;
}

bool ps_send_wants(const struct ps_send *self)
{
    return !self->gave_up && ps_send_waiting(self) < self->window;
}

const char *ps_send_note(const struct ps_send *self)
{
    return *self->note ? self->note : NULL;
}

bool ps_send_gave_up(const struct ps_send *self)
{
    return self->gave_up;
}

uint64_t ps_send_heard_ms(const struct ps_send *self)
{
    return self->follow ? PS_MAX(self->acked_ms, ps_follow_event_ms(self->follow)) : self->acked_ms;
}

/* ---- endings ---- */

static void settle(struct ps_send *self, struct slot *slot)
{
    self->settings.hooks.settled(self->settings.hooks.arg, slot->pack);
    ps_pack_free(&slot->pack);
}

static void tell_file(struct ps_send *self, struct slot *slot, size_t i, const json_t *line, const char *why)
{
    self->settings.hooks.file(self->settings.hooks.arg, slot->pack, &slot->pack->files[i], line, why);
}

static void refuse(struct ps_send *self, struct slot *slot, const char *why)
{
    for (size_t i = 0; i < slot->pack->n; i++)
        tell_file(self, slot, i, NULL, why);
    settle(self, slot);
}

static void try_again(struct ps_send *self, struct slot *slot, uint64_t now_ms, const char *why)
{
    uint64_t asked_ms = slot->reply.retry_after_s > 0 ? (uint64_t)slot->reply.retry_after_s * 1000 : 0;

    slot->retry_ms = now_ms + PS_MAX(slot->backoff_ms, PS_MIN(asked_ms, (uint64_t)PS_SEND_RETRY_AFTER_MAX));
    slot->backoff_ms = PS_MIN(2 * slot->backoff_ms, (uint64_t)PS_SEND_BACKOFF_MAX);
    (void)snprintf(self->note, sizeof(self->note), "waiting: %s", why);
}

static void took(struct ps_send *self, struct slot *slot, uint64_t now_ms)
{
    self->acked_ms = now_ms;
    self->note[0] = '\0';
    self->window = PS_MIN(self->window + 1, (unsigned)PS_SEND_WINDOW);
    slot->backoff_ms = PS_SEND_BACKOFF_MS;
    slot->retry_ms = 0;
}

/* ---- requests ---- */

static int start(struct ps_send *self, struct slot *slot)
{
    const struct ps_pack *pack = slot->pack;
    struct ps_bytes body = {pack->body.data, pack->body.len};
    const char *method = slot->step == STEP_CHUNK ? "PATCH" : "POST";

    slot->headers[0] = slot->header_text;
    slot->headers[1] = slot->step == STEP_ANNOUNCE ? NULL : "Content-Type: application/octet-stream";
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
    slot->active = curl_multi_add_handle(self->multi, slot->curl) == CURLM_OK;
    return slot->active ? 0 : PS_ERR_NOMEM;
}

/* Reads the chunk to send next; a file that can't be read any more is refused here. */
static void load_chunk(struct ps_send *self, struct slot *slot)
{
    struct ps_error why = {0};

    slot->step = STEP_CHUNK;
    if (ps_pack_read_chunk(slot->pack, (size_t)self->chunk_bytes, &why) != 0)
        refuse(self, slot, why.text);
}

static void announce(struct ps_send *self, struct slot *slot)
{
    slot->step = STEP_ANNOUNCE;
    slot->pack->offset = 0;
    if (ps_pack_announce(slot->pack, self->settings.options) != 0)
        refuse(self, slot, "out of memory");
}

void ps_send_give(struct ps_send *self, struct ps_pack *pack)
{
    struct slot *slot = self->slots;

    while (slot < self->slots + PS_SEND_WINDOW && slot->pack)
        slot++;
    if (slot == self->slots + PS_SEND_WINDOW) {
        ps_pack_free(&pack); /* callers ask ps_send_wants first */
        return;
    }
    slot->pack = pack;
    slot->step = STEP_BATCH;
    slot->retry_ms = 0;
    slot->backoff_ms = PS_SEND_BACKOFF_MS;
    slot->renewals = 0;
    if (ps_send_waiting(self) == 1)
        self->acked_ms = ps_clock_mono_ms(); /* patience is counted while something waits */
    if (pack->large && pack->upload)
        load_chunk(self, slot); /* of an earlier run: the server says where it is */
    else if (pack->large)
        announce(self, slot);
}

/* ---- answers ---- */

static const char *problem_text(const json_t *line)
{
    const char *detail = json_string_value(json_object_get(json_object_get(line, "problem"), "detail"));

    return detail ? detail : "the server's answer can't be read";
}

/* The answer to a batch: NDJSON, a line a file in order; the last may say where the body turned bad. */
static void read_batch_answer(struct ps_send *self, struct slot *slot)
{
    const char *at = (const char *)slot->reply.body.data, *end = at + slot->reply.body.len;
    size_t told = 0;

    while (at && at < end && told < slot->pack->n) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line = json_loadb(at, (size_t)((stop ? stop : end) - at), 0, NULL);
        bool good = json_object_get(line, "sha256") != NULL;

        if (json_is_null(json_object_get(line, "n")))
            while (told < slot->pack->n) /* from here on the server could not read it */
                tell_file(self, slot, told++, NULL, problem_text(line));
        else
            tell_file(self, slot, told++, good ? line : NULL, good ? NULL : problem_text(line));
        json_decref(line);
        at = stop ? stop + 1 : end;
    }
    while (told < slot->pack->n)
        tell_file(self, slot, told++, NULL, "the server's answer ended before this file");
    settle(self, slot);
}

static void read_announce_answer(struct ps_send *self, struct slot *slot, const json_t *json)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    json_int_t chunk = json_integer_value(json_object_get(json, "chunk_bytes"));

    free(slot->pack->upload);
    slot->pack->upload = id && strlen(id) <= PS_SEEN_UPLOAD_MAX ? ps_strf("%s", id) : NULL;
    if (!slot->pack->upload) {
        refuse(self, slot, "the server's answer to POST /uploads has no id");
        return;
    }
    if (chunk > 0)
        self->chunk_bytes = (uint64_t)PS_MIN(chunk, (json_int_t)PS_PACK_BYTES);
    self->settings.hooks.opened(self->settings.hooks.arg, slot->pack);
    load_chunk(self, slot);
}

static void read_upload_answer(struct ps_send *self, struct slot *slot)
{
    json_t *json = json_loadb((const char *)slot->reply.body.data, slot->reply.body.len, 0, NULL);
    const json_t *offset = json_object_get(json, "offset");

    if (slot->step == STEP_ANNOUNCE) {
        read_announce_answer(self, slot, json);
    } else if (json_object_get(json, "sha256")) {
        tell_file(self, slot, 0, json, NULL);
        settle(self, slot);
    } else if (json_integer_value(offset) <= (json_int_t)slot->pack->offset) {
        refuse(self, slot, "the server took a part of it and does not say so");
    } else {
        slot->pack->offset = (uint64_t)json_integer_value(offset);
        load_chunk(self, slot);
    }
    json_decref(json);
}

/* A chunk that is not the one expected: go on where the server is. An upload it no longer knows begins anew. False
 * when that does not help. */
static bool recover_upload(struct ps_send *self, struct slot *slot, uint64_t now_ms)
{
    long status = slot->reply.status;

    if (slot->step != STEP_CHUNK || (status != 404 && status != 409) || slot->renewals++ >= PS_SEND_RENEWALS)
        return false;
    json_t *json = json_loadb((const char *)slot->reply.body.data, slot->reply.body.len, 0, NULL);
    const json_t *offset = json_object_get(json, "offset");
    bool helps = status == 404 || (json_is_integer(offset) && json_integer_value(offset) >= 0 &&
                                   (uint64_t)json_integer_value(offset) != slot->pack->offset);

    if (helps && status == 404) {
        announce(self, slot);
    } else if (helps) {
        slot->pack->offset = (uint64_t)json_integer_value(offset);
        load_chunk(self, slot);
    }
    if (helps && slot->pack)
        try_again(self, slot, now_ms, "an upload goes on where the server is");
    json_decref(json);
    return helps;
}

static bool waiting_helps(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504 || status == 507;
}

static void read_failure(struct ps_send *self, struct slot *slot, uint64_t now_ms)
{
    const struct ps_send_hooks *hooks = &self->settings.hooks;
    long status = slot->reply.status;
    struct ps_error why = {0};

    (void)ps_api_problem(&slot->reply, &why);
    if (status == 429 || status == 503)
        self->window = PS_MAX(self->window / 2, 1u);
    if (waiting_helps(status))
        try_again(self, slot, now_ms, why.text);
    else if (status == 409 && slot->step == STEP_BATCH && hooks->conflict(hooks->arg, slot->pack))
        settle(self, slot);
    else
        refuse(self, slot, why.text);
}

static void finish_slot(struct ps_send *self, struct slot *slot, CURLcode code, uint64_t now_ms)
{
    struct ps_error why = {0};

    (void)curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &slot->reply.status);
    if (code != CURLE_OK) {
        (void)ps_api_no_answer(self->api, (int)code, &why);
        slot->reply.retry_after_s = 0;
        try_again(self, slot, now_ms, why.text);
    } else if (slot->reply.status == 200 || slot->reply.status == 201) {
        took(self, slot, now_ms);
        if (slot->step == STEP_BATCH)
            read_batch_answer(self, slot);
        else
            read_upload_answer(self, slot);
    } else if (!recover_upload(self, slot, now_ms)) {
        read_failure(self, slot, now_ms);
    }
    end_transfer(self, slot);
}

/* ---- the turn ---- */

static bool out_of_patience(const struct ps_send *self, uint64_t last_ms, uint64_t now_ms)
{
    return now_ms - PS_MIN(last_ms, now_ms) >= self->settings.give_up_ms;
}

static unsigned active_n(const struct ps_send *self)
{
    unsigned n = 0;

    for (size_t i = 0; i < PS_SEND_WINDOW; i++)
        n += self->slots[i].active;
    return n;
}

static void start_due(struct ps_send *self, uint64_t now_ms)
{
    unsigned active = active_n(self);

    for (size_t i = 0; i < PS_SEND_WINDOW && active < self->window; i++) {
        struct slot *slot = &self->slots[i];

        if (!slot->pack || slot->active || now_ms < slot->retry_ms ||
            out_of_patience(self, self->acked_ms, now_ms))
            continue;
        if (start(self, slot) == 0) {
            active++;
        } else {
            end_transfer(self, slot);
            try_again(self, slot, now_ms, "out of memory");
        }
    }
    if (self->follow)
        ps_follow_start(self->follow, now_ms);
}

/* A request that is under way is let end: on a slow line it may take longer than our patience. */
static void look_at_patience(struct ps_send *self, uint64_t now_ms)
{
    if (ps_send_waiting(self) > 0) {
        self->gave_up = active_n(self) == 0 && out_of_patience(self, self->acked_ms, now_ms);
        return;
    }
    const char *problem = self->follow ? ps_follow_problem(self->follow) : NULL;
    (void)snprintf(self->note, sizeof(self->note), problem ? "waiting: %s" : "%s", problem ? problem : "");
    if (problem)
        self->gave_up =
            out_of_patience(self, PS_MAX(self->acked_ms, ps_follow_answer_ms(self->follow)), now_ms);
}

void ps_send_turn(struct ps_send *self, int wait_ms)
{
    int running = 0, left = 0;
    CURLMsg *done;

    if (self->gave_up)
        return;
    start_due(self, ps_clock_mono_ms());
    /* What goes wrong with one transfer comes as its message; the handle itself can only run out of memory. */
    (void)curl_multi_perform(self->multi, &running);
    if (wait_ms > 0)
        (void)curl_multi_poll(self->multi, NULL, 0, wait_ms, NULL);
    (void)curl_multi_perform(self->multi, &running);
    uint64_t now_ms = ps_clock_mono_ms();
    while ((done = curl_multi_info_read(self->multi, &left)) != NULL) {
        struct slot *slot = NULL;
        CURLcode code = done->data.result; /* done is gone with its handle */

        (void)curl_easy_getinfo(done->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        if (slot)
            finish_slot(self, slot, code, now_ms);
        else
            ps_follow_finish(self->follow, (int)code, now_ms);
    }
    look_at_patience(self, now_ms);
}
