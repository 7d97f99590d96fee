/* tests/flow/refuse.h: makes this process, and all that it starts, live on a kernel that refuses things, as containers
 * do: a system call filter that answers EPERM. */
#ifndef PS_TESTS_REFUSE_H
#define PS_TESTS_REFUSE_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REFUSE_NEW                                                                                \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

#define REFUSE_LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define REFUSE_ANSWER(e)  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (e))
#define REFUSE_ALLOW      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Answers call with EPERM; goes on after it otherwise. The number must be loaded. */
#define REFUSE_CALL(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), REFUSE_ANSWER(EPERM)

enum refuse {
    REFUSE_NAMESPACES, /* unshare, setns, and clone with a new namespace */
    REFUSE_MOUNTS,     /* mount, umount, pivot_root, chroot: namespaces are there */
    REFUSE_FILTERS,    /* a system call filter of one's own */
};

/* For good, for this process and its children. 0, or -1 with errno. */
static inline int refuse(enum refuse what)
{
    struct sock_filter namespaces[] = {
        REFUSE_LOAD(nr),
        REFUSE_CALL(SYS_unshare),
        REFUSE_CALL(SYS_setns),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        REFUSE_ANSWER(ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        REFUSE_LOAD(args[0]), /* its lower half: little endian */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, REFUSE_NEW, 0, 1),
        REFUSE_ANSWER(EPERM),
        REFUSE_ALLOW,
    };
    struct sock_filter mounts[] = {REFUSE_LOAD(nr),          REFUSE_CALL(SYS_mount),
                                   REFUSE_CALL(SYS_umount2), REFUSE_CALL(SYS_pivot_root),
                                   REFUSE_CALL(SYS_chroot),  REFUSE_ALLOW};
    struct sock_filter filters[] = {REFUSE_LOAD(nr), REFUSE_CALL(SYS_seccomp), REFUSE_ALLOW};
    struct sock_fprog programs[] = {
        [REFUSE_NAMESPACES] = {sizeof(namespaces) / sizeof(namespaces[0]), namespaces},
        [REFUSE_MOUNTS] = {sizeof(mounts) / sizeof(mounts[0]), mounts},
        [REFUSE_FILTERS] = {sizeof(filters) / sizeof(filters[0]), filters},
    };

    /* By prctl: the filter on filters could not be entered by the call that it refuses. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &programs[what]);
}

#endif
