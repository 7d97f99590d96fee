/* Each wall alone: which attacks it stops while all others are off. No wall stops nothing. Prints the matrix, which
 * docs/security.md shows: the test fails when the two differ (jail_walls --print writes it).
 *
 * All happens in a cage: user, pid, mount, network, IPC and UTS namespaces that end with their first process, limits
 * around them, an account that is nobody outside. In it the engine host has all capabilities, since a jail whose own
 * capabilities were gone already would not show what the walls are good for; an attack that needs a process without
 * says so. */
#include "tests/flow/host_rig.h"

#include <arpa/inet.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "worker/host/landlock.h"
#include "worker/host/walls.h"

#define NOBODY      65534
#define INSIDE      1000 /* the account's number in the cage */
#define OUTER_PROCS 1000
#define OUTER_BYTES (2ull << 30)
#define CAGE_TMP    "size=256m,nr_inodes=4096,mode=0755"
#define SHM_KEY     4711
#define RUN_MS      10000
#define SLOTS       2
#define BALLAST     (64UL << 20) /* of the bystander whom memory shortage may hit */

struct cage {
    pid_t bystander; /* what kill is tried on; renewed */
    pid_t sibling;   /* another child of the zygote */
    int tcp_port, udp_port;
};

struct attack {
    const char *what;    /* in the table */
    const char *command; /* with one %d for number when there is one */
    int (*number)(const struct cage *cage);
    bool without_rights; /* the host has no capabilities, as an ordinary user */
    bool (*harm)(
        void); /* also asked, in the cage: has it an effect outside of the child? NULL: crashy knows */
    bool
        refusable; /* there are kernels that refuse it to everybody (io_uring switched off, no 32-bit calls, Yama) */
};

static int tcp_port(const struct cage *cage)
{
    return cage->tcp_port;
}

static int udp_port(const struct cage *cage)
{
    return cage->udp_port;
}

static int bystander(const struct cage *cage)
{
    return (int)cage->bystander;
}

static int sibling(const struct cage *cage)
{
    return (int)cage->sibling;
}

static bool name_changed(void)
{
    char name[64] = "";

    (void)gethostname(name, sizeof(name) - 1);
    return strcmp(name, "cage") != 0;
}

static bool key_is_hidden(void)
{
    return access("/mnt/dir/key", F_OK) != 0;
}

static const struct attack attacks[] = {
    {"read a file of its account by name", "read /mnt/dir/key", NULL, false, NULL},
    {"change a file of its account", "write /mnt/dir/key", NULL, false, NULL},
    {"read another process's environment", "read /proc/%d/environ", bystander, true, NULL},
    {"TCP to this machine", "tcp %d", tcp_port, false, NULL},
    {"UDP to this machine", "udp %d", udp_port, false, NULL},
    {"UNIX socket by path", "unix /mnt/dir/sock", NULL, false, NULL},
    {"UNIX socket, abstract", "abstract cage", NULL, false, NULL},
    {"System V shared memory", "sysv 4711", NULL, false, NULL},
    {"kill another process", "kill %d", bystander, false, NULL},
    {"ptrace another process", "ptrace %d", bystander, true, NULL, true},
    {"read a sibling's memory", "peek %d", sibling, true, NULL, true},
    {"mount over a directory", "mount /mnt/dir", NULL, false, key_is_hidden},
    {"change the host's name", "hostname crashy", NULL, false, name_changed},
    {"enter another's network", "setns %d", bystander, false, NULL},
    {"a new user namespace", "unshare", NULL, false, NULL},
    {"run a program", "exec /bin/true", NULL, false, NULL},
    {"gain rights by a program", "rights /mnt/gain", NULL, true, NULL},
    {"64 processes", "fork-bomb 64", NULL, false, NULL},
    {"processes by clone3", "clone3", NULL, false, NULL},
    {"256 MiB of memory", "alloc 256", NULL, false, NULL},
    {"64 MiB of shared memory", "alloc-shared 64", NULL, false, NULL},
    {"64 MiB in a nameless file", "memfd 64", NULL, false, NULL},
    {"32 MiB in one file", "fill-tmp 32", NULL, false, NULL},
    {"32 MiB in many files", "fill-many 32", NULL, false, NULL},
    {"1000 files", "inodes 1000", NULL, false, NULL},
    {"300 descriptors", "open-files 300", NULL, false, NULL},
    {"io_uring", "io-uring", NULL, false, NULL, true},
    {"32-bit system calls", "int80", NULL, false, NULL, true},
    {"memory shortage hits another first", NULL, NULL, false, NULL},
};

struct column {
    const char *head;
    uint32_t walls;
    const char *landlock;
};

static const struct column columns[] = {
    {"none", 0, "--landlock-abi=0"},
    {"seccomp", PS_WALL_SECCOMP | PS_WALL_NO_NEW_PRIVS, "--landlock-abi=0"},
    {"landlock", PS_WALL_LANDLOCK | PS_WALL_NO_NEW_PRIVS, "--landlock-abi=100"},
    {"landlock 2", PS_WALL_LANDLOCK | PS_WALL_NO_NEW_PRIVS, "--landlock-abi=2"},
    {"root", PS_WALL_ROOT | PS_WALL_MOUNT_NS, "--landlock-abi=0"},
    {"mount-ns", PS_WALL_MOUNT_NS, "--landlock-abi=0"},
    {"user-ns", PS_WALL_USER_NS, "--landlock-abi=0"},
    {"net-ns", PS_WALL_NET_NS, "--landlock-abi=0"},
    {"ipc-ns", PS_WALL_IPC_NS, "--landlock-abi=0"},
    {"uts-ns", PS_WALL_UTS_NS, "--landlock-abi=0"},
    {"pid-ns", PS_WALL_PID_NS, "--landlock-abi=0"},
    {"limits", PS_WALL_LIMITS, "--landlock-abi=0"},
    {"limits, user-ns", PS_WALL_LIMITS | PS_WALL_USER_NS, "--landlock-abi=0"},
    {"no-new-privs", PS_WALL_NO_NEW_PRIVS, "--landlock-abi=0"},
    {"capabilities", PS_WALL_CAPABILITIES, "--landlock-abi=0"},
    {"dumpable", PS_WALL_DUMPABLE, "--landlock-abi=0"},
    {"oom", PS_WALL_OOM, "--landlock-abi=0"},
};

#define ATTACKS_N PS_ARRAY_N(attacks)
#define COLUMNS_N PS_ARRAY_N(columns)

enum cell { UNKNOWN, STOPPED, THROUGH };

/* Shared with the cage, which fills it. */
struct matrix {
    unsigned char at[ATTACKS_N][COLUMNS_N];
    bool done;
};

/* ---- the cage ---- */

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    (void)fprintf(stderr, "the cage: %s: %s\n", what, strerror(errno));
    _exit(77);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    must(fd, path);
    must(write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1, path);
    (void)close(fd);
}

/* This process's account becomes number inside of a new user namespace. */
static void new_account(int flags, unsigned inside)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];

    must(unshare(CLONE_NEWUSER | flags), "unshare");
    write_text("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof(map), "%u %u 1", inside, uid);
    write_text("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof(map), "%u %u 1", inside, gid);
    write_text("/proc/self/gid_map", map);
}

/* A grep that gives all capabilities to whoever runs it. */
static void plant_gain(void)
{
    struct vfs_cap_data caps = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE};

    for (int i = 0; i < 2; i++)
        caps.data[i].permitted = i == 0 ? ~0u : 0x1ff;
    must(system("cp /bin/grep /mnt/gain && chmod 0755 /mnt/gain"),
         "cp"); // NOLINT: nothing comes from outside
    must(setxattr("/mnt/gain", "security.capability", &caps, sizeof(caps), 0), "setxattr");
}

static void plant_files(void)
{
    must(mount("tmpfs", "/mnt", "tmpfs", 0, CAGE_TMP), "mount /mnt");
    must(mkdir("/mnt/dir", 0755), "mkdir");
    must(mkdir("/mnt/run", 0755), "mkdir");
    must(close(open("/mnt/dir/key", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), "key");
    must(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
    plant_gain();
}

static void network_up(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
    (void)close(fd);
}

static int listen_on(int type, const void *address, size_t len)
{
    const struct sockaddr *at = address;
    struct sockaddr_in got = {0};
    socklen_t got_len = sizeof(got);
    int fd = socket(at->sa_family, type | SOCK_CLOEXEC, 0);

    must(bind(fd, at, (socklen_t)len), "bind");
    if (type == SOCK_STREAM)
        must(listen(fd, 1000), "listen");
    if (at->sa_family != AF_INET)
        return 0;
    must(getsockname(fd, (struct sockaddr *)&got, &got_len), "getsockname");
    return ntohs(got.sin_port);
}

static void plant_listeners(struct cage *cage)
{
    struct sockaddr_in loop = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/mnt/dir/sock"},
                       name = {.sun_family = AF_UNIX, .sun_path = "\0cage"};

    (void)unlink("/mnt/dir/sock"); /* the cell's before this */
    cage->tcp_port = listen_on(SOCK_STREAM, &loop, sizeof(loop));
    cage->udp_port = listen_on(SOCK_DGRAM, &loop, sizeof(loop));
    (void)listen_on(SOCK_STREAM, &path, sizeof(path));
    (void)listen_on(SOCK_STREAM, &name, offsetof(struct sockaddr_un, sun_path) + 5);
    must(shmget(SHM_KEY, 4096, IPC_CREAT | 0600), "shmget");
}

static void outer_limits(void)
{
    const struct rlimit procs = {OUTER_PROCS, OUTER_PROCS}, bytes = {OUTER_BYTES, OUTER_BYTES}, none = {0, 0};

    must(setrlimit(RLIMIT_NPROC, &procs), "limit");
    must(setrlimit(RLIMIT_DATA, &bytes), "limit");
    must(setrlimit(RLIMIT_CORE, &none), "limit");
}

/* Capabilities that outlast an exec, or none. */
static void set_rights(bool have)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];

    must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient");
    must((int)syscall(SYS_capget, &head, caps), "capget");
    for (int i = 0; i < 2; i++) {
        caps[i].inheritable = have ? caps[i].permitted : 0;
        if (!have)
            caps[i].permitted = caps[i].effective = 0;
    }
    must((int)syscall(SYS_capset, &head, caps), "capset");
    for (int cap = 0; have && cap <= CAP_LAST_CAP; cap++)
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0); /* older kernels know fewer */
    must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable");
}

static pid_t new_bystander(void)
{
    pid_t pid = fork();

    must(pid, "fork");
    if (pid == 0) {
        void *ballast = malloc(BALLAST);

        if (ballast)
            memset(ballast, 1, BALLAST);
        for (;;)
            (void)pause();
    }
    return pid;
}

/* ---- one column ---- */

static struct rig *start(const struct column *column)
{
    struct rig *rig = rig_new("crashy");
    const char *options[RIG_WORDS_MAX] = {"--memory=64M",   "--tmp-bytes=4M", "--tmp-inodes=200",
                                          "--threads=16",   "--files=256",    "--self-test=none",
                                          column->landlock, "--unjailed"};
    static char off[PS_WALLS_WORDS_MAX];
    size_t len = (size_t)snprintf(off, sizeof(off), "--wall-off=");

    for (uint32_t bit = 1; bit < PS_WALLS_ALL; bit <<= 1)
        if (!(column->walls & bit))
            len += (size_t)snprintf(off + len, sizeof(off) - len, "%s%s", off[len - 1] == '=' ? "" : ",",
                                    ps_wall_word(bit));
    options[8] = off;
    rig_start(rig, "crashy", SLOTS, options, RIG_NONE);
    (void)rig_wait(rig, PS_HOST_LOADED);
    assert_int_equal(ps_host_spawn(rig->host, 1, rig_now(rig)), 0);
    (void)rig_wait(rig, PS_HOST_READY);
    return rig;
}

static int oom_score(pid_t pid)
{
    char path[64];
    int score = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/oom_score", (int)pid);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%d", &score) != 1) // NOLINT(cert-err34-c): the kernel writes a number
        score = -1;
    if (file)
        (void)fclose(file);
    return score;
}

static enum cell run_attack(struct rig *rig, const struct attack *attack, const struct cage *cage)
{
    char text[128] = "CRASHY ";
    enum ps_outcome outcome;

    if (!attack->command)
        return oom_score(cage->sibling) > oom_score(cage->bystander) ? STOPPED : THROUGH;
    (void)snprintf(text + 7, sizeof(text) - 7, attack->command, attack->number ? attack->number(cage) : 0);
    outcome = rig_scan(rig, text, RUN_MS);
    if (outcome == PS_OUTCOME_MALICIOUS)
        return !attack->harm || attack->harm() ? THROUGH : STOPPED;
    return outcome == PS_OUTCOME_TIMEOUT ? UNKNOWN : STOPPED;
}

/* Each attack has a host of its own: what the one before left behind is no help to it. */
static void __attribute__((noreturn)) try_cell(struct matrix *matrix, size_t attack, size_t column)
{
    struct cage cage = {0};
    struct rig *rig;

    new_account(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID, INSIDE);
    must(sethostname("cage", 4), "sethostname");
    network_up();
    plant_listeners(&cage);
    pid_t first = fork();

    must(first, "fork");
    if (first > 0) {
        while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
            continue;
        _exit(0);
    }
    must(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
    must(mount("tmpfs", "/mnt/run", "tmpfs", 0, CAGE_TMP),
         "mount /mnt/run"); /* what is left there goes with it */
    set_rights(!attacks[attack].without_rights);
    cage.bystander = new_bystander();
    rig = start(&columns[column]);
    cage.sibling = rig->child;
    matrix->at[attack][column] = (unsigned char)run_attack(rig, &attacks[attack], &cage);
    _exit(0); /* process 1: everything below it ends */
}

static void __attribute__((noreturn)) fill(struct matrix *matrix)
{
    new_account(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID, 0);
    pid_t first = fork();

    must(first, "fork");
    if (first > 0) {
        while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
            continue;
        _exit(0);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    plant_files();
    (void)setenv("TMPDIR", "/mnt/run", 1);
    outer_limits();
    for (size_t a = 0; a < ATTACKS_N; a++)
        for (size_t c = 0; c < COLUMNS_N; c++) {
            pid_t pid = fork();

            must(pid, "fork");
            if (pid == 0)
                try_cell(matrix, a, c);
            must(waitpid(pid, NULL, 0), "wait");
        }
    matrix->done = true;
    _exit(0);
}

/* ---- what comes of it ---- */

static void print_row(FILE *to, const struct matrix *matrix, size_t a)
{
    (void)fprintf(to, "| %s |", attacks[a].what);
    for (size_t c = 1; c < COLUMNS_N; c++)
        (void)fputs(matrix->at[a][c] == STOPPED   ? " stops |"
                    : matrix->at[a][c] == THROUGH ? " |"
                                                  : " ? |",
                    to);
    (void)fputc('\n', to);
}

static void print_matrix(FILE *to, const struct matrix *matrix)
{
    (void)fputs("| attack |", to);
    for (size_t c = 1; c < COLUMNS_N; c++)
        (void)fprintf(to, " %s |", columns[c].head);
    (void)fputs("\n|---|", to);
    for (size_t c = 1; c < COLUMNS_N; c++)
        (void)fputs("---|", to);
    (void)fputc('\n', to);
    for (size_t a = 0; a < ATTACKS_N; a++)
        print_row(to, matrix, a);
}

static struct matrix *matrix;

/* This kernel stops it by itself: nothing can be said of the walls. */
static bool is_moot(size_t attack)
{
    return attacks[attack].refusable && matrix->at[attack][0] == STOPPED;
}

/* With no wall at all it works; else that it is stopped would prove nothing. */
static void every_attack_gets_through_without_walls(void **state)
{
    (void)state;
    for (size_t a = 0; a < ATTACKS_N; a++)
        if (matrix->at[a][0] != THROUGH && !is_moot(a))
            fail_msg("%s does not even work without walls: %d", attacks[a].what, matrix->at[a][0]);
}

static void every_wall_alone_stops_some_attack(void **state)
{
    (void)state;
    for (size_t c = 1; c < COLUMNS_N; c++) {
        size_t n = 0;

        for (size_t a = 0; a < ATTACKS_N; a++)
            n += matrix->at[a][c] == STOPPED && matrix->at[a][0] == THROUGH;
        if (n == 0)
            fail_msg("the wall %s stops nothing", columns[c].head);
    }
}

static void every_attack_is_stopped_by_some_wall_alone(void **state)
{
    (void)state;
    for (size_t a = 0; a < ATTACKS_N; a++) {
        size_t n = 0;

        for (size_t c = 1; c < COLUMNS_N; c++)
            n += matrix->at[a][c] == STOPPED;
        if (n == 0)
            fail_msg("no wall alone stops: %s", attacks[a].what);
    }
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *from = fopen(path, "re"), *to = open_memstream(&text, &len);
    int c;

    assert_non_null(from);
    assert_non_null(to);
    while ((c = fgetc(from)) != EOF)
        (void)fputc(c, to);
    (void)fclose(from); /* only read */
    (void)fclose(to);
    return text;
}

/* Row by row, for what an older kernel can't show is left out. */
static void the_document_shows_this_table(void **state)
{
    const char *path = getenv("PHAGESCAN_SECURITY_DOC");
    char *doc;

    (void)state;
    if (!path || ps_landlock_abi() < PS_LANDLOCK_FULL)
        skip(); /* the columns of Landlock are those of a newer kernel */
    doc = read_text(path);
    for (size_t a = 0; a < ATTACKS_N; a++) {
        char *row = NULL;
        size_t len = 0;
        FILE *to = open_memstream(&row, &len);

        assert_non_null(to);
        print_row(to, matrix, a);
        (void)fclose(to);
        if (!is_moot(a) && !strstr(doc, row))
            fail_msg("docs/security.md does not have this row:\n%s", row);
        free(row);
    }
    free(doc);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attack_gets_through_without_walls),
        cmocka_unit_test(every_wall_alone_stops_some_attack),
        cmocka_unit_test(every_attack_is_stopped_by_some_wall_alone),
        cmocka_unit_test(the_document_shows_this_table),
    };
    pid_t pid;

    matrix = mmap(NULL, sizeof(*matrix), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (matrix == MAP_FAILED)
        return 1;
    pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                               setresuid(NOBODY, NOBODY, NOBODY) < 0))
            _exit(99);
        must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable"); /* cleared above: /proc/self would be root's */
        fill(matrix);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        return 1;
    if (!matrix->done) {
        (void)printf("no cage can be built here: the walls can't be tried one by one\n");
        return 77; /* meson: skipped */
    }
    print_matrix(stdout, matrix);
    if (argc > 1 && strcmp(argv[1], "--print") == 0)
        return 0;
    return cmocka_run_group_tests_name("jail_walls", tests, NULL, NULL);
}
