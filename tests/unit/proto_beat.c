/* The heartbeat thread, and certificates. Here time is real, so beats are short. */
#include "tests/unit/proto_broker.h"

#include <czmq.h>

#include "base/clock.h"
#include "proto/peer/beat.h"
#include "proto/peer/peer.h"

#define PATIENCE_MS 10000

/* Waits for the next message at the broker. */
static void broker_wait(struct broker *self, struct ps_msg *ret_msg)
{
    uint64_t end = ps_clock_mono_ms() + PATIENCE_MS;

    while (!broker_next(self, ret_msg)) {
        assert_true(ps_clock_mono_ms() < end);
        assert_true(zmq_poll(&(zmq_pollitem_t){.socket = self->router, .events = ZMQ_POLLIN}, 1, 100) >= 0);
    }
}

static void beats_name_what_runs(void **state)
{
    struct ps_part_lease_ref running[] = {{5, 1, 100}, {5, 2, 101}}, ref;
    struct broker broker;
    struct ps_beat *beat = NULL;
    struct ps_msg msg;

    broker_init(&broker);
    assert_int_equal(ps_beat_new(&beat, &(struct ps_peer_where){broker.context, broker.endpoint, NULL}), 0);
    assert_int_equal(ps_beat_running(beat, running, 2), 0);
    ps_beat_session(beat, 7, (const uint8_t *)BROKER_TOKEN, 20);
    for (int i = 0; i < 3; i++) {
        broker_wait(&broker, &msg);
        assert_int_equal(msg.id, PS_MSG_BEAT);
        assert_int_equal(msg.BEAT.session, 7);
        assert_true(ps_bytes_is(msg.BEAT.token, BROKER_TOKEN));
        assert_int_equal(msg.BEAT.running.n, 2);
        assert_true(ps_lease_ref_next(&msg.BEAT.running, &ref));
        assert_int_equal(ref.job, 100);
    }
    assert_int_equal(ps_beat_running(beat, NULL, 0), 0);
    do
        broker_wait(&broker, &msg);
    while (msg.BEAT.running.n > 0);
    ps_beat_free(&beat);
    assert_null(beat);
    ps_beat_free(&beat);
    broker_fini(&broker);
}

/* Another session comes over another connection; session 0 is silence. */
static void a_new_session_gets_a_new_connection(void **state)
{
    struct broker broker;
    struct ps_beat *beat = NULL;
    struct ps_msg msg;
    uint8_t first[BROKER_ID_MAX];
    size_t first_len;

    broker_init(&broker);
    assert_int_equal(ps_beat_new(&beat, &(struct ps_peer_where){broker.context, broker.endpoint, NULL}), 0);
    ps_beat_session(beat, 7, (const uint8_t *)BROKER_TOKEN, 20);
    broker_wait(&broker, &msg);
    memcpy(first, broker.id, broker.id_len);
    first_len = broker.id_len;
    ps_beat_session(beat, 0, NULL, 0);
    ps_beat_session(beat, 8, (const uint8_t *)BROKER_TOKEN, 20);
    do
        broker_wait(&broker, &msg);
    while (msg.BEAT.session == 7);
    assert_int_equal(msg.BEAT.session, 8);
    assert_false(first_len == broker.id_len && memcmp(first, broker.id, first_len) == 0);
    ps_beat_free(&beat);
    broker_fini(&broker);
}

/* The broker's process comes back: the heart finds it by itself, and what the broker says to it is swallowed. */
static void the_heart_survives_the_broker(void **state)
{
    struct broker broker;
    struct ps_beat *beat = NULL;
    struct ps_msg msg;

    broker_init(&broker);
    assert_int_equal(ps_beat_new(&beat, &(struct ps_peer_where){broker.context, broker.endpoint, NULL}), 0);
    ps_beat_session(beat, 7, (const uint8_t *)BROKER_TOKEN, 20);
    broker_wait(&broker, &msg);
    broker_say(&broker, PS_MSG(REFUSED, .code = PS_BYTES_LIT("session")));
    broker_send(&broker, "nonsense", 8, false);
    for (int i = 0; i < 3; i++)
        broker_wait(&broker, &msg);
    broker_hang_up(&broker);
    broker_listen(&broker);
    broker_wait(&broker, &msg);
    assert_int_equal(msg.BEAT.session, 7);
    ps_beat_free(&beat);
    broker_fini(&broker);
}

/* ---- certificates ---- */

struct guarded {
    char *dir;
    char endpoint[UNIT_PATH_MAX];
    struct ps_keys known, stranger;
    zactor_t *auth;
    zsock_t *router;
};

static void save(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];
    zcert_t *cert = zcert_new();

    assert_int_equal(zcert_save(cert, unit_path(path, dir, name)), 0);
    zcert_destroy(&cert);
}

static void load(struct guarded *self, const char *name, struct ps_keys *ret_keys)
{
    char own[UNIT_PATH_MAX], server[UNIT_PATH_MAX];
    struct ps_error error;

    if (ps_keys_load(ret_keys, unit_path(own, self->dir, name), unit_path(server, self->dir, "broker"),
                     &error))
        fail_msg("%s", error.text);
}

/* A broker that lets in who has a certificate in dir/peers. */
static void guard(struct guarded *self)
{
    char path[UNIT_PATH_MAX], peers[UNIT_PATH_MAX];
    zcert_t *cert;

    self->dir = unit_dir_make();
    assert_int_equal(mkdir(unit_path(peers, self->dir, "peers"), 0700), 0);
    save(self->dir, "broker");
    save(self->dir, "peers/known");
    save(self->dir, "stranger");
    load(self, "peers/known", &self->known);
    load(self, "stranger", &self->stranger);

    self->auth = zactor_new(zauth, NULL);
    zstr_sendx(self->auth, "CURVE", peers, NULL);
    zsock_wait(self->auth);
    self->router = zsock_new(ZMQ_ROUTER);
    cert = zcert_load(unit_path(path, self->dir, "broker"));
    zcert_apply(cert, self->router);
    zcert_destroy(&cert);
    zsock_set_curve_server(self->router, 1);
    zsock_set_zap_domain(self->router, "phagescan");
    (void)snprintf(self->endpoint, sizeof(self->endpoint), "ipc://%s/broker.sock", self->dir);
    assert_int_equal(zsock_bind(self->router, "%s", self->endpoint), 0);
}

static void unguard(struct guarded *self)
{
    zsock_destroy(&self->router);
    zactor_destroy(&self->auth);
    ps_keys_fini(&self->known);
    ps_keys_fini(&self->stranger);
    unit_dir_remove(self->dir);
}

/* Ticks a peer with these keys until the broker heard it or an event came. True when it was heard. */
static bool is_heard(struct guarded *self, const struct ps_keys *keys, enum ps_peer_event *ret_event,
                     char code[PS_NAME_MAX + 1])
{
    struct ps_peer_config config = {
        .where = {zsys_init(), self->endpoint, keys}, .role = PS_ROLE_WORKER, .name = "w"};
    uint64_t end = ps_clock_mono_ms() + PATIENCE_MS, now;
    struct ps_peer *peer = NULL;
    struct ps_bytes carried;
    struct ps_msg msg;
    bool heard = false;

    assert_int_equal(ps_peer_new(&peer, &config, NULL), 0);
    *ret_event = PS_PEER_NOTHING;
    while (!heard && *ret_event == PS_PEER_NOTHING && (now = ps_clock_mono_ms()) < end) {
        uint64_t wake = ps_peer_tick(peer, now);
        zmq_pollitem_t items[] = {{.fd = ps_peer_fd(peer), .events = ZMQ_POLLIN},
                                  {.socket = zsock_resolve(self->router), .events = ZMQ_POLLIN}};

        assert_true(zmq_poll(items, 2, wake > now ? (long)PS_MIN(wake - now, (uint64_t)100) : 0) >= 0);
        heard = items[1].revents != 0;
        *ret_event = ps_peer_recv(peer, &msg, &carried);
        if (*ret_event == PS_PEER_REFUSED)
            (void)snprintf(code, PS_NAME_MAX + 1, "%.*s", (int)msg.REFUSED.code.len,
                           (const char *)msg.REFUSED.code.at);
    }
    ps_peer_free(&peer);
    return heard;
}

static void a_stranger_is_told_so(void **state)
{
    struct guarded self;
    enum ps_peer_event event;
    char code[PS_NAME_MAX + 1] = "";

    guard(&self);
    assert_true(is_heard(&self, &self.known, &event, code));
    zmsg_t *msg = zmsg_recv(self.router);
    zmsg_destroy(&msg);
    assert_false(is_heard(&self, &self.stranger, &event, code));
    assert_int_equal(event, PS_PEER_REFUSED);
    assert_string_equal(code, "denied");
    unguard(&self);
}

static void a_certificate_without_its_secret_is_refused(void **state)
{
    char own[UNIT_PATH_MAX], server[UNIT_PATH_MAX], secret[UNIT_PATH_MAX];
    struct ps_keys keys;
    struct ps_error error = {0};
    char *dir = unit_dir_make();

    save(dir, "own");
    save(dir, "server");
    unit_path(own, dir, "own");
    unit_path(server, dir, "server");
    assert_int_equal(ps_keys_load(&keys, own, server, NULL), 0);
    assert_int_equal(strlen(keys.own_secret), 40);
    assert_string_not_equal(keys.own_public, keys.server_public);
    assert_int_equal(unlink(unit_path(secret, dir, "own_secret")), 0);
    assert_int_equal(ps_keys_load(&keys, own, server, &error), PS_ERR_INVALID);
    assert_non_null(strstr(error.text, "own_secret"));
    assert_int_equal(unlink(own), 0);
    assert_int_equal(ps_keys_load(&keys, own, server, &error), PS_ERR_NOTFOUND);
    assert_int_equal(unlink(unit_path(secret, dir, "server_secret")), 0);
    assert_int_equal(truncate(server, 0), 0);
    assert_int_equal(ps_keys_load(&keys, server, server, &error), PS_ERR_INVALID);
    unit_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beats_name_what_runs),
        cmocka_unit_test(a_new_session_gets_a_new_connection),
        cmocka_unit_test(the_heart_survives_the_broker),
        cmocka_unit_test(a_stranger_is_told_so),
        cmocka_unit_test(a_certificate_without_its_secret_is_refused),
    };

    zsys_handler_set(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
