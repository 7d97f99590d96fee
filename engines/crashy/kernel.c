/* What opens more of the kernel to an attacker, or gives it more rights. */
#include "engines/crashy/crashy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IO_URING_PARAMS_BYTES 120
#define I386_GETPID           20

static enum ps_found do_mount(struct scan *scan)
{
    return crashy_wall(scan, mount("tmpfs", scan->argument, "tmpfs", 0, NULL), "Wall.Mount");
}

static enum ps_found do_umount(struct scan *scan)
{
    return crashy_wall(scan, umount2(scan->argument, MNT_DETACH), "Wall.Umount");
}

static enum ps_found do_hostname(struct scan *scan)
{
    return crashy_wall(scan, sethostname(scan->argument, strlen(scan->argument)), "Wall.Hostname");
}

static enum ps_found do_unshare(struct scan *scan)
{
    return crashy_wall(scan, unshare(CLONE_NEWUSER), "Wall.Unshare");
}

/* Into the network of another process. */
static enum ps_found do_setns(struct scan *scan)
{
    char path[64];
    int fd, rc, error;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", atoi(scan->argument));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
    error = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return crashy_wall(scan, rc, "Wall.Setns");
}

static enum ps_found do_io_uring(struct scan *scan)
{
    char params[IO_URING_PARAMS_BYTES] = {0};
    long fd = syscall(SYS_io_uring_setup, 1, params);

    if (fd >= 0)
        (void)close((int)fd);
    return crashy_wall(scan, fd, "Wall.IoUring");
}

static enum ps_found do_clone3(struct scan *scan)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    return crashy_wall(scan, pid, "Wall.Clone3");
}

/* The system calls of another architecture, whose numbers mean something else. */
static enum ps_found do_int80(struct scan *scan)
{
#ifdef __x86_64__
    long rc = I386_GETPID;

    __asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
    return crashy_wall(scan, rc > 0 ? 0 : -1, "Wall.Int80");
#else
    errno = ENOSYS;
    return crashy_held(scan);
#endif
}

/* Runs argv and says how it exited, or -1. */
static int run(char *const argv[])
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        (void)execv(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static enum ps_found do_exec(struct scan *scan)
{
    char *argv[] = {(char *)(uintptr_t)scan->argument, NULL};

    errno = EACCES;
    return crashy_wall(scan, run(argv) == 0 ? 0 : -1, "Wall.Exec");
}

/* The argument is a copy of grep that gives rights to whoever runs it: it looks whether it has them. */
static enum ps_found do_rights(struct scan *scan)
{
    char quiet[] = "-q", pattern[] = "^CapEff:.*[1-9a-f]", status[] = "/proc/self/status";
    char *argv[] = {(char *)(uintptr_t)scan->argument, quiet, pattern, status, NULL};

    errno = EPERM;
    return crashy_wall(scan, run(argv) == 0 ? 0 : -1, "Wall.Rights");
}

const struct crashy_command crashy_kernel[] = {
    {"mount", do_mount},     {"umount", do_umount}, {"hostname", do_hostname},
    {"unshare", do_unshare}, {"setns", do_setns},   {"io-uring", do_io_uring},
    {"clone3", do_clone3},   {"int80", do_int80},   {"exec", do_exec},
    {"rights", do_rights},   {NULL, NULL},
};
