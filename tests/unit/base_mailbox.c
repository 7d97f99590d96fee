#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "base/mem.h"

#define SENDERS_N 3
#define EACH_N    20000
#define WAIT_MS   20000 /* a deadline that only a failure reaches */

static bool is_readable(const struct ps_mailbox *box)
{
    struct pollfd item = {.fd = ps_mailbox_fd(box), .events = POLLIN};

    return poll(&item, 1, 0) == 1;
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

static void messages_come_in_order_and_the_fd_tells(void **state)
{
    struct ps_mailbox *box = NULL;
    void *got[4];

    assert_int_equal(ps_mailbox_new(&box, 4), 0);
    assert_false(is_readable(box));
    for (uintptr_t round = 0; round < 5; round++) { /* the ring wraps */
        for (uintptr_t i = 1; i <= 3; i++)
            assert_int_equal(ps_mailbox_send(box, number(i)), 0);
        assert_true(is_readable(box));
        assert_int_equal(ps_mailbox_n(box), 3);
        assert_int_equal(ps_mailbox_take(box, got, 2), 2);
        assert_ptr_equal(got[0], number(1));
        assert_ptr_equal(got[1], number(2));
        assert_true(is_readable(box));
        assert_int_equal(ps_mailbox_take(box, got, 4), 1);
        assert_ptr_equal(got[0], number(3));
        assert_false(is_readable(box));
        assert_int_equal(ps_mailbox_take(box, got, 4), 0);
    }
    ps_mailbox_free(&box, NULL);
    assert_null(box);
    ps_mailbox_free(&box, NULL);
}

static void full_box_refuses_and_the_message_stays_the_callers(void **state)
{
    struct ps_mailbox *box = NULL;
    void *got;

    assert_int_equal(ps_mailbox_new(&box, 2), 0);
    assert_int_equal(ps_mailbox_send(box, number(1)), 0);
    assert_int_equal(ps_mailbox_send(box, number(2)), 0);
    assert_int_equal(ps_mailbox_send(box, number(3)), PS_ERR_BUSY);
    assert_int_equal(ps_mailbox_take(box, &got, 1), 1);
    assert_int_equal(ps_mailbox_send(box, number(3)), 0);
    ps_mailbox_free(&box, NULL);
}

static void waiting_ends_at_its_timeout(void **state)
{
    struct ps_mailbox *box = NULL;
    void *got;

    assert_int_equal(ps_mailbox_new(&box, 1), 0);
    assert_int_equal(ps_mailbox_wait(box, &got, 0), PS_ERR_TIMEOUT);
    assert_int_equal(ps_mailbox_wait(box, &got, 5), PS_ERR_TIMEOUT);
    ps_mailbox_free(&box, NULL);
}

static void closed_box_gives_out_what_it_holds_and_then_says_so(void **state)
{
    struct ps_mailbox *box = NULL;
    void *got;

    assert_int_equal(ps_mailbox_new(&box, 4), 0);
    assert_int_equal(ps_mailbox_send(box, number(1)), 0);
    ps_mailbox_close(box);
    ps_mailbox_close(box);
    assert_int_equal(ps_mailbox_send(box, number(2)), PS_ERR_CLOSED);
    assert_int_equal(ps_mailbox_wait(box, &got, -1), 0);
    assert_ptr_equal(got, number(1));
    assert_true(is_readable(box));
    assert_int_equal(ps_mailbox_wait(box, &got, -1), PS_ERR_CLOSED);
    ps_mailbox_free(&box, NULL);
}

static void freeing_drops_what_was_not_taken(void **state)
{
    struct ps_mailbox *box = NULL;
    void *got;

    assert_int_equal(ps_mailbox_new(&box, 3), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ps_mailbox_send(box, malloc(1)), 0);
    assert_int_equal(ps_mailbox_take(box, &got, 1), 1);
    free(got);
    assert_int_equal(ps_mailbox_send(box, malloc(1)), 0);
    ps_mailbox_free(&box, free); /* LeakSanitizer looks whether all went */
}

struct sender {
    pthread_t thread;
    struct ps_mailbox *box;
    uintptr_t id; /* 0.. */
};

static void *send_many(void *arg)
{
    const struct sender *self = arg;

    for (uintptr_t i = 1; i <= EACH_N; i++)
        while (ps_mailbox_send(self->box, number(i * SENDERS_N + self->id)) == PS_ERR_BUSY)
            (void)sched_yield(); /* always 0 */
    return NULL;
}

/* Small box, many senders: nothing is lost, nothing comes twice, each sender's order is kept, no wake-up is
 * missed. */
static void senders_race_and_nothing_is_lost(void **state)
{
    struct sender senders[SENDERS_N];
    uintptr_t last[SENDERS_N] = {0};
    struct ps_mailbox *box = NULL;

    assert_int_equal(ps_mailbox_new(&box, 7), 0);
    for (uintptr_t i = 0; i < SENDERS_N; i++) {
        senders[i] = (struct sender){.box = box, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (size_t i = 0; i < SENDERS_N * EACH_N; i++) {
        void *msg;
        uintptr_t n;

        assert_int_equal(ps_mailbox_wait(box, &msg, WAIT_MS), 0);
        n = (uintptr_t)msg;
        assert_int_equal(n / SENDERS_N, last[n % SENDERS_N] + 1);
        last[n % SENDERS_N] = n / SENDERS_N;
    }
    for (size_t i = 0; i < SENDERS_N; i++)
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    assert_int_equal(ps_mailbox_n(box), 0);
    ps_mailbox_free(&box, NULL);
}

static void *close_box(void *arg)
{
    ps_mailbox_close(arg);
    return NULL;
}

static void closing_wakes_the_one_who_waits(void **state)
{
    struct ps_mailbox *box = NULL;
    pthread_t thread;
    void *msg;

    assert_int_equal(ps_mailbox_new(&box, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, close_box, box), 0);
    assert_int_equal(ps_mailbox_wait(box, &msg, WAIT_MS), PS_ERR_CLOSED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    ps_mailbox_free(&box, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_in_order_and_the_fd_tells),
        cmocka_unit_test(full_box_refuses_and_the_message_stays_the_callers),
        cmocka_unit_test(waiting_ends_at_its_timeout),
        cmocka_unit_test(closed_box_gives_out_what_it_holds_and_then_says_so),
        cmocka_unit_test(freeing_drops_what_was_not_taken),
        cmocka_unit_test(senders_race_and_nothing_is_lost),
        cmocka_unit_test(closing_wakes_the_one_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
