/* The frames of MDP/0.1: what the RFC has is read, all else is refused. */
#include "unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "broker/mdp/frames.h"

#define B(text) PS_BYTES_LIT(text)
#define READ(message, ...)                        \
    ps_mdp_read((struct ps_bytes[]){__VA_ARGS__}, \
                sizeof((struct ps_bytes[]){__VA_ARGS__}) / sizeof(struct ps_bytes), message)

static void the_rfcs_messages_are_read(void **state)
{
    struct ps_mdp_message m;

    assert_int_equal(READ(&m, B(""), B("MDPC01"), B("echo"), B("one"), B("")), 0);
    assert_int_equal(m.kind, PS_MDP_CLIENT_REQUEST);
    assert_true(ps_bytes_is(m.service, "echo"));
    assert_int_equal(m.body_at, 3);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\001"), B("echo")), 0);
    assert_int_equal(m.kind, PS_MDP_READY);
    assert_true(ps_bytes_is(m.service, "echo"));
    assert_int_equal(m.body_at, 4);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\002"), B("c"), B(""), B("")), 0);
    assert_int_equal(m.kind, PS_MDP_REQUEST);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\003"), B("\0\1\2\3\4"), B(""), B("x"), B("y")), 0);
    assert_int_equal(m.kind, PS_MDP_REPLY);
    assert_int_equal(m.client.len, 5);
    assert_int_equal(m.body_at, 5);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\004")), 0);
    assert_int_equal(m.kind, PS_MDP_HEARTBEAT);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\005")), 0);
    assert_int_equal(m.kind, PS_MDP_DISCONNECT);
}

static void all_else_is_refused(void **state)
{
    struct ps_mdp_message m;

    assert_int_equal(READ(&m, B("")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B("MDPC01"), B("echo"), B("x")),
                     PS_ERR_PROTO); /* no empty frame: DEALERs forget it */
    assert_int_equal(READ(&m, B(""), B("MDPC02"), B("\001"), B("echo"), B("x")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPC01"), B("echo")), PS_ERR_PROTO); /* no body */
    assert_int_equal(READ(&m, B(""), B("MDPC01"), B(""), B("x")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\000")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\006")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\004\004")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\001")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\001"), B("")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\001"), B("echo"), B("more")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\004"), B("more")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\003"), B("c"), B("")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\003"), B("c"), B("x"), B("y")), PS_ERR_PROTO);
    assert_int_equal(READ(&m, B(""), B("MDPW01"), B("\003"), B(""), B(""), B("y")), PS_ERR_PROTO);
}

static void names_and_bodies_are_limited(void **state)
{
    uint8_t name[PS_MDP_SERVICE_MAX + 1];
    struct ps_bytes frames[PS_MDP_FRAMES_N + 1] = {{NULL, 0}, B("MDPC01"), {name, PS_MDP_SERVICE_MAX}};
    struct ps_mdp_message m;

    memset(name, 'n', sizeof(name));
    assert_int_equal(ps_mdp_read(frames, 4, &m), 0);
    frames[2].len++;
    assert_int_equal(ps_mdp_read(frames, 4, &m), PS_ERR_PROTO);
    frames[2].len--;
    assert_int_equal(ps_mdp_read(frames, 3 + PS_MDP_BODY_N, &m), 0);
    assert_int_equal(ps_mdp_read(frames, 4 + PS_MDP_BODY_N, &m), PS_ERR_PROTO);
}

static void own_names_are_known(void **state)
{
    assert_true(ps_mdp_is_own(B("mmi.service")));
    assert_true(ps_mdp_is_own(B("mmi.")));
    assert_false(ps_mdp_is_own(B("mmi")));
    assert_false(ps_mdp_is_own(B("scan")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_messages_are_read),
        cmocka_unit_test(all_else_is_refused),
        cmocka_unit_test(names_and_bodies_are_limited),
        cmocka_unit_test(own_names_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
