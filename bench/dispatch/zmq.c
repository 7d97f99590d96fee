/* dispatch_zmq proxy|client|fill|worker: the ceiling: zmq_proxy between a ROUTER and a DEALER, DEALERs on both sides.
 *
 * One job a message; with --batch up to so many that may leave now in one message, and their answers too: what
 * coalescing alone would give. Nothing is checked on the way, nothing is kept: no lease, no deadline, no priority. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "base/mem.h"
#include "bench/dispatch/options.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/tally.h"

#define SILENCE_MAX_MS 60000
#define SOCKETS_MAX    16384
#define EVENTS_N       64

static void *make_socket(void *context, int type, const char *endpoint, bool bind)
{
    void *socket = zmq_socket(context, type);
    const int unlimited = 0, linger_ms = 0;

    if (!socket || !endpoint || zmq_setsockopt(socket, ZMQ_SNDHWM, &unlimited, sizeof(unlimited)) ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms)) ||
        (bind ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint)))
        bench_die("%s: %s", endpoint ? endpoint : "no endpoint", zmq_strerror(errno));
    return socket;
}

static void proxy(const struct bench_options *options, void *context)
{
    void *front = make_socket(context, ZMQ_ROUTER, options->endpoint, true);
    void *back = make_socket(context, ZMQ_DEALER, options->back, true);

    bench_ready();
    (void)zmq_proxy(front, back, NULL); /* ends by a signal */
}

/* ---- worker ---- */

/* False when there is none now (flags: ZMQ_DONTWAIT). */
static bool take(zmq_msg_t *part, void *socket, int flags)
{
    (void)zmq_msg_init(part); /* always 0 */
    while (zmq_msg_recv(part, socket, flags) < 0) {
        if (errno == EAGAIN)
            return false;
        if (errno != EINTR)
            bench_die("receive: %s", zmq_strerror(errno));
    }
    return true;
}

static void give(zmq_msg_t *part, void *socket, int flags)
{
    while (zmq_msg_send(part, socket, flags) < 0)
        if (errno != EINTR)
            bench_die("send: %s", zmq_strerror(errno));
}

static void answer(zmq_msg_t *jobs, zmq_msg_t *ret_answers)
{
    size_t size = payload_size(), n = zmq_msg_size(jobs) / size;
    const uint8_t *from = zmq_msg_data(jobs);
    uint8_t *to;

    if (n * size != zmq_msg_size(jobs) || zmq_msg_init_size(ret_answers, n * ANSWER_BYTES))
        bench_die("a message of %zu bytes", zmq_msg_size(jobs));
    to = zmq_msg_data(ret_answers);
    for (size_t i = 0; i < n; i++, from += size, to += ANSWER_BYTES)
        answer_write(to, payload_job(from), payload_sum(from, size));
}

/* Answers the next message; false when there is none now (flags: ZMQ_DONTWAIT). */
static bool serve(void *socket, int flags)
{
    zmq_msg_t address, jobs, answers;

    if (!take(&address, socket, flags))
        return false;
    (void)take(&jobs, socket, 0); /* all parts of a message come together */
    answer(&jobs, &answers);
    give(&address, socket, ZMQ_SNDMORE);
    give(&answers, socket, 0);
    (void)zmq_msg_close(&jobs); /* fails for messages never initialised only */
    return true;
}

/* A descriptor of libzmq's tells of changes only: whoever is told goes on until there is nothing more. */
static void serve_many(void **sockets, size_t n)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_N];

    for (size_t i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = sockets[i]};
        size_t len = sizeof(int);
        int fd = -1;

        if (zmq_getsockopt(sockets[i], ZMQ_FD, &fd, &len) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
            bench_die("no descriptor: %s", strerror(errno));
        while (serve(sockets[i], ZMQ_DONTWAIT))
            ;
    }
    bench_ready();
    for (;;) {
        int told = epoll_wait(epoll_fd, events, EVENTS_N, -1);

        for (int i = 0; i < told; i++)
            while (serve(events[i].data.ptr, ZMQ_DONTWAIT))
                ;
    }
}

/* One thread, with as many sockets as there are to be workers. */
static void worker(const struct bench_options *options, void *context)
{
    void **sockets = ps_alloc((size_t)options->sessions, sizeof(*sockets));

    if (!sockets)
        bench_die("out of memory");
    for (size_t i = 0; i < options->sessions; i++)
        sockets[i] = make_socket(context, ZMQ_DEALER, options->endpoint, false);
    if (options->sessions > 1)
        serve_many(sockets, (size_t)options->sessions);
    bench_ready();
    while (serve(sockets[0], 0))
        ;
}

/* ---- client ---- */

static void feed(struct bench_tally *tally, void *socket)
{
    size_t n;

    while ((n = (size_t)PS_MIN(bench_tally_room(tally), tally->options->batch))) {
        zmq_msg_t jobs;

        if (zmq_msg_init_size(&jobs, n * payload_size()))
            bench_die("out of memory");
        for (size_t i = 0; i < n; i++)
            payload_write((uint8_t *)zmq_msg_data(&jobs) + i * payload_size(), bench_tally_send(tally));
        give(&jobs, socket, 0);
    }
}

/* False when there was none. */
static bool hear(struct bench_tally *tally, void *socket)
{
    const uint8_t *at;
    zmq_msg_t answers;
    size_t n;

    (void)zmq_msg_init(&answers); /* always 0 */
    if (zmq_msg_recv(&answers, socket, ZMQ_DONTWAIT) < 0)
        return false;
    at = zmq_msg_data(&answers);
    n = zmq_msg_size(&answers) / ANSWER_BYTES;
    if (!n || n * ANSWER_BYTES != zmq_msg_size(&answers))
        bench_die("an answer of %zu bytes", zmq_msg_size(&answers));
    for (size_t i = 0; i < n; i++)
        bench_tally_check(tally, at + i * ANSWER_BYTES, ANSWER_BYTES);
    (void)zmq_msg_close(&answers);
    return true;
}

static void client(const struct bench_options *options, void *context)
{
    void *socket = make_socket(context, ZMQ_DEALER, options->endpoint, false);
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    struct bench_tally tally;

    bench_tally_init(&tally, options);
    while (!bench_tally_over(&tally)) {
        feed(&tally, socket);
        if (zmq_poll(&item, 1, SILENCE_MAX_MS) == 0)
            bench_die("nothing came for %d s", SILENCE_MAX_MS / 1000);
        while (hear(&tally, socket))
            ;
    }
    bench_tally_print(&tally);
    bench_tally_fini(&tally);
    (void)zmq_close(socket);
}

/* Sends all jobs, for nobody; whoever started us sees them arrive, and ends standard input. */
static void fill(const struct bench_options *options, void *context)
{
    void *socket = make_socket(context, ZMQ_DEALER, options->endpoint, false);
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    struct bench_tally tally;

    bench_tally_init(&tally, options);
    feed(&tally, socket);
    bench_ready();
    (void)poll(&in, 1, -1); /* whatever it says, it is over */
    bench_tally_fini(&tally);
    (void)zmq_close(socket);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    void *context = zmq_ctx_new();

    bench_options_read(&options, argc, argv);
    if (!context || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX))
        bench_die("no libzmq context");
    if (bench_is(&options, "proxy"))
        proxy(&options, context);
    else if (bench_is(&options, "client"))
        client(&options, context);
    else if (bench_is(&options, "fill"))
        fill(&options, context);
    else if (bench_is(&options, "worker"))
        worker(&options, context);
    else
        bench_die("proxy, client, fill or worker");
    (void)zmq_ctx_term(context);
    bench_options_fini(&options);
    return 0;
}
