/* tests/unit/cli_server.h: a small scripted HTTP server on a UNIX socket, in a thread: for tests of the command line.
 * A script sees one request after the other and says what to answer; every request is kept to be looked at. */
#ifndef PS_TESTS_CLI_SERVER_H
#define PS_TESTS_CLI_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"

#define SERVER_CONNECTIONS 16
#define SERVER_REQUESTS    256
#define SERVER_BODY        (20u << 20)

struct server_request {
    char method[8];
    char path[256];
    char key[128];    /* Idempotency-Key, "" without */
    long long offset; /* Upload-Offset, -1 without */
    size_t len;       /* of the body */
    uint32_t sum;     /* of the body's bytes: tells bodies apart */
    uint64_t at_ms;   /* when it was complete */
    const char *body; /* only while the script looks at it */
};

struct server_reply {
    int status;        /* 0: cut the connection without a word */
    bool hold;         /* answer nothing, keep the connection */
    char headers[256]; /* further lines, each with \r\n */
    char body[65536];
};

struct server;
typedef void server_script(struct server *self, const struct server_request *request,
                           struct server_reply *reply);

struct server_connection {
    int fd;
    struct ps_buf in;
};

struct server {
    char *dir;
    int listen_fd, wake[2];
    pthread_t thread;
    server_script *script;
    int step; /* the script's own */
    struct server_connection connections[SERVER_CONNECTIONS];
    struct server_request requests[SERVER_REQUESTS]; /* read after server_stop, or what requests_n covers */
    atomic_size_t requests_n;
    atomic_uint open_n, open_max; /* requests of packs that the script holds */
};

static void server_drop(struct server_connection *c)
{
    ps_close_fd_p(&c->fd);
    ps_buf_fini(&c->in);
}

static const char *server_header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    return at ? at + strlen(name) : NULL;
}

static void server_answer(struct server *self, struct server_connection *c,
                          const struct server_request *request)
{
    struct server_reply *reply = calloc(1, sizeof(*reply));
    struct ps_buf out;

    assert_non_null(reply);
    reply->status = 200;
    self->script(self, request, reply);
    if (reply->status == 0) {
        server_drop(c);
    } else if (!reply->hold) {
        ps_buf_init(&out, 1 << 20);
        ps_buf_putf(&out, "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\n%s\r\n%s", reply->status,
                    strlen(reply->body), reply->headers, reply->body);
        (void)send(c->fd, out.data, out.len, MSG_NOSIGNAL); /* a client that has gone is no failure here */
        ps_buf_fini(&out);
    }
    free(reply);
}

/* Takes one whole request out of the connection. False when there is none yet. */
static bool server_take(struct server *self, struct server_connection *c)
{
    const char *text = c->in.len ? ps_buf_text(&c->in) : "", *end = strstr(text, "\r\n\r\n"), *at;
    struct server_request request = {.offset = -1};
    size_t head = end ? (size_t)(end - text) + 4 : 0;

    if (!end)
        return false;
    PS_FREE char *headers = ps_strndup(text, head);
    request.len = (at = server_header(headers, "\r\nContent-Length: ")) ? (size_t)atoll(at) : 0;
    if (c->in.len < head + request.len)
        return false;
    (void)sscanf(headers, "%7s %255s", request.method, request.path);
    if ((at = server_header(headers, "\r\nIdempotency-Key: ")))
        (void)sscanf(at, "%127[^\r]", request.key);
    if ((at = server_header(headers, "\r\nUpload-Offset: ")))
        request.offset = atoll(at);
    for (size_t i = 0; i < request.len; i++)
        request.sum = request.sum * 31 + c->in.data[head + i];
    request.at_ms = ps_clock_mono_ms();
    request.body = (const char *)c->in.data + head;
    size_t n = self->requests_n;
    if (n < SERVER_REQUESTS) {
        self->requests[n] = request;
        self->requests[n].body = NULL;
        self->requests_n = n + 1;
    }
    server_answer(self, c, &request);
    if (c->fd >= 0)
        ps_buf_shift(&c->in, head + request.len);
    return c->fd >= 0;
}

static void server_read(struct server *self, struct server_connection *c)
{
    uint8_t *to = ps_buf_reserve(&c->in, 1 << 16);
    ssize_t got = to ? recv(c->fd, to, 1 << 16, 0) : -1;

    if (got <= 0) {
        server_drop(c);
        return;
    }
    c->in.len += (size_t)got;
    while (server_take(self, c))
        ;
}

static void server_accept(struct server *self)
{
    int fd = accept(self->listen_fd, NULL, NULL);

    for (size_t i = 0; fd >= 0 && i < SERVER_CONNECTIONS; i++)
        if (self->connections[i].fd < 0) {
            self->connections[i].fd = PS_TAKE_FD(fd);
            ps_buf_init(&self->connections[i].in, SERVER_BODY);
        }
    ps_close_fd_p(&fd);
}

static void *server_run(void *arg)
{
    struct server *self = arg;
    struct pollfd fds[2 + SERVER_CONNECTIONS];

    for (;;) {
        fds[0] = (struct pollfd){.fd = self->wake[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = self->listen_fd, .events = POLLIN};
        for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
            fds[2 + i] = (struct pollfd){.fd = self->connections[i].fd, .events = POLLIN};
        (void)poll(fds, PS_ARRAY_N(fds), -1);
        if (fds[0].revents)
            return NULL;
        for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
            if (fds[2 + i].revents && self->connections[i].fd == fds[2 + i].fd)
                server_read(self, &self->connections[i]);
        if (fds[1].revents)
            server_accept(self);
    }
}

/* Serves PHAGESCAN_STATE/run/api.sock of a fresh directory, which it sets in the environment. */
static struct server *server_start(server_script *script)
{
    struct server *self = calloc(1, sizeof(*self));
    char path[UNIT_PATH_MAX];

    assert_non_null(self);
    self->dir = unit_dir_make();
    self->script = script;
    assert_int_equal(ps_file_mkdirs(unit_path(path, self->dir, "run"), 0700), 0);
    assert_int_equal(ps_sock_listen_unix(unit_path(path, self->dir, "run/api.sock"), 0600, &self->listen_fd),
                     0);
    assert_int_equal(setenv("PHAGESCAN_STATE", self->dir, 1), 0);
    assert_int_equal(unsetenv("PHAGESCAN_URL"), 0);
    assert_int_equal(pipe(self->wake), 0);
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        self->connections[i].fd = -1;
    assert_int_equal(pthread_create(&self->thread, NULL, server_run, self), 0);
    return self;
}

/* The thread has ended: what it saw may be read. */
static void server_stop(struct server *self)
{
    assert_int_equal(write(self->wake[1], "x", 1), 1);
    assert_int_equal(pthread_join(self->thread, NULL), 0);
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        server_drop(&self->connections[i]);
    ps_close_fd_p(&self->listen_fd);
}

static void server_free(struct server *self)
{
    (void)close(self->wake[0]);
    (void)close(self->wake[1]);
    unit_dir_remove(self->dir);
    free(self);
}

/* Requests of a method and a begin of a path. */
static inline size_t server_count(const struct server *self, const char *method, const char *path)
{
    size_t n = 0;

    for (size_t i = 0; i < self->requests_n; i++)
        n +=
            !strcmp(self->requests[i].method, method) && !strncmp(self->requests[i].path, path, strlen(path));
    return n;
}

#endif
