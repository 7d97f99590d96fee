#include "worker/host/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

/* The numbers are the same on every architecture; uapi/linux/landlock.h gives the rest. */
#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE       445
#define CALL_RESTRICT_SELF  446

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,     /* ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    NET_BIND_TCP = 1 << 0,  /* ABI 4 */
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_SOCKET = 1 << 0, /* ABI 6 */
    SCOPE_SIGNAL = 1 << 1,
};

/* What may be done below a directory that is written to. */
#define WRITABLE                                                                                            \
    ((uint64_t)(FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | \
                FS_MAKE_REG | FS_REFER | FS_TRUNCATE))

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scope;
};

struct beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

int ps_landlock_abi(void)
{
    long abi = syscall(CALL_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

    return abi > 0 ? (int)abi : 0;
}

static struct ruleset ruleset_for(int abi, size_t *ret_size)
{
    struct ruleset set = {.fs = FS_REFER - 1};

    *ret_size = sizeof(uint64_t);
    if (abi >= 2)
        set.fs |= FS_REFER;
    if (abi >= 3)
        set.fs |= FS_TRUNCATE;
    if (abi >= 4) {
        set.net = NET_BIND_TCP | NET_CONNECT_TCP;
        *ret_size = 2 * sizeof(uint64_t);
    }
    if (abi >= 5)
        set.fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        set.scope = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
        *ret_size = sizeof(set);
    }
    return set;
}

static int add_rule(int ruleset, const char *path, uint64_t allowed)
{
    PS_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct beneath rule = {.allowed = allowed, .parent = fd};

    return fd < 0 || syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0
               ? ps_err_from_errno(errno)
               : 0;
}

/* A socket needs no right: which of them can be named is up to the root directory. */
static int add_granted(int ruleset, const struct ps_granted_path *granted, uint64_t known)
{
    const uint64_t file_rights = FS_WRITE_FILE | FS_READ_FILE | FS_EXECUTE | FS_TRUNCATE;
    uint64_t allowed = 0;

    if (granted->use & PS_GRANTED_READ)
        allowed |= FS_READ_FILE | FS_READ_DIR;
    if (granted->use & PS_GRANTED_EXECUTE)
        allowed |= FS_EXECUTE;
    if (granted->use & PS_GRANTED_DEVICE)
        allowed |= granted->use & PS_GRANTED_WRITE ? FS_WRITE_FILE | FS_TRUNCATE : 0;
    else if (granted->use & PS_GRANTED_WRITE)
        allowed |= WRITABLE;
    if (!granted->is_dir)
        allowed &= file_rights;
    allowed &= known;
    return allowed ? add_rule(ruleset, granted->path, allowed) : 0;
}

int ps_landlock_enter(int abi, const char *tmpdir, const struct ps_granted *granted, bool proc)
{
    size_t size;
    struct ruleset set = ruleset_for(abi, &size);
    PS_CLOSE int ruleset = -1;
    int rc;

    if (granted && granted->network) /* an update that was given the network: other walls name it */
        set.net = 0;
    ruleset = (int)syscall(CALL_CREATE_RULESET, &set, size, 0);
    if (ruleset < 0)
        return ps_err_from_errno(errno);
    rc = add_rule(ruleset, tmpdir, WRITABLE & set.fs);
    for (size_t i = 0; granted && i < granted->n && !rc; i++)
        rc = add_granted(ruleset, &granted->at[i], set.fs);
    if (!rc && proc)
        rc = add_rule(ruleset, "/proc", FS_READ_FILE | FS_READ_DIR);
    if (!rc && syscall(CALL_RESTRICT_SELF, ruleset, 0) < 0)
        rc = ps_err_from_errno(errno);
    return rc;
}
