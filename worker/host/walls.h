/* worker/host/walls.h: the walls around an engine, by name, and what to say when one is missing. Used by the engine
 * host alone. */
#ifndef PS_HOST_WALLS_H
#define PS_HOST_WALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, bit, word of --wall-off, what people read when it is missing) */
#define PS_WALLS(X)                                                                   \
    X(NO_NEW_PRIVS, 0, "no-new-privs", "rights can be gained by exec")                \
    X(SECCOMP, 1, "seccomp", "no system call filter")                                 \
    X(LANDLOCK, 2, "landlock", "no Landlock")                                         \
    X(USER_NS, 3, "user-ns", "no user namespace")                                     \
    X(MOUNT_NS, 4, "mount-ns", "no mount namespace")                                  \
    X(ROOT, 5, "root", "no root directory of its own, temporary files without quota") \
    X(NET_NS, 6, "net-ns", "no network namespace")                                    \
    X(IPC_NS, 7, "ipc-ns", "no IPC namespace")                                        \
    X(UTS_NS, 8, "uts-ns", "no UTS namespace")                                        \
    X(PID_NS, 9, "pid-ns", "no pid namespace")                                        \
    X(LIMITS, 10, "limits", "no resource limits")                                     \
    X(OOM, 11, "oom", "out of memory may kill others first")                          \
    X(DUMPABLE, 12, "dumpable", "its memory can be read by others of its account")    \
    X(CAPABILITIES, 13, "capabilities", "capabilities are kept")

enum ps_wall {
#define X(name, bit, word, missing) PS_WALL_##name = 1u << (bit),
    PS_WALLS(X)
#undef X
};

/* Walls that come from namespaces of the zygote. */
#define PS_WALLS_SPACE \
    (PS_WALL_USER_NS | PS_WALL_MOUNT_NS | PS_WALL_NET_NS | PS_WALL_IPC_NS | PS_WALL_UTS_NS | PS_WALL_PID_NS)
#define PS_WALLS_ALL ((1u << 14) - 1)

#define PS_LANDLOCK_FULL \
    6 /* the ABI that has all we ask of Landlock: files, TCP, abstract sockets, signals */

/* 0 and the wall of a word; PS_ERR_NOTFOUND. */
int ps_wall_find(const char *word, uint32_t *ret_wall);
/* The word of a wall; "?" for a stranger. Static. */
const char *ps_wall_word(uint32_t wall);

#define PS_WALLS_WORDS_MAX 1024

/* Writes "full" or "weaker: no pid namespace, Landlock ABI 2 of 6, ..." into buf and returns it. have: walls that
 * stand; landlock_abi: in use; own_account: engines run under an account of their own. */
const char *ps_walls_words(char buf[PS_WALLS_WORDS_MAX], uint32_t have, int landlock_abi, bool own_account);

#endif
