#include "worker/host/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

static int write_file(int dir, const char *name, const char *text)
{
    PS_CLOSE int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? ps_err_from_errno(errno) : ps_file_write_all(fd, text, strlen(text));
}

/* The account keeps its number inside; nobody else exists there. proc: the directory /proc/self. */
static int map_account(int proc, uid_t uid, gid_t gid)
{
    char map[64];
    int rc = write_file(proc, "setgroups", "deny");

    (void)snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid); /* fits */
    if (!rc)
        rc = write_file(proc, "uid_map", map);
    (void)snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid); /* fits */
    return rc ? rc : write_file(proc, "gid_map", map);
}

static int enter_user_ns(uid_t uid, gid_t gid)
{
    PS_CLOSE int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return proc < 0 ? ps_err_from_errno(errno) : map_account(proc, uid, gid);
}

static int enter_one(const struct kind *kind)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(kind->flag) < 0)
        return ps_err_from_errno(errno);
    if (kind->wall == PS_WALL_USER_NS)
        return enter_user_ns(uid, gid);
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

/* ---- a child's root ---- */

#define SCRATCH "/scratch" /* for temporary files when /tmp holds something granted */

const char *ps_space_tmpdir(const struct ps_granted *granted)
{
    return granted && granted->below_tmp ? SCRATCH : "/tmp";
}

/* Makes what path (relative to the new root) is mounted on, and the directories above it. What lies below another granted
 * directory is there already, and can't be made: that one is read-only. */
static int make_place(const char *path, bool is_dir)
{
    PS_FREE char *parent = ps_strf("%s", path);
    char *slash = parent ? strrchr(parent, '/') : NULL;
    PS_CLOSE int fd = -1;

    if (!parent)
        return PS_ERR_NOMEM;
    if (access(path, F_OK) == 0)
        return 0;
    if (is_dir)
        return ps_file_mkdirs(path, 0755);
    if (slash) {
        int rc;

        *slash = '\0';
        if ((rc = ps_file_mkdirs(parent, 0755)))
            return rc;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? ps_err_from_errno(errno) : 0;
}

/* The flags that the mount at path has and that a change of it must repeat: who is no real root may not drop them. */
static unsigned long kept_flags(const char *path)
{
    static const struct {
        unsigned long have, flag;
    } pairs[] = {{ST_RDONLY, MS_RDONLY},    {ST_NOSUID, MS_NOSUID},   {ST_NODEV, MS_NODEV},
                 {ST_NOEXEC, MS_NOEXEC},    {ST_NOATIME, MS_NOATIME}, {ST_NODIRATIME, MS_NODIRATIME},
                 {ST_RELATIME, MS_RELATIME}};
    unsigned long flags = 0;
    struct statvfs st;

    if (statvfs(path, &st) < 0)
        return 0;
    for (size_t i = 0; i < PS_ARRAY_N(pairs); i++)
        if (st.f_flag & pairs[i].have)
            flags |= pairs[i].flag;
    return flags;
}

/* With all that is mounted below it. Before Linux 5.12 only path itself can be changed in one go: what is mounted below it
 * keeps its flags there, and its files are still those of another account. */
static int restrict_mount(const char *path, bool read_only, bool devices)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | (read_only ? MOUNT_ATTR_RDONLY : 0) |
                                          (devices ? 0 : MOUNT_ATTR_NODEV)};
    unsigned long flags = MS_NOSUID | (read_only ? MS_RDONLY : 0) | (devices ? 0 : MS_NODEV);

    if (mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) == 0)
        return 0;
    return mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | flags | kept_flags(path), NULL) < 0
               ? ps_err_from_errno(errno)
               : 0;
}

/* One granted path at its own name in the new root, which is the working directory. */
static int bind_one(const struct ps_granted_path *granted)
{
    const char *place = granted->path + 1;
    int rc = make_place(place, granted->is_dir);

    if (rc)
        return rc;
    if (mount(granted->path, place, NULL, MS_BIND | MS_REC, NULL) < 0)
        return ps_err_from_errno(errno);
    /* A read-only mount neither hinders writing to a device nor connecting to a socket. */
    return restrict_mount(place, !(granted->use & PS_GRANTED_WRITE), granted->use & PS_GRANTED_DEVICE);
}

/* Programs look for /proc/self/fd. Where the kernel refuses (a container whose own /proc is masked), there is none. */
static void mount_proc(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    if (mkdir("proc", 0555) == 0 && mount("proc", "proc", "proc", flags, "subset=pid") < 0)
        (void)mount("proc", "proc", "proc", flags, NULL); /* before Linux 5.8, or there is none */
}

/* Fills the new root, the working directory. At the end only the directory for temporary files can be written to. */
static int furnish(const struct ps_granted *granted)
{
    const char *tmp = ps_space_tmpdir(granted) + 1;
    int rc = 0;

    for (size_t i = 0; i < granted->n && !rc; i++)
        rc = bind_one(&granted->at[i]);
    if (rc)
        return rc;
    mount_proc();
    if (mount(tmp, tmp, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, ".", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return ps_err_from_errno(errno);
    return 0;
}

int ps_space_root(const char *dir, uint64_t bytes, uint64_t inodes, const struct ps_granted *granted)
{
    char options[96];
    int rc;

    /* The mount points of what is granted are not temporary files. */
    inodes += granted ? 4 * PS_GRANTED_MAX : 0;
    (void)snprintf(options, sizeof(options), "size=%llu,nr_inodes=%llu,mode=0700", (unsigned long long)bytes,
                   (unsigned long long)inodes); /* fits */
    if (unshare(CLONE_NEWNS) < 0 ||
        mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0 || chdir(dir) < 0 ||
        mkdir(ps_space_tmpdir(granted) + 1, 0700) < 0)
        return ps_err_from_errno(errno);
    if (granted && (rc = furnish(granted)))
        return rc;
    /* The old root ends up above the new one and is let go. In a chroot, which is no mount point, the kernel has no
     * pivot_root: there a chroot has to do, which a process without capabilities and foreign directories can't leave.
     */
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? ps_err_from_errno(errno) : 0;
    return chroot(".") < 0 || chdir("/") < 0 ? ps_err_from_errno(errno) : 0;
}

bool ps_space_own_user(int self_proc)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    return unshare(CLONE_NEWUSER) == 0 && map_account(self_proc, uid, gid) == 0;
}
