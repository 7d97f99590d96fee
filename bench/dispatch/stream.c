#include "bench/dispatch/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/dispatch/options.h"

#define READ_BYTES  (256 * 1024)
#define BUFFER_MAX  ((size_t)1024 * 1024 * 1024)
#define STREAMS_MAX 4

void bench_stream_open(struct bench_stream *self, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;

    *self = (struct bench_stream){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ps_buf_init(&self->in, BUFFER_MAX);
    ps_buf_init(&self->out, BUFFER_MAX);
    if (self->fd < 0 || connect(self->fd, (struct sockaddr *)&address, sizeof(address)) ||
        setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
        fcntl(self->fd, F_SETFL, O_NONBLOCK))
        bench_die("port %u: %s", port, strerror(errno));
}

void bench_stream_close(struct bench_stream *self)
{
    ps_close_fd_p(&self->fd);
    ps_buf_fini(&self->in);
    ps_buf_fini(&self->out);
}

/* Reads what is there, once. */
static void read_some(struct bench_stream *self)
{
    uint8_t *at;
    ssize_t n;

    if (self->taken == self->in.len || self->taken > READ_BYTES) {
        ps_buf_shift(&self->in, self->taken);
        self->taken = 0;
    }
    at = ps_buf_reserve(&self->in, READ_BYTES);
    n = at ? read(self->fd, at, READ_BYTES) : -1;
    if (!at || n == 0)
        bench_die("the server is gone, or memory is");
    if (n > 0)
        self->in.len += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        bench_die("read: %s", strerror(errno));
}

void bench_stream_flush(struct bench_stream *self)
{
    size_t sent = 0;

    if (ps_buf_error(&self->out))
        bench_die("too much to send");
    while (sent < self->out.len) {
        ssize_t n = write(self->fd, self->out.data + sent, self->out.len - sent);
        struct pollfd fd = {.fd = self->fd, .events = POLLIN | POLLOUT};

        if (n > 0) {
            sent += (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            bench_die("write: %s", strerror(errno));
        } else {
            (void)poll(&fd, 1, -1); /* whatever it says, we try */
            if (fd.revents & POLLIN)
                read_some(self);
        }
    }
    ps_buf_clear(&self->out);
}

bool bench_streams_wait(struct bench_stream *const *streams, size_t n, int timeout_ms)
{
    struct pollfd fds[STREAMS_MAX];
    int r;

    for (size_t i = 0; i < n && i < STREAMS_MAX; i++)
        fds[i] = (struct pollfd){.fd = streams[i]->fd, .events = POLLIN};
    r = poll(fds, n, timeout_ms);
    if (r < 0 && errno != EINTR)
        bench_die("poll: %s", strerror(errno));
    for (size_t i = 0; r > 0 && i < n && i < STREAMS_MAX; i++)
        if (fds[i].revents)
            read_some(streams[i]);
    return r != 0;
}

struct ps_bytes bench_stream_there(const struct bench_stream *self)
{
    return (struct ps_bytes){self->in.data + self->taken, self->in.len - self->taken};
}

/* Finds a line without taking it. */
static bool peek_line(const struct bench_stream *self, struct ps_bytes *ret_line)
{
    struct ps_bytes there = bench_stream_there(self);
    const uint8_t *end = there.len ? memchr(there.at, '\n', there.len) : NULL;

    if (!end)
        return false;
    *ret_line = (struct ps_bytes){there.at, (size_t)(end - there.at)};
    if (ret_line->len && ret_line->at[ret_line->len - 1] == '\r')
        ret_line->len--;
    else
        bench_die("a line without CR");
    return true;
}

bool bench_stream_line(struct bench_stream *self, struct ps_bytes *ret_line)
{
    if (!peek_line(self, ret_line))
        return false;
    self->taken += ret_line->len + 2;
    return true;
}

bool bench_stream_block(struct bench_stream *self, size_t (*need)(struct ps_bytes line),
                        struct ps_bytes *ret_line, struct ps_bytes *ret_bytes)
{
    size_t there = self->in.len - self->taken, len;

    if (!peek_line(self, ret_line))
        return false;
    len = need(*ret_line);
    if (len == SIZE_MAX) {
        *ret_bytes = (struct ps_bytes){NULL, 0};
        return bench_stream_line(self, ret_line);
    }
    if (there < ret_line->len + 2 + len + 2)
        return false;
    *ret_bytes = (struct ps_bytes){ret_line->at + ret_line->len + 2, len};
    self->taken += ret_line->len + 2 + len + 2;
    return true;
}

size_t bench_last_number(struct ps_bytes line)
{
    size_t number = 0, factor = 1;

    for (size_t i = line.len; i > 1 && line.at[i - 1] >= '0' && line.at[i - 1] <= '9'; i--, factor *= 10)
        number += factor * (size_t)(line.at[i - 1] - '0');
    return number;
}
