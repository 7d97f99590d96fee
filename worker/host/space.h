/* worker/host/space.h: namespaces. The zygote moves into its own once; each child gets a pid namespace and a root
 * directory of its own. What the kernel refuses is found out in throwaway processes first. Engine host only. */
#ifndef PS_HOST_SPACE_H
#define PS_HOST_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "worker/host/granted.h"

struct ps_space {
    uint32_t walls; /* of PS_WALLS_SPACE, those that stand */
    int pid_ns;     /* descriptor of the zygote's pid namespace, to come back to after a fork; -1 without */
};

/* Moves the calling process, which must be single-threaded and no root, into all namespaces of wanted (enum ps_wall)
 * that this kernel grants. With a pid namespace it returns in a forked child, which is process 1 there; the caller
 * stays behind, waits for it, and ends as it ended (signal or exit status): it never returns. Processes die with their
 * parents. 0 with *ret_self or a ps_err. */
int ps_space_enter(uint32_t wanted, struct ps_space *ret_self, struct ps_error *reterr);
/* The walls of wanted that this kernel grants, nothing entered. */
uint32_t ps_space_probe(uint32_t wanted);
/* fork, into a new pid namespace where there is one. The pid is the zygote's view. -1 with errno. */
pid_t ps_space_fork(const struct ps_space *self);
/* In a child: makes a tmpfs of at most bytes and inodes at dir its root, with nothing in it but the directory for
 * temporary files (see ps_space_tmpdir) and, unless granted is NULL, what is granted, read-only, and a /proc of this pid
 * namespace when the kernel lets us mount one. 0 or a ps_err (errno says more). */
int ps_space_root(const char *dir, uint64_t bytes, uint64_t inodes, const struct ps_granted *granted);
/* Where temporary files are in that root: /tmp, or another place when something granted lies below it. Static. */
const char *ps_space_tmpdir(const struct ps_granted *granted);
/* In a child, with its root: a user namespace of its own, in which its processes are counted apart from those of other
 * children. True when it has one now; not being given one changes nothing. self_proc: a descriptor of the directory
 * /proc/self, opened before the root was changed. */
bool ps_space_own_user(int self_proc);

#endif
