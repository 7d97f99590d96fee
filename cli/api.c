#include "cli/api.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/layout.h"
#include "base/mem.h"
#include "cli/place.h"

struct ps_api {
    CURL *curl;
    char *base;   /* scheme and host, no slash at the end */
    char *socket; /* UNIX socket, or NULL */
};

void ps_api_free(struct ps_api **self_p)
{
    struct ps_api *self = *self_p;

    if (!self)
        return;
    if (self->curl)
        curl_easy_cleanup(self->curl);
    free(self->base);
    free(self->socket);
    free(self);
    *self_p = NULL;
}

static int find_server(struct ps_api *self, struct ps_error *reterr)
{
    struct ps_layout layout;
    const char *url = getenv("PHAGESCAN_URL");

    if (url && *url) {
        size_t len = strlen(url);

        if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
            return ps_error_set(reterr, PS_ERR_INVALID, "PHAGESCAN_URL is to begin with http:// or https://");
        while (url[len - 1] == '/')
            len--;
        self->base = ps_strndup(url, len);
        return self->base ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }

    int r = ps_place_find(&layout, reterr);
    if (r)
        return r;
    self->base = ps_strf("http://localhost");
    self->socket = ps_strf("%s", layout.api_sock);
    return self->base && self->socket ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

int ps_api_new(struct ps_api **ret_self, struct ps_error *reterr)
{
    PS_CLEANUP(ps_api_free) struct ps_api *self = PS_NEW(struct ps_api);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = find_server(self, reterr);
    if (r)
        return r;
    self->curl = curl_easy_init();
    if (!self->curl)
        return ps_error_set(reterr, PS_ERR_NOMEM, "libcurl did not start");
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_api_reply_fini(struct ps_api_reply *self)
{
    ps_buf_fini(&self->body);
}

static size_t take_body(char *data, size_t size, size_t n, void *to)
{
    struct ps_api_reply *reply = to;

    ps_buf_put(&reply->body, data, size * n);
    return ps_buf_error(&reply->body) ? 0 : size * n;
}

static size_t take_header(char *data, size_t size, size_t n, void *to)
{
    static const char retry[] = "retry-after:", seq[] = "phagescan-seq:";
    struct ps_api_reply *reply = to;

    if (size * n > sizeof(retry) && !strncasecmp(data, retry, sizeof(retry) - 1))
        reply->retry_after_s = strtol(data + sizeof(retry) - 1, NULL, 10);
    else if (size * n > sizeof(seq) && !strncasecmp(data, seq, sizeof(seq) - 1))
        reply->seq = strtoll(data + sizeof(seq) - 1, NULL, 10);
    return size * n;
}

/* NULL when out of memory. */
static struct curl_slist *header_list(const char *const *headers)
{
    /* Expect: 100-continue would cost a round trip on every batch. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (; list && headers && *headers; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);

        if (!longer)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

int ps_api_no_answer(const struct ps_api *self, int curl_code, struct ps_error *reterr)
{
    if (self->socket && curl_code == CURLE_COULDNT_CONNECT && access(self->socket, W_OK) < 0 &&
        errno == EACCES)
        return ps_error_set(reterr, PS_ERR_DENIED,
                            "%s is open to root and the group phagescan, and you are neither", self->socket);
    if (self->socket && (curl_code == CURLE_COULDNT_CONNECT || curl_code == CURLE_COULDNT_RESOLVE_HOST))
        return ps_error_set(
            reterr, PS_ERR_UNAVAILABLE,
            "nothing answers at %s: is it running? `phagescan up` starts it, `phagescan status` tells",
            self->socket);
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "no answer from %s: %s",
                        self->socket ? self->socket : self->base, curl_easy_strerror((CURLcode)curl_code));
}

void ps_api_reply_init(struct ps_api_reply *self)
{
    *self = (struct ps_api_reply){.seq = -1};
    ps_buf_init(&self->body, PS_API_REPLY_MAX);
}

int ps_api_setup(const struct ps_api *self, void *handle, const char *method, const char *path,
                 const char *const *headers, struct ps_bytes body, struct ps_api_reply *reply,
                 struct curl_slist **ret_list)
{
    PS_FREE char *url = ps_strf("%s%s", self->base, path);
    struct curl_slist *list = header_list(headers);
    CURL *curl = handle;

    if (!url || !list) {
        curl_slist_free_all(list);
        return PS_ERR_NOMEM;
    }
    curl_easy_reset(curl); /* keeps the connection */
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    if (self->socket)
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, self->socket);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L); /* a server that hangs is not waited for */
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, PS_API_SILENCE_S);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, reply);
    if (body.len || !strcmp(method, "POST") || !strcmp(method, "PATCH")) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.len ? (const char *)body.at : "");
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    *ret_list = list;
    return 0;
}

int ps_api_call(struct ps_api *self, const char *method, const char *path, const char *const *headers,
                struct ps_bytes body, struct ps_api_reply *ret_reply, struct ps_error *reterr)
{
    struct ps_api_reply reply;
    struct curl_slist *list = NULL;

    ps_api_reply_init(&reply);
    int r = ps_api_setup(self, self->curl, method, path, headers, body, &reply, &list);
    if (r)
        return ps_error_set(reterr, r, "out of memory");

    CURLcode code = curl_easy_perform(self->curl);
    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(list);

    if (code != CURLE_OK) {
        ps_api_reply_fini(&reply);
        return ps_api_no_answer(self, (int)code, reterr);
    }
    *ret_reply = reply;
    return 0;
}

static int code_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return PS_ERR_DENIED;
    case 404:
        return PS_ERR_NOTFOUND;
    case 409:
        return PS_ERR_CONFLICT;
    case 413:
        return PS_ERR_LIMIT;
    case 429:
        return PS_ERR_BUSY;
    case 503:
        return PS_ERR_UNAVAILABLE;
    case 507:
        return PS_ERR_NOSPACE;
    default:
        return status >= 400 && status < 500 ? PS_ERR_INVALID : PS_ERR_IO;
    }
}

int ps_api_problem(const struct ps_api_reply *reply, struct ps_error *reterr)
{
    json_t *json = json_loadb((const char *)reply->body.data, reply->body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    int code = code_of_status(reply->status);

    if (detail)
        (void)ps_error_set(reterr, code, "%s", detail);
    else
        (void)ps_error_set(reterr, code, "the server answered with status %ld", reply->status);
    json_decref(json);
    return code;
}

int ps_api_get_json(struct ps_api *self, const char *path, json_t **ret_json, struct ps_error *reterr)
{
    PS_CLEANUP(ps_api_reply_fini) struct ps_api_reply reply = {0};

    int r = ps_api_call(self, "GET", path, NULL, (struct ps_bytes){0}, &reply, reterr);
    if (r)
        return r;
    if (reply.status != 200)
        return ps_api_problem(&reply, reterr);

    json_error_t why;
    json_t *json = json_loadb((const char *)reply.body.data, reply.body.len, 0, &why);
    if (!json)
        return ps_error_set(reterr, PS_ERR_PROTO, "the server's answer to %s is not JSON: %s", path,
                            why.text);
    *ret_json = json;
    return 0;
}
