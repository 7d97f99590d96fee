#include "worker/host/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "worker/host/landlock.h"

#define STACK_MAX    (64ull << 20) /* bytes of the main stack, at most */
#define SAMPLE_ROOM  (4ull << 30)  /* address space for mapped samples and libraries' reservations, bytes */
#define CAPABILITY_N 64            /* more than any kernel has */
#define OOM_FIRST    "1000"        /* out of memory: children first */
#define CHILD_NICE   "10"

/* Processes of the whole account, where those of a child can't be counted apart. */
#define SHARED_PROCESSES 4096

void ps_jail_init(struct ps_jail *self, const struct ps_jail_limits *limits, uint32_t off, int landlock_max,
                  bool trap)
{
    *self = (struct ps_jail){.limits = *limits,
                             .walls = PS_WALLS_ALL & ~off,
                             .landlock_abi = PS_MIN(ps_landlock_abi(), landlock_max),
                             .trap = trap,
                             .space = {0, -1}};
    if (!(self->walls & PS_WALL_LANDLOCK))
        self->landlock_abi = 0;
    if (self->landlock_abi <= 0)
        self->walls &= ~(uint32_t)PS_WALL_LANDLOCK;
}

void ps_jail_fini(struct ps_jail *self)
{
    ps_filter_fini(&self->filter);
    if (self->granted)
        ps_granted_fini(self->granted);
    free(self->granted);
    self->granted = NULL;
    ps_close_fd_p(&self->space.pid_ns);
}

int ps_jail_enter(struct ps_jail *self, struct ps_error *reterr)
{
    int rc = ps_space_enter(self->walls & PS_WALLS_SPACE, &self->space, reterr);

    self->walls = (self->walls & ~(uint32_t)PS_WALLS_SPACE) | self->space.walls;
    if (!(self->walls & PS_WALL_MOUNT_NS))
        self->walls &= ~(uint32_t)PS_WALL_ROOT;
    /* Whatever a child leaves behind becomes the zygote's, which then ends it. Without a pid namespace only. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* known since Linux 3.4 */
    /* The zygote itself gains nothing by exec either; a child checks that it stands. */
    if (self->walls & PS_WALL_NO_NEW_PRIVS)
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return rc;
}

int ps_jail_grant(struct ps_jail *self, const struct ps_engine_grants *grants, bool update,
                  struct ps_error *reterr)
{
    if (!grants)
        return 0;
    if (!self->granted)
        self->granted = PS_NEW(struct ps_granted);
    else
        ps_granted_fini(self->granted);
    if (!self->granted)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    return ps_granted_read(self->granted, grants, update, reterr);
}

/* One wall of the child: rc as tried; err names it when it must stand. */
static int raise_wall(struct ps_jail *self, uint32_t wall, int rc, struct ps_error *reterr)
{
    if (rc == 0)
        return 0;
    if (!self->probing)
        return ps_error_set(reterr, rc, "the wall \"%s\" that stood before is refused: %s (errno %d)",
                            ps_wall_word(wall), ps_err_text(rc), errno);
    self->walls &= ~wall;
    return 0;
}

static int set_limit(int which, uint64_t soft, uint64_t hard)
{
    struct rlimit now, want = {soft, hard};

    if (getrlimit((__rlimit_resource_t)which, &now) < 0)
        return ps_err_from_errno(errno);
    want.rlim_max = PS_MIN(want.rlim_max, now.rlim_max);
    want.rlim_cur = PS_MIN(want.rlim_cur, want.rlim_max);
    return setrlimit((__rlimit_resource_t)which, &want) < 0 ? ps_err_from_errno(errno) : 0;
}

/* RLIMIT_DATA counts private writable memory; the wider bound on the address space catches what it does not count
 * (page tables of huge read-only mappings). Above the zygote's size, or a child could not allocate at all. */
static int raise_limits(const struct ps_jail *self)
{
    const struct ps_jail_limits *l = &self->limits;
    int rc = set_limit(RLIMIT_DATA, self->data_bytes + l->memory_bytes, self->data_bytes + l->memory_bytes);

    if (!rc)
        rc = set_limit(RLIMIT_AS, self->space_bytes + l->memory_bytes + SAMPLE_ROOM,
                       self->space_bytes + l->memory_bytes + SAMPLE_ROOM);
    if (!rc)
        rc = set_limit(RLIMIT_STACK, RLIM_INFINITY, STACK_MAX);
    if (!rc)
        rc = set_limit(RLIMIT_FSIZE, l->tmp_bytes, l->tmp_bytes);
    if (!rc)
        rc = set_limit(RLIMIT_NOFILE, l->files, l->files);
    if (!rc)
        rc = set_limit(RLIMIT_CPU, l->cpu_s, l->cpu_s);
    if (!rc)
        rc = set_limit(RLIMIT_CORE, 0, 0);
    if (!rc)
        rc = set_limit(RLIMIT_MEMLOCK, 0, 0);
    if (!rc)
        rc = set_limit(RLIMIT_MSGQUEUE, 0, 0);
    /* Elsewhere the number counts all processes of the account, also those that are not ours: then a wide bound on what
     * programs may fork has to do. */
    if (!rc && (self->walls & PS_WALL_USER_NS))
        rc = set_limit(RLIMIT_NPROC, l->threads, l->threads);
    else if (!rc && self->granted)
        rc = set_limit(RLIMIT_NPROC, SHARED_PROCESSES, SHARED_PROCESSES);
    return rc;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    /* Both need CAP_SETPCAP. Who has no capabilities has nothing to gain there: no_new_privs stands. */
    (void)prctl(PR_SET_SECUREBITS, bits);
    for (int cap = 0; cap < CAPABILITY_N; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    return syscall(SYS_capset, &head, none) < 0 ? ps_err_from_errno(errno) : 0;
}

static int raise_oom(void)
{
    PS_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    return fd < 0 ? ps_err_from_errno(errno) : ps_file_write_all(fd, OOM_FIRST, strlen(OOM_FIRST));
}

/* Engines take all the processor there is for long stretches; who carries samples and results needs it in short ones, and
 * at once, or the next job waits. Where sessions are scheduled as groups, a nice value counts within the group alone,
 * and the group has one of its own (sched(7)). No wall: without it all is slower, and as safe. */
static void yield_to_carriers(void)
{
    PS_CLOSE int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

    (void)setpriority(PRIO_PROCESS, 0, atoi(CHILD_NICE));
    if (fd >= 0)
        (void)ps_file_write_all(fd, CHILD_NICE, strlen(CHILD_NICE));
}

pid_t ps_jail_fork(const struct ps_jail *self)
{
    return ps_space_fork(&self->space);
}

/* /proc is the system's, so its self is the process id that people see. */
static pid_t visible_pid(void)
{
    char text[32];
    ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

    text[PS_MAX(n, 0)] = '\0';
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : getpid();
}

static int enter_root(struct ps_jail *self, const char *dir)
{
    PS_CLOSE int proc = self->granted ? open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = ps_space_root(dir, self->limits.tmp_bytes, self->limits.tmp_inodes, self->granted);

    if (rc || !self->granted)
        return rc;
    self->proc = access("/proc/self/fd", F_OK) == 0;
    /* A fork bomb in one slot must not take the processes of the others: they are counted by user namespace. */
    if ((self->walls & PS_WALL_USER_NS) && proc >= 0)
        (void)ps_space_own_user(proc); /* else they are counted together */
    return 0;
}

int ps_jail_room(struct ps_jail *self, const char *dir, char *tmpdir, size_t tmpdir_max, pid_t *ret_pid,
                 struct ps_error *reterr)
{
    int rc;

    (void)setsid(); /* a forked child leads no group yet: can't fail */
    yield_to_carriers();
    (void)umask(077);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* and again below, where rights have changed */
    *ret_pid = visible_pid();
    if ((self->walls & PS_WALL_OOM) && (rc = raise_wall(self, PS_WALL_OOM, raise_oom(), reterr)))
        return rc;
    (void)snprintf(tmpdir, tmpdir_max, "%s", dir); /* of its size by contract */
    if (self->granted)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* as the zygote; known since Linux 3.4 */
    if (!(self->walls & PS_WALL_ROOT))
        return 0;
    rc = enter_root(self, dir);
    if (!rc)
        (void)snprintf(tmpdir, tmpdir_max, "%s",
                       ps_space_tmpdir(self->granted)); /* of its size by contract */
    return raise_wall(self, PS_WALL_ROOT, rc, reterr);
}

static int build_filter(struct ps_jail *self, pid_t pid, struct ps_error *reterr)
{
    const struct ps_granted *granted = self->granted;
    const struct ps_filter_conf conf = {.self = pid,
                                        .trap = self->trap,
                                        .programs = granted != NULL,
                                        .signals = (self->walls & PS_WALL_PID_NS) ||
                                                   self->landlock_abi >= PS_LANDLOCK_FULL,
                                        .sockets = granted && granted->socket,
                                        .network = granted && granted->network};

    return ps_filter_build(&self->filter, &conf, reterr);
}

static int raise_filter(struct ps_jail *self, struct ps_error *reterr)
{
    int rc = self->filter.code ? 0 : build_filter(self, getpid(), reterr);

    return rc ? rc : ps_filter_enter(&self->filter);
}

int ps_jail_shut(struct ps_jail *self, const char *tmpdir, struct ps_error *reterr)
{
    int rc = 0;

    /* The loaded engine may hold files open or keep what it needs of them in memory; by name there is only tmpdir now.
     * The order: limits first (the filter refuses setrlimit), the filter last. */
    if (self->walls & PS_WALL_LIMITS)
        rc = raise_wall(self, PS_WALL_LIMITS, raise_limits(self), reterr);
    if (!rc && (self->walls & PS_WALL_NO_NEW_PRIVS))
        rc = raise_wall(self, PS_WALL_NO_NEW_PRIVS,
                        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? ps_err_from_errno(errno) : 0, reterr);
    if (!rc && (self->walls & PS_WALL_CAPABILITIES))
        rc = raise_wall(self, PS_WALL_CAPABILITIES, drop_capabilities(), reterr);
    if (!rc && (self->walls & PS_WALL_DUMPABLE))
        rc = raise_wall(self, PS_WALL_DUMPABLE,
                        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? ps_err_from_errno(errno) : 0, reterr);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the last change of rights, which would clear it */
    if (!rc && (self->walls & PS_WALL_LANDLOCK))
        rc = raise_wall(self, PS_WALL_LANDLOCK,
                        ps_landlock_enter(self->landlock_abi, tmpdir, self->granted, self->proc), reterr);
    if (!rc && (self->walls & PS_WALL_SECCOMP))
        rc = raise_wall(self, PS_WALL_SECCOMP, raise_filter(self, reterr), reterr);
    return rc;
}

bool ps_jail_sweep(const struct ps_jail *self)
{
    pid_t left;

    if (!self->granted)
        return true;
    /* As process 1 it reaches all of its namespace and nobody else. Killed ones are waited for, those that they fork
     * meanwhile are killed in the next round; the session's deadline ends this if nothing else does. */
    if (self->walls & PS_WALL_PID_NS) {
        while (kill(-1, SIGKILL) == 0)
            while (waitpid(-1, NULL, 0) > 0)
                ;
        while (waitpid(-1, NULL, 0) > 0) /* those that had ended before */
            ;
        return true;
    }
    while ((left = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    return left < 0; /* none at all */
}

bool ps_jail_is_stale(const struct ps_jail *self)
{
    struct stat st;

    for (size_t i = 0; self->granted && i < self->granted->n; i++)
        if ((self->granted->at[i].use & PS_GRANTED_SOCKET) &&
            (stat(self->granted->at[i].path, &st) < 0 || st.st_nlink == 0))
            return true;
    return false;
}

static int take_size(struct ps_jail *self)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size = 0, data = 0;
    PS_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (n <= 0)
        return PS_ERR_IO;
    text[n] = '\0';
    if (sscanf(text, "%" SCNu64 " %*u %*u %*u %*u %" SCNu64, &size, &data) != 2)
        return PS_ERR_IO;
    self->space_bytes = size * page;
    self->data_bytes = data * page;
    return 0;
}

/* The throwaway child: raises all walls and says which stand. */
static void __attribute__((noreturn)) probe_and_exit(struct ps_jail *self, const char *dir, int report)
{
    char tmpdir[PATH_MAX];
    pid_t pid;

    self->probing = true;
    if (ps_jail_room(self, dir, tmpdir, sizeof(tmpdir), &pid, NULL) == 0 &&
        ps_jail_shut(self, tmpdir, NULL) == 0)
        (void)ps_file_write_all(report, &self->walls,
                                sizeof(self->walls)); /* unread it counts as a failure */
    _exit(0);
}

static int probe(struct ps_jail *self, const char *dir, struct ps_error *reterr)
{
    PS_CLOSE int from = -1, to = -1;
    int fds[2], status;
    uint32_t walls;
    ssize_t n;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no pipe: %s", strerror(errno));
    from = fds[0];
    to = fds[1];
    pid = ps_jail_fork(self);
    if (pid < 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "no child can be forked: %s", strerror(errno));
    if (pid == 0)
        probe_and_exit(self, dir, to);
    ps_close_fd_p(&to);
    n = read(from, &walls, sizeof(walls));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof(walls))
        return ps_error_set(reterr, PS_ERR_UNSUPPORTED, "a child that only raises its walls dies of them");
    self->walls = walls;
    return 0;
}

int ps_jail_settle(struct ps_jail *self, const char *dir, struct ps_error *reterr)
{
    bool wanted = self->walls & PS_WALL_SECCOMP;
    int rc = take_size(self);

    if (rc)
        return ps_error_set(reterr, rc, "/proc/self/statm can't be read");
    ps_filter_fini(&self->filter); /* of an earlier call */
    if (wanted && (self->walls & PS_WALL_PID_NS) && (rc = build_filter(self, 1, reterr)))
        return rc;
    rc = ps_file_mkdirs(dir, 0700);
    if (rc)
        return ps_error_set(reterr, rc, "the directory %s can't be made", dir);
    rc = probe(self, dir, reterr);
    (void)ps_file_remove_tree(dir, true); /* empty, and the next user clears it anyway */
    if (!rc && wanted && !(self->walls & PS_WALL_SECCOMP))
        return ps_error_set(reterr, PS_ERR_DENIED,
                            "this kernel refuses a system call filter: engines would run unjailed "
                            "(--wall-off=seccomp gives consent)");
    return rc;
}
