/* What parsers in process need of the kernel, and no more. Found by running libclamav, libyara and libmagic over some
 * thousand files; kept without anything that reaches other processes, the network or the kernel's rarer corners.
 *
 * Files: open and friends are allowed because Landlock and the child's own root decide what a path can mean there.
 * Processes: threads only; tgkill for abort() and only at oneself. Memory: shared anonymous mappings are refused,
 * since RLIMIT_DATA does not count them, and so is memfd_create. */
#include "worker/host/filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "base/file.h"
#include "base/mem.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define CALL_SECCOMP_SET_MODE_FILTER 1

static const int allowed[] = {
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(msync),
    /* reading and writing what is open */
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(preadv), SCMP_SYS(preadv2), SCMP_SYS(write),
    SCMP_SYS(pwrite64), SCMP_SYS(writev), SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(lseek),
    SCMP_SYS(_llseek), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
    SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(fstatfs),
    SCMP_SYS(fstatfs64), SCMP_SYS(getdents), SCMP_SYS(getdents64), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64),
    SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(fadvise64), SCMP_SYS(fadvise64_64),
    SCMP_SYS(flock), SCMP_SYS(copy_file_range), SCMP_SYS(sendfile), SCMP_SYS(sendfile64), SCMP_SYS(pipe),
    SCMP_SYS(pipe2), SCMP_SYS(eventfd2),
    /* files by name: Landlock and the private root decide */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(stat), SCMP_SYS(stat64),
    SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx),
    SCMP_SYS(statfs), SCMP_SYS(statfs64), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
    SCMP_SYS(truncate), SCMP_SYS(truncate64), SCMP_SYS(getcwd), SCMP_SYS(chdir), SCMP_SYS(fchdir),
    SCMP_SYS(umask),
    /* waiting, time, chance */
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(_newselect), SCMP_SYS(pselect6),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(getitimer), SCMP_SYS(setitimer),
    SCMP_SYS(alarm), SCMP_SYS(pause), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall),
    /* threads and signals of one's own */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address), SCMP_SYS(gettid), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend), SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack), SCMP_SYS(sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* who am I */
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getpgrp), SCMP_SYS(getpgid), SCMP_SYS(getsid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getgroups),
    SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit), SCMP_SYS(ugetrlimit), SCMP_SYS(getcpu),
    /* the socket to the session */
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(shutdown)};

/* Asked for by honest libraries, which live with a refusal. */
struct refused {
    int call;
    int error; /* errno that the caller sees */
};

static const struct refused refused[] = {
    {SCMP_SYS(clone3), ENOSYS},
    {SCMP_SYS(ioctl), ENOTTY},
    {SCMP_SYS(memfd_create), EPERM},
    {SCMP_SYS(membarrier), ENOSYS},
    {SCMP_SYS(mlock), EPERM},
    {SCMP_SYS(munlock), EPERM},
    {SCMP_SYS(mlockall), EPERM},
    {SCMP_SYS(munlockall), EPERM},
    {SCMP_SYS(setrlimit), EPERM},
    {SCMP_SYS(setpriority), EPERM},
    {SCMP_SYS(getpriority), EPERM},
    {SCMP_SYS(sched_setaffinity), EPERM},
    {SCMP_SYS(sched_setscheduler), EPERM},
    {SCMP_SYS(chmod), EPERM},
    {SCMP_SYS(fchmod), EPERM},
    {SCMP_SYS(fchmodat), EPERM},
    {SCMP_SYS(chown), EPERM},
    {SCMP_SYS(fchown), EPERM},
    {SCMP_SYS(lchown), EPERM},
    {SCMP_SYS(fchownat), EPERM},
    {SCMP_SYS(utimensat), EPERM},
    {SCMP_SYS(utime), EPERM},
    {SCMP_SYS(utimes), EPERM},
    {SCMP_SYS(futimesat), EPERM},
    {SCMP_SYS(symlink), EPERM},
    {SCMP_SYS(symlinkat), EPERM},
    {SCMP_SYS(link), EPERM},
    {SCMP_SYS(linkat), EPERM},
};

/* What programs need on top. Where they go by name is Landlock's and the root's business, as ever. */
static const int for_programs[] = {SCMP_SYS(execve),
                                   SCMP_SYS(execveat),
                                   SCMP_SYS(fork),
                                   SCMP_SYS(vfork),
                                   SCMP_SYS(wait4),
                                   SCMP_SYS(waitid),
                                   SCMP_SYS(waitpid),
                                   SCMP_SYS(setpgid),
                                   SCMP_SYS(setsid),
                                   SCMP_SYS(arch_prctl),
                                   SCMP_SYS(set_thread_area),
                                   SCMP_SYS(capget),
                                   SCMP_SYS(epoll_create),
                                   SCMP_SYS(epoll_create1),
                                   SCMP_SYS(epoll_ctl),
                                   SCMP_SYS(epoll_wait),
                                   SCMP_SYS(epoll_pwait),
                                   SCMP_SYS(epoll_pwait2),
                                   SCMP_SYS(eventfd),
                                   SCMP_SYS(timerfd_create),
                                   SCMP_SYS(timerfd_settime),
                                   SCMP_SYS(timerfd_gettime),
                                   SCMP_SYS(timer_create),
                                   SCMP_SYS(timer_settime),
                                   SCMP_SYS(timer_gettime),
                                   SCMP_SYS(timer_getoverrun),
                                   SCMP_SYS(timer_delete),
                                   SCMP_SYS(signalfd),
                                   SCMP_SYS(signalfd4),
                                   SCMP_SYS(splice),
                                   SCMP_SYS(tee),
                                   SCMP_SYS(readahead),
                                   SCMP_SYS(sync_file_range),
                                   SCMP_SYS(mincore),
                                   SCMP_SYS(futex_waitv),
                                   SCMP_SYS(sched_getattr),
                                   SCMP_SYS(getsockopt),
                                   SCMP_SYS(setsockopt),
                                   SCMP_SYS(getsockname),
                                   SCMP_SYS(getpeername),
                                   SCMP_SYS(sendto),
                                   SCMP_SYS(recvfrom)};

/* Programs are of many hands: what they only try is refused, and what does harm still kills. Sockets are among them:
 * the C library asks name services through one. */
static const struct refused refused_to_programs[] = {
    {SCMP_SYS(bind), EACCES},
    {SCMP_SYS(listen), EACCES},
    {SCMP_SYS(accept), EACCES},
    {SCMP_SYS(accept4), EACCES},
    {SCMP_SYS(setuid), EPERM},
    {SCMP_SYS(setgid), EPERM},
    {SCMP_SYS(setreuid), EPERM},
    {SCMP_SYS(setregid), EPERM},
    {SCMP_SYS(setresuid), EPERM},
    {SCMP_SYS(setresgid), EPERM},
    {SCMP_SYS(setgroups), EPERM},
    {SCMP_SYS(setfsuid), EPERM},
    {SCMP_SYS(setfsgid), EPERM},
    {SCMP_SYS(capset), EPERM},
    {SCMP_SYS(chroot), EPERM},
    {SCMP_SYS(mknod), EPERM},
    {SCMP_SYS(mknodat), EPERM},
    {SCMP_SYS(getxattr), ENOTSUP},
    {SCMP_SYS(lgetxattr), ENOTSUP},
    {SCMP_SYS(fgetxattr), ENOTSUP},
    {SCMP_SYS(listxattr), ENOTSUP},
    {SCMP_SYS(llistxattr), ENOTSUP},
    {SCMP_SYS(flistxattr), ENOTSUP},
    {SCMP_SYS(setxattr), ENOTSUP},
    {SCMP_SYS(lsetxattr), ENOTSUP},
    {SCMP_SYS(fsetxattr), ENOTSUP},
    {SCMP_SYS(inotify_init), ENOSYS},
    {SCMP_SYS(inotify_init1), ENOSYS},
    {SCMP_SYS(ioprio_set), EPERM},
    {SCMP_SYS(ioprio_get), EPERM},
    {SCMP_SYS(sched_setparam), EPERM},
    {SCMP_SYS(sched_setattr), EPERM},
    {SCMP_SYS(sync), EPERM},
    {SCMP_SYS(syncfs), EPERM},
    {SCMP_SYS(mbind), EPERM},
    {SCMP_SYS(get_mempolicy), EPERM},
    {SCMP_SYS(set_mempolicy), EPERM},
    {SCMP_SYS(shmget), ENOSYS},
    {SCMP_SYS(semget), ENOSYS},
    {SCMP_SYS(msgget), ENOSYS},
    {SCMP_SYS(io_uring_setup), ENOSYS},
    {SCMP_SYS(io_setup), ENOSYS},
    {SCMP_SYS(pidfd_open), ENOSYS},
    {SCMP_SYS(pidfd_send_signal), ENOSYS},
    {SCMP_SYS(personality), EPERM},
    {SCMP_SYS(unshare), EPERM},
    {SCMP_SYS(syslog), EPERM},
    {SCMP_SYS(sethostname), EPERM},
    {SCMP_SYS(kcmp), EPERM},
    {SCMP_SYS(name_to_handle_at), ENOTSUP},
};

#define CLONE_MUST (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_NEVER                                                                               \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET | CLONE_PTRACE | CLONE_VFORK)

static int add_plain(scmp_filter_ctx ctx)
{
    int rc = 0;

    for (size_t i = 0; i < PS_ARRAY_N(allowed) && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < PS_ARRAY_N(refused) && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((unsigned)refused[i].error), refused[i].call, 0);
    return rc;
}

/* mmap: never shared and anonymous, never huge pages; what the kernel calls mmap2 elsewhere is the same. */
static int add_mmap(scmp_filter_ctx ctx, int call)
{
    const uint64_t no_anonymous = MAP_ANONYMOUS | MAP_HUGETLB, no_shared = MAP_SHARED | MAP_HUGETLB;
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, SCMP_A3(SCMP_CMP_MASKED_EQ, no_anonymous, 0));

    return rc ? rc
              : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, SCMP_A3(SCMP_CMP_MASKED_EQ, no_shared, 0));
}

/* Threads, and processes for those who run programs; namespaces for nobody. */
static int add_clone(scmp_filter_ctx ctx, bool programs)
{
    const uint64_t never = CLONE_NEVER & ~(uint64_t)CLONE_VFORK;

    if (programs)
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, never, 0));
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_MUST | CLONE_NEVER, CLONE_MUST));
}

/* Programs have numbers that nobody knows beforehand: where these could be strangers', only abort() is left to them,
 * which asks for tgkill. */
static int add_signals(scmp_filter_ctx ctx, const struct ps_filter_conf *conf)
{
    uint32_t kill = conf->signals ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
    int rc;

    if (!conf->programs)
        return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)conf->self));
    rc = seccomp_rule_add(ctx, kill, SCMP_SYS(kill), 0);
    rc = rc ? rc : seccomp_rule_add(ctx, kill, SCMP_SYS(tkill), 0);
    rc = rc ? rc : seccomp_rule_add(ctx, kill, SCMP_SYS(tgkill), 0);
    rc = rc ? rc : seccomp_rule_add(ctx, kill, SCMP_SYS(rt_sigqueueinfo), 0);
    return rc ? rc : seccomp_rule_add(ctx, kill, SCMP_SYS(rt_tgsigqueueinfo), 0);
}

/* Sockets of one family by their first argument; all others are refused. */
static int add_sockets(scmp_filter_ctx ctx, const struct ps_filter_conf *conf)
{
    uint32_t connect = conf->sockets || conf->network ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES);
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

    rc = rc ? rc
            : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socketpair), 1,
                               SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    rc = rc ? rc : seccomp_rule_add(ctx, connect, SCMP_SYS(connect), 0);
    if (rc || conf->network)
        return rc ? rc : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 0);
    if (!conf->sockets)
        return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0);
    rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    return rc ? rc
              : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

static int add_programs(scmp_filter_ctx ctx, const struct ps_filter_conf *conf)
{
    int rc = 0;

    for (size_t i = 0; i < PS_ARRAY_N(for_programs) && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, for_programs[i], 0);
    for (size_t i = 0; i < PS_ARRAY_N(refused_to_programs) && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((unsigned)refused_to_programs[i].error),
                              refused_to_programs[i].call, 0);
    return rc ? rc : add_sockets(ctx, conf);
}

static int add_guarded(scmp_filter_ctx ctx, const struct ps_filter_conf *conf)
{
    int rc = add_mmap(ctx, SCMP_SYS(mmap));

    if (!rc)
        rc = add_mmap(ctx, SCMP_SYS(mmap2));
    if (!rc)
        rc = add_clone(ctx, conf->programs);
    if (!rc)
        rc = add_signals(ctx, conf);
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME));
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA));
    /* Limits may be read, one's own alone; a new value is refused. */
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                              SCMP_A2(SCMP_CMP_EQ, 0));
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_NE, 0));
    return rc;
}

/* libseccomp 2.5 writes its program to a descriptor only. */
static int export_code(scmp_filter_ctx ctx, struct ps_filter *ret_self)
{
    PS_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
    PS_FREE struct sock_filter *code = NULL;
    struct stat st;

    if (fd < 0 || seccomp_export_bpf(ctx, fd) < 0 || fstat(fd, &st) < 0)
        return PS_ERR_IO;
    if (st.st_size <= 0 || st.st_size > BPF_MAXINSNS * (off_t)sizeof(*code))
        return PS_ERR_LIMIT;
    code = ps_alloc((size_t)st.st_size, 1);
    if (!code)
        return PS_ERR_NOMEM;
    if (ps_file_pread_all(fd, code, (size_t)st.st_size, 0))
        return PS_ERR_IO;
    ret_self->n = (unsigned short)((size_t)st.st_size / sizeof(*code));
    ret_self->code = PS_TAKE(code);
    return 0;
}

int ps_filter_build(struct ps_filter *ret_self, const struct ps_filter_conf *conf, struct ps_error *reterr)
{
    scmp_filter_ctx ctx = seccomp_init(conf->trap ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
    struct ps_filter filter = {.self = conf->self};
    int rc;

    if (!ctx)
        return ps_error_set(reterr, PS_ERR_UNSUPPORTED, "libseccomp gives no filter here");
    rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!rc)
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* speed only; older libraries refuse */
    if (!rc)
        rc = add_plain(ctx);
    if (!rc)
        rc = add_guarded(ctx, conf);
    if (!rc && conf->programs)
        rc = add_programs(ctx, conf);
    rc = rc ? PS_ERR_UNSUPPORTED : export_code(ctx, &filter);
    seccomp_release(ctx);
    if (rc)
        return ps_error_set(reterr, rc, "the system call filter can't be built: %s", ps_err_text(rc));
    *ret_self = filter;
    return 0;
}

void ps_filter_fini(struct ps_filter *self)
{
    free(self->code);
    self->code = NULL;
}

int ps_filter_enter(const struct ps_filter *self)
{
    struct sock_fprog program = {.len = self->n, .filter = self->code};

    if (syscall(SYS_seccomp, CALL_SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return ps_err_from_errno(errno);
    return 0;
}

static void explain(int sig, siginfo_t *info, void *context)
{
    char *name =
        seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall); /* debugging: may allocate */

    (void)dprintf(2, "the system call filter stopped %s (number %d)\n", name ? name : "?", info->si_syscall);
    _exit(128 + sig);
}

void ps_filter_explain(void)
{
    struct sigaction action = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO};

    (void)sigaction(SIGSYS, &action, NULL); /* valid by construction */
}
