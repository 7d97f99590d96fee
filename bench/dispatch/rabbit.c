/* dispatch_rabbit client|worker: RPC over RabbitMQ with librabbitmq. --mode holds any of the words
 *   persistent  a durable queue, jobs of delivery mode 2
 *   confirm     the client waits for the server's word on every job it publishes
 * Workers acknowledge a job after its answer is published, and are given --window jobs ahead (prefetch). */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <string.h>

#include "base/mem.h"
#include "bench/dispatch/options.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/tally.h"

#define CHANNEL       1
#define FRAME_MAX     131072
#define SILENCE_MAX_S 60
#define TRANSIENT     1
#define PERSISTENT    2

struct rabbit {
    const struct bench_options *options;
    amqp_connection_state_t connection;
    bool persistent, confirm;
    amqp_bytes_t queue;                /* jobs */
    uint64_t published_n, confirmed_n; /* client, with confirm */
    bool *confirmed;                   /* owned: by delivery tag, which counts from 1 */
    uint64_t confirmed_first;          /* all below are */
    struct bench_tally *tally;         /* client */
    amqp_bytes_t answers;              /* client: its queue; owned */
};

/* ---- connection ---- */

static void check_status(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        bench_die("%s: %s", what, amqp_error_string2(status));
}

static void check_reply(const struct rabbit *self, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(self->connection);

    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        bench_die("%s: %s", what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("%s: the server refused it", what);
}

static void declare_jobs(struct rabbit *self)
{
    self->queue = amqp_cstring_bytes(self->persistent ? "jobs.persistent" : "jobs.transient");
    (void)amqp_queue_declare(self->connection, CHANNEL, self->queue, 0, self->persistent, 0, 0,
                             amqp_empty_table);
    check_reply(self, "declare");
}

static void open_rabbit(struct rabbit *self, const struct bench_options *options)
{
    amqp_socket_t *socket;
    amqp_rpc_reply_t reply;

    if (payload_size() > FRAME_MAX)
        bench_die("--size is at most %d here", FRAME_MAX);
    *self = (struct rabbit){.options = options, .connection = amqp_new_connection()};
    self->persistent = strstr(options->mode, "persistent") != NULL;
    self->confirm = strstr(options->mode, "confirm") != NULL;
    socket = self->connection ? amqp_tcp_socket_new(self->connection) : NULL;
    if (!socket)
        bench_die("out of memory");
    check_status(amqp_socket_open(socket, "127.0.0.1", (int)options->port), "connect");
    reply = amqp_login(self->connection, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("login failed");
    (void)amqp_channel_open(self->connection, CHANNEL);
    check_reply(self, "channel");
    declare_jobs(self);
}

static void consume(struct rabbit *self, amqp_bytes_t queue, bool no_ack)
{
    (void)amqp_basic_consume(self->connection, CHANNEL, queue, amqp_empty_bytes, 0, no_ack, 0,
                             amqp_empty_table);
    check_reply(self, "consume");
}

/* ---- worker ---- */

static void answer(struct rabbit *self, const amqp_envelope_t *job)
{
    const amqp_basic_properties_t *from = &job->message.properties;
    amqp_basic_properties_t properties = {._flags =
                                              AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
                                          .delivery_mode = TRANSIENT,
                                          .correlation_id = from->correlation_id};
    uint8_t bytes[ANSWER_BYTES];
    const uint8_t *body = job->message.body.bytes;

    if (job->message.body.len != payload_size() || !(from->_flags & AMQP_BASIC_REPLY_TO_FLAG))
        bench_die("a job of %zu bytes", job->message.body.len);
    answer_write(bytes, payload_job(body), payload_sum(body, payload_size()));
    check_status(amqp_basic_publish(self->connection, CHANNEL, amqp_empty_bytes, from->reply_to, 0, 0,
                                    &properties, (amqp_bytes_t){sizeof(bytes), bytes}),
                 "publish");
    check_status(amqp_basic_ack(self->connection, CHANNEL, job->delivery_tag, 0), "ack");
}

static void worker(struct rabbit *self)
{
    (void)amqp_basic_qos(self->connection, CHANNEL, 0,
                         (uint16_t)PS_MIN(self->options->window, (uint64_t)UINT16_MAX), 0);
    check_reply(self, "qos");
    consume(self, self->queue, false);
    bench_ready();
    for (;;) {
        amqp_envelope_t envelope;

        amqp_maybe_release_buffers(self->connection);
        if (amqp_consume_message(self->connection, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
            bench_die("the server is gone");
        answer(self, &envelope);
        amqp_destroy_envelope(&envelope);
    }
}

/* ---- client ---- */

static void publish(struct rabbit *self)
{
    uint64_t job = bench_tally_send(self->tally);
    static uint8_t body[FRAME_MAX];
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG,
        .delivery_mode = self->persistent ? PERSISTENT : TRANSIENT,
        .correlation_id = {sizeof(job), &job},
        .reply_to = self->answers};

    payload_write(body, job);
    check_status(amqp_basic_publish(self->connection, CHANNEL, amqp_empty_bytes, self->queue, 0, 0,
                                    &properties, (amqp_bytes_t){payload_size(), body}),
                 "publish");
    self->published_n++;
}

static void feed(struct rabbit *self)
{
    while (bench_tally_room(self->tally) &&
           (!self->confirm || self->published_n - self->confirmed_n < self->options->window))
        publish(self);
}

static void on_delivery(struct rabbit *self)
{
    amqp_message_t message;
    uint64_t job = 0;

    if (amqp_read_message(self->connection, CHANNEL, &message, 0).reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("an answer that is cut");
    if (message.properties.correlation_id.len != sizeof(job))
        bench_die("an answer without its job's number");
    memcpy(&job, message.properties.correlation_id.bytes, sizeof(job));
    if (message.body.len != ANSWER_BYTES || payload_job(message.body.bytes) != job)
        bench_die("an answer to another job");
    bench_tally_check(self->tally, message.body.bytes, message.body.len);
    amqp_destroy_message(&message);
}

/* Tags that come alone may come before lower ones that come in numbers. */
static void on_confirm(struct rabbit *self, const amqp_basic_ack_t *ack)
{
    uint64_t tag = ack->multiple ? self->confirmed_first : ack->delivery_tag;

    if (ack->delivery_tag > self->published_n)
        bench_die("a job is confirmed that was not published");
    for (; tag <= ack->delivery_tag; tag++) {
        self->confirmed_n += !self->confirmed[tag];
        self->confirmed[tag] = true;
    }
    while (self->confirmed_first <= self->published_n && self->confirmed[self->confirmed_first])
        self->confirmed_first++;
}

/* One frame; false when there was none in time. */
static bool hear(struct rabbit *self, int seconds)
{
    struct timeval patience = {.tv_sec = seconds};
    amqp_frame_t frame;
    int status;

    amqp_maybe_release_buffers(self->connection);
    status = amqp_simple_wait_frame_noblock(self->connection, &frame, &patience);
    if (status == AMQP_STATUS_TIMEOUT)
        return false;
    check_status(status, "wait");
    if (frame.frame_type != AMQP_FRAME_METHOD)
        bench_die("a frame of type %u", frame.frame_type);
    if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
        on_delivery(self);
    } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
        on_confirm(self, frame.payload.method.decoded);
    } else {
        bench_die("the server said %s", amqp_method_name(frame.payload.method.id));
    }
    return true;
}

static void client(struct rabbit *self)
{
    struct bench_tally tally;
    amqp_queue_declare_ok_t *declared;

    bench_tally_init(&tally, self->options);
    self->tally = &tally;
    (void)amqp_queue_purge(self->connection, CHANNEL, self->queue);
    check_reply(self, "purge");
    declared = amqp_queue_declare(self->connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    check_reply(self, "declare");
    self->answers = amqp_bytes_malloc_dup(declared->queue);
    self->confirmed_first = 1;
    self->confirmed = ps_alloc((size_t)self->options->jobs + 2, sizeof(*self->confirmed));
    if (!self->confirmed)
        bench_die("out of memory");
    if (self->confirm) {
        (void)amqp_confirm_select(self->connection, CHANNEL);
        check_reply(self, "confirm.select");
    }
    consume(self, self->answers, true);
    while (!bench_tally_over(&tally) || (self->confirm && self->confirmed_n < self->published_n)) {
        feed(self);
        if (!hear(self, SILENCE_MAX_S))
            bench_die("nothing came for %d s", SILENCE_MAX_S);
        while (hear(self, 0))
            ;
    }
    bench_tally_print(&tally);
    bench_tally_fini(&tally);
    self->tally = NULL;
    amqp_bytes_free(self->answers);
    free(self->confirmed);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct rabbit rabbit;

    bench_options_read(&options, argc, argv);
    open_rabbit(&rabbit, &options);
    if (bench_is(&options, "worker"))
        worker(&rabbit);
    else if (bench_is(&options, "client"))
        client(&rabbit);
    else
        bench_die("client or worker");
    (void)amqp_connection_close(rabbit.connection, AMQP_REPLY_SUCCESS); /* we end either way */
    (void)amqp_destroy_connection(rabbit.connection);
    bench_options_fini(&options);
    return 0;
}
