#include "worker/host/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "worker/host/fds.h"
#include "worker/host/walls.h"

struct kind {
    uint32_t wall;
    int flag;
};

/* In the order in which they are entered: the user namespace gives the right to the others. */
static const struct kind kinds[] = {
    {PS_WALL_USER_NS, CLONE_NEWUSER}, {PS_WALL_MOUNT_NS, CLONE_NEWNS}, {PS_WALL_NET_NS, CLONE_NEWNET},
    {PS_WALL_IPC_NS, CLONE_NEWIPC},   {PS_WALL_UTS_NS, CLONE_NEWUTS},  {PS_WALL_PID_NS, CLONE_NEWPID},
};

static int write_file(const char *path, const char *text)
{
    PS_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? ps_err_from_errno(errno) : ps_file_write_all(fd, text, strlen(text));
}

/* The account keeps its number inside; nobody else exists there. */
static int map_account(uid_t uid, gid_t gid)
{
    char map[64];
    int rc = write_file("/proc/self/setgroups", "deny");

    (void)snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid); /* fits */
    if (!rc)
        rc = write_file("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid); /* fits */
    return rc ? rc : write_file("/proc/self/gid_map", map);
}

static int enter_one(const struct kind *kind)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(kind->flag) < 0)
        return ps_err_from_errno(errno);
    if (kind->wall == PS_WALL_USER_NS)
        return map_account(uid, gid);
    if (kind->wall == PS_WALL_MOUNT_NS && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return ps_err_from_errno(errno);
    if (kind->wall == PS_WALL_UTS_NS)
        return sethostname("jail", 4) < 0 ? ps_err_from_errno(errno) : 0;
    return 0;
}

static int open_pid_ns(void)
{
    return open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
}

/* Exit status of process status, or -1 when it did not exit. */
static int wait_exit(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* True when a process of this new pid namespace can fork into a further one and come back. */
static bool pid_ns_works(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct ps_space space = {PS_WALL_PID_NS, open_pid_ns()};
        pid_t child = space.pid_ns < 0 ? -1 : ps_space_fork(&space);

        if (child == 0)
            _exit(getpid() == 1 ? 0 : 1);
        _exit(child > 0 && wait_exit(child) == 0 ? 0 : 1);
    }
    return pid > 0 && wait_exit(pid) == 0;
}

#define NO_USER_NS 255 /* exit status of a probe that can't have a user namespace */

/* Enters what can be entered and exits with a bit for each of kinds. A user namespace without its map would leave a
 * process that is nobody, and the rest meaningless: then the caller looks again without. */
static void __attribute__((noreturn)) probe_and_exit(uint32_t wanted)
{
    int have = 0;

    for (size_t i = 0; i < PS_ARRAY_N(kinds); i++) {
        if (!(wanted & kinds[i].wall))
            continue;
        if (enter_one(&kinds[i]) == 0)
            have |= 1 << i;
        else if (kinds[i].wall == PS_WALL_USER_NS)
            _exit(NO_USER_NS);
    }
    if ((have & 1 << 5) && !pid_ns_works())
        have &= ~(1 << 5);
    _exit(have);
}

static int probe_once(uint32_t wanted)
{
    pid_t pid = fork();

    if (pid == 0)
        probe_and_exit(wanted);
    return pid < 0 ? -1 : wait_exit(pid);
}

uint32_t ps_space_probe(uint32_t wanted)
{
    int have = probe_once(wanted);
    uint32_t walls = 0;

    if (have == NO_USER_NS)
        have = probe_once(wanted & ~(uint32_t)PS_WALL_USER_NS);
    for (size_t i = 0; have > 0 && i < PS_ARRAY_N(kinds); i++)
        if (have & 1 << i)
            walls |= kinds[i].wall;
    return walls;
}

/* Waits for the zygote and ends as it did, so that whoever waits for this process sees the zygote's end. */
static void __attribute__((noreturn)) stay_behind(pid_t zygote)
{
    const struct rlimit no_core = {0, 0};
    int status = 0;

    /* The zygote's end must show as the end of its sockets: nothing of them stays open here. */
    (void)close_range(3, ~0u, 0);
    while (waitpid(zygote, &status, 0) < 0)
        if (errno != EINTR)
            _exit(1);
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)raise(WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
}

static int fork_zygote(struct ps_space *self)
{
    pid_t pid = fork();

    if (pid < 0)
        return ps_err_from_errno(errno);
    if (pid > 0)
        stay_behind(pid);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* can't fail with a valid signal */
    self->pid_ns = ps_fd_lift(open_pid_ns());
    return self->pid_ns < 0 ? ps_err_from_errno(errno) : 0;
}

int ps_space_enter(uint32_t wanted, struct ps_space *ret_self, struct ps_error *reterr)
{
    struct ps_space self = {ps_space_probe(wanted), -1};
    int rc = 0;

    for (size_t i = 0; i < PS_ARRAY_N(kinds) && !rc; i++)
        if (self.walls & kinds[i].wall)
            rc = enter_one(&kinds[i]);
    if (!rc && (self.walls & PS_WALL_PID_NS))
        rc = fork_zygote(&self);
    if (rc)
        return ps_error_set(reterr, rc, "the namespaces that were there a moment ago are refused: %s",
                            ps_err_text(rc));
    *ret_self = self;
    return 0;
}

pid_t ps_space_fork(const struct ps_space *self)
{
    bool nested = self->walls & PS_WALL_PID_NS;
    int saved;
    pid_t pid;

    if (nested && unshare(CLONE_NEWPID) < 0)
        return -1;
    pid = fork();
    saved = errno;
    /* Back, or the next fork would land in the child's namespace. A zygote that can't is of no use. */
    if (nested && pid != 0 && setns(self->pid_ns, CLONE_NEWPID) < 0)
        _exit(1);
    errno = saved;
    return pid;
}

int ps_space_root(const char *dir, uint64_t bytes, uint64_t inodes)
{
    char options[96];

    (void)snprintf(options, sizeof(options), "size=%llu,nr_inodes=%llu,mode=0700", (unsigned long long)bytes,
                   (unsigned long long)inodes); /* fits */
    if (unshare(CLONE_NEWNS) < 0 ||
        mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0 || chdir(dir) < 0 ||
        mkdir("tmp", 0700) < 0)
        return ps_err_from_errno(errno);
    /* The old root ends up above the new one and is let go. In a chroot, which is no mount point, the kernel has no
     * pivot_root: there a chroot has to do, which a process without capabilities and foreign directories can't leave.
     */
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? ps_err_from_errno(errno) : 0;
    return chroot(".") < 0 || chdir("/") < 0 ? ps_err_from_errno(errno) : 0;
}
