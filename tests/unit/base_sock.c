#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sock.h"

struct packet {
    char data[64];
    size_t len;
    int fds[PS_SOCK_FDS_MAX];
    size_t fds_n;
};

static int receive(int fd, struct packet *ret)
{
    return ps_sock_recv(fd, ret->data, sizeof(ret->data), &ret->len, ret->fds, &ret->fds_n, MSG_DONTWAIT);
}

static int open_fds_n(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void assert_cloexec(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static int setup_pair(void **state)
{
    int *fds = calloc(2, sizeof(int));

    *state = fds;
    return ps_sock_pair(fds);
}

static int teardown_pair(void **state)
{
    int *fds = *state;

    ps_close_fd_p(&fds[0]);
    ps_close_fd_p(&fds[1]);
    free(fds);
    return 0;
}

static void packets_keep_their_borders(void **state)
{
    const int *fds = *state;
    struct packet got;

    assert_cloexec(fds[0]);
    assert_cloexec(fds[1]);
    assert_int_equal(receive(fds[1], &got), PS_ERR_AGAIN);
    assert_int_equal(ps_sock_send(fds[0], "one", 3, NULL, 0, 0), 0);
    assert_int_equal(ps_sock_send(fds[0], "three", 5, NULL, 0, MSG_DONTWAIT), 0);
    assert_int_equal(receive(fds[1], &got), 0);
    assert_int_equal(got.len, 3);
    assert_int_equal(got.fds_n, 0);
    assert_int_equal(receive(fds[1], &got), 0);
    assert_int_equal(got.len, 5);
    assert_memory_equal(got.data, "three", 5);
}

static void descriptors_travel_and_are_close_on_exec(void **state)
{
    const int *fds = *state;
    int sent[PS_SOCK_FDS_MAX];
    struct stat a, b;
    struct packet got;

    for (size_t i = 0; i < PS_SOCK_FDS_MAX; i++)
        assert_int_equal(ps_file_memfd("unit", &i, sizeof(i), &sent[i]), 0);
    assert_int_equal(ps_sock_send(fds[0], "x", 1, sent, PS_SOCK_FDS_MAX, 0), 0);
    assert_int_equal(receive(fds[1], &got), 0);
    assert_int_equal(got.fds_n, PS_SOCK_FDS_MAX);
    for (size_t i = 0; i < PS_SOCK_FDS_MAX; i++) {
        assert_cloexec(got.fds[i]);
        assert_int_equal(fstat(sent[i], &a), 0);
        assert_int_equal(fstat(got.fds[i], &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        ps_close_fd_p(&got.fds[i]);
        ps_close_fd_p(&sent[i]);
    }
}

static void too_long_a_packet_is_dropped_with_its_descriptors(void **state)
{
    const int *fds = *state;
    char large[100] = {0};
    struct packet got;
    int before = open_fds_n();

    assert_int_equal(ps_sock_send(fds[0], large, sizeof(large), fds, 2, 0), 0);
    assert_int_equal(receive(fds[1], &got), PS_ERR_LIMIT);
    assert_int_equal(open_fds_n(), before);
    assert_int_equal(receive(fds[1], &got), PS_ERR_AGAIN);
}

static void too_many_descriptors_are_dropped_and_closed(void **state)
{
    const int *fds = *state;
    union {
        char space[CMSG_SPACE(sizeof(int) * (PS_SOCK_FDS_MAX + 3))];
        struct cmsghdr align;
    } control = {0};
    char x = 'x';
    struct iovec part = {&x, 1};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    int *sent = (int *)(void *)CMSG_DATA(head), before = open_fds_n();
    struct packet got;

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (PS_SOCK_FDS_MAX + 3));
    for (size_t i = 0; i < PS_SOCK_FDS_MAX + 3; i++)
        sent[i] = fds[0];
    assert_int_equal(sendmsg(fds[0], &msg, 0), 1);
    assert_int_equal(receive(fds[1], &got), PS_ERR_LIMIT);
    assert_int_equal(open_fds_n(), before);
}

static void sender_learns_what_can_not_be_sent(void **state)
{
    int *fds = *state, five[PS_SOCK_FDS_MAX + 1] = {0};
    const size_t huge = 64 << 20;
    PS_FREE char *data = calloc(1, huge);

    assert_int_equal(ps_sock_send(fds[0], "", 0, NULL, 0, 0), PS_ERR_INVALID);
    assert_int_equal(ps_sock_send(fds[0], "x", 1, five, PS_SOCK_FDS_MAX + 1, 0), PS_ERR_INVALID);
    assert_int_equal(ps_sock_send(fds[0], data, huge, NULL, 0, MSG_DONTWAIT), PS_ERR_LIMIT);
}

static void full_socket_says_again(void **state)
{
    const int *fds = *state;
    char data[1024] = {0};
    int rc = 0;

    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = ps_sock_send(fds[0], data, sizeof(data), NULL, 0, MSG_DONTWAIT);
    assert_int_equal(rc, PS_ERR_AGAIN);
}

static void farewell_is_seen_on_both_sides(void **state)
{
    int *fds = *state;
    struct packet got;

    assert_int_equal(ps_sock_send(fds[0], "last", 4, NULL, 0, 0), 0);
    ps_close_fd_p(&fds[0]);
    assert_int_equal(receive(fds[1], &got), 0);
    assert_int_equal(receive(fds[1], &got), PS_ERR_CLOSED);
    assert_int_equal(ps_sock_send(fds[1], "x", 1, NULL, 0, 0), PS_ERR_CLOSED);
}

static void unix_listener_has_its_mode_and_knows_its_peer(void **state)
{
    PS_CLOSE int listener = -1, client = -1, server = -1;
    char path[UNIT_PATH_MAX];
    struct stat st;
    uid_t uid;
    gid_t gid;
    pid_t pid;

    unit_path(path, *state, "sock");
    assert_int_equal(ps_sock_listen_unix(path, 0640, &listener), 0);
    assert_cloexec(listener);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(ps_sock_connect_unix(path, &client), 0);
    assert_cloexec(client);
    server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(ps_sock_peer(server, &uid, &gid, &pid), 0);
    assert_int_equal(uid, getuid());
    assert_int_equal(gid, getgid());
    assert_int_equal(pid, getpid());
}

static void live_socket_is_a_conflict_and_a_stale_one_is_replaced(void **state)
{
    PS_CLOSE int first = -1, second = -1, client = -1;
    char path[UNIT_PATH_MAX];

    unit_path(path, *state, "sock");
    assert_int_equal(ps_sock_connect_unix(path, &client), PS_ERR_NOTFOUND);
    assert_int_equal(ps_sock_listen_unix(path, 0600, &first), 0);
    assert_int_equal(ps_sock_listen_unix(path, 0600, &second), PS_ERR_CONFLICT);
    ps_close_fd_p(&first);
    assert_int_equal(ps_sock_connect_unix(path, &client), PS_ERR_UNAVAILABLE);
    assert_int_equal(ps_sock_listen_unix(path, 0600, &second), 0);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
    PS_CLOSE int fd = -1;
    char path[UNIT_PATH_MAX], link[UNIT_PATH_MAX], deep[UNIT_PATH_MAX];

    unit_path(path, *state, "file");
    unit_path(link, *state, "link");
    unit_path(deep, *state, "missing/sock");
    assert_int_equal(ps_file_replace(path, "x", 1, 0600), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(ps_sock_listen_unix(path, 0600, &fd), PS_ERR_CONFLICT);
    assert_int_equal(ps_sock_listen_unix(link, 0600, &fd), PS_ERR_CONFLICT);
    assert_int_equal(ps_sock_listen_unix(deep, 0600, &fd), PS_ERR_NOTFOUND);
    assert_int_equal(access(path, F_OK), 0);
}

static void long_paths_are_refused_not_cut(void **state)
{
    PS_CLOSE int fd = -1;
    char path[200];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(ps_sock_listen_unix(path, 0600, &fd), PS_ERR_LIMIT);
    assert_int_equal(ps_sock_connect_unix(path, &fd), PS_ERR_LIMIT);
    assert_int_equal(ps_sock_connect_unix("", &fd), PS_ERR_INVALID);
}

static void tcp_listener_takes_a_free_port_and_a_busy_one_is_a_conflict(void **state)
{
    PS_CLOSE int first = -1, second = -1, client = -1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t port = 0, other;
    uid_t uid;
    gid_t gid;
    pid_t pid;

    assert_int_equal(ps_sock_listen_tcp("127.0.0.1", 0, &first, &port), 0);
    assert_cloexec(first);
    assert_true(port > 0);
    assert_int_equal(ps_sock_listen_tcp("127.0.0.1", port, &second, &other), PS_ERR_CONFLICT);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    addr.sin_port = htons(port);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_not_equal(ps_sock_peer(client, &uid, &gid, &pid), 0);
    assert_int_equal(ps_sock_listen_tcp("not a host", 0, &second, &other), PS_ERR_NOTFOUND);
}

int main(void)
{
#define PAIR(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown_pair)
#define DIR_(name) cmocka_unit_test_setup_teardown(name, unit_setup_dir, unit_teardown_dir)
    const struct CMUnitTest tests[] = {
        PAIR(packets_keep_their_borders),
        PAIR(descriptors_travel_and_are_close_on_exec),
        PAIR(too_long_a_packet_is_dropped_with_its_descriptors),
        PAIR(too_many_descriptors_are_dropped_and_closed),
        PAIR(sender_learns_what_can_not_be_sent),
        PAIR(full_socket_says_again),
        PAIR(farewell_is_seen_on_both_sides),
        DIR_(unix_listener_has_its_mode_and_knows_its_peer),
        DIR_(live_socket_is_a_conflict_and_a_stale_one_is_replaced),
        DIR_(file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(long_paths_are_refused_not_cut),
        cmocka_unit_test(tcp_listener_takes_a_free_port_and_a_busy_one_is_a_conflict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
