#include "cli/submit/follow.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct ps_follow {
    const struct ps_api *api;
    CURLM *multi;
    struct ps_follow_settings settings;
    CURL *curl;
    bool active; /* in the multi handle */
    char path[256];
    struct curl_slist *list;
    struct ps_api_reply reply;
    int64_t after;
    uint64_t retry_ms, backoff_ms;
    uint64_t event_ms, answer_ms;
    char problem[PS_ERROR_TEXT_MAX];
};

int ps_follow_new(struct ps_follow **ret_self, const struct ps_api *api, void *multi,
                  const struct ps_follow_settings *settings)
{
    struct ps_follow *self = PS_NEW(struct ps_follow);

    if (!self || !(self->curl = curl_easy_init())) {
        free(self);
        return PS_ERR_NOMEM;
    }
    self->api = api;
    self->multi = multi;
    self->settings = *settings;
    self->after = settings->after;
    self->backoff_ms = PS_FOLLOW_BACKOFF_MS;
    self->event_ms = self->answer_ms = ps_clock_mono_ms();
    *ret_self = self;
    return 0;
}

static void end_transfer(struct ps_follow *self)
{
    if (self->active)
        (void)curl_multi_remove_handle(self->multi, self->curl); /* can't fail for one that is in it */
    self->active = false;
    curl_slist_free_all(self->list);
    self->list = NULL;
    ps_api_reply_fini(&self->reply);
}

void ps_follow_free(struct ps_follow **self_p)
{
    struct ps_follow *self = *self_p;

    if (!self)
        return;
    end_transfer(self);
    curl_easy_cleanup(self->curl);
    free(self);
    *self_p = NULL;
}

void ps_follow_start(struct ps_follow *self, uint64_t now_ms)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};

    if (self->active || now_ms < self->retry_ms)
        return;
    (void)snprintf(self->path, sizeof(self->path), "/api/v1/events?batch=%s&after=%lld&wait_ms=%d",
                   self->settings.batch, (long long)self->after, PS_FOLLOW_WAIT_MS);
    ps_api_reply_init(&self->reply);
    self->retry_ms = now_ms + PS_FOLLOW_BACKOFF_MS; /* for the case that it can't be set up */
    if (ps_api_setup(self->api, self->curl, "GET", self->path, headers, (struct ps_bytes){0}, &self->reply,
                     &self->list) != 0)
        return;
    (void)curl_easy_setopt(self->curl, CURLOPT_PRIVATE, NULL);
    self->active = curl_multi_add_handle(self->multi, self->curl) == CURLM_OK;
}

static void fail(struct ps_follow *self, int curl_code, uint64_t now_ms)
{
    struct ps_error why = {0};

    if (curl_code != CURLE_OK)
        (void)ps_api_no_answer(self->api, curl_code, &why);
    else
        (void)ps_api_problem(&self->reply, &why);
    (void)snprintf(self->problem, sizeof(self->problem), "%s", why.text);
    self->retry_ms = now_ms + self->backoff_ms;
    self->backoff_ms = PS_MIN(2 * self->backoff_ms, (uint64_t)PS_FOLLOW_BACKOFF_MAX);
}

static void take_line(struct ps_follow *self, const char *at, size_t len, uint64_t now_ms)
{
    json_t *line = json_loadb(at, len, 0, NULL);
    json_int_t seq = json_integer_value(json_object_get(line, "seq"));

    if (seq > self->after) {
        self->after = seq;
        self->event_ms = now_ms;
        self->settings.event(self->settings.arg, line);
    }
    json_decref(line);
}

void ps_follow_finish(struct ps_follow *self, int curl_code, uint64_t now_ms)
{
    const char *at = (const char *)self->reply.body.data, *end = at + self->reply.body.len;
    int64_t before = self->after;

    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &self->reply.status);
    if (curl_code != CURLE_OK || self->reply.status != 200) {
        fail(self, curl_code, now_ms);
        end_transfer(self);
        return;
    }
    while (at && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        take_line(self, at, (size_t)((stop ? stop : end) - at), now_ms);
        at = stop ? stop + 1 : end;
    }
    self->after = PS_MAX(self->after, self->reply.seq);
    self->answer_ms = now_ms;
    /* A server that does not wait for events is not asked without pause. */
    self->retry_ms = self->after > before ? 0 : now_ms + PS_FOLLOW_BACKOFF_MS;
    self->backoff_ms = PS_FOLLOW_BACKOFF_MS;
    self->problem[0] = '\0';
    end_transfer(self);
}

uint64_t ps_follow_event_ms(const struct ps_follow *self)
{
    return self->event_ms;
}

uint64_t ps_follow_answer_ms(const struct ps_follow *self)
{
    return self->answer_ms;
}

const char *ps_follow_problem(const struct ps_follow *self)
{
    return *self->problem ? self->problem : NULL;
}
