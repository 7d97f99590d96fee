/* worker/host/jail.h: how the children of one zygote are jailed: what is wanted, what this kernel gives, and the order
 * in which a child's walls go up. Engine host only.
 *
 *     zygote: ps_jail_init -> ps_jail_enter (namespaces) -> load the engine -> ps_jail_settle (what stands?)
 *     each child: ps_jail_fork -> ps_jail_room (directory) -> the engine's enter -> ps_jail_shut (the rest, for good)
 *
 * A wall that stood when the zygote settled stands in every child, or the child refuses to work. */
#ifndef PS_HOST_JAIL_H
#define PS_HOST_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "worker/host/filter.h"
#include "worker/host/granted.h"
#include "worker/host/space.h"
#include "worker/host/walls.h"

struct ps_jail_limits {
    uint64_t memory_bytes; /* private memory above the zygote's own */
    uint64_t tmp_bytes;    /* of temporary files: of all where there is a private root, else of each file */
    uint64_t tmp_inodes;   /* temporary files, with a private root */
    uint64_t cpu_s;        /* processor time of a child's whole life, a backstop behind the deadlines */
    uint64_t files;        /* open descriptors */
    uint64_t threads;      /* processes and threads of the zygote's user namespace together */
};

struct ps_jail {
    struct ps_jail_limits limits;
    uint32_t walls;             /* enum ps_wall: wanted at first, those that stand once settled */
    int landlock_abi;           /* in use; 0 without Landlock */
    bool probing;               /* in a throwaway child: note a refused wall instead of failing */
    bool trap;                  /* name refused system calls instead of killing for them */
    bool proc;                  /* in a child that runs programs: it has a /proc of its own */
    struct ps_granted *granted; /* owned; what programs reach; NULL: children run none */
    struct ps_space space;
    struct ps_filter filter; /* built once when children are process 1; else each child builds its own */
    uint64_t data_bytes;     /* the zygote's private data, bytes */
    uint64_t space_bytes;    /* the zygote's address space, bytes */
};

/* Without anything entered yet. off: walls not wanted; landlock_max: highest Landlock ABI to use. */
void ps_jail_init(struct ps_jail *self, const struct ps_jail_limits *limits, uint32_t off, int landlock_max,
                  bool trap);
void ps_jail_fini(struct ps_jail *self);
/* Moves the zygote into its namespaces; see ps_space_enter: the caller may stay behind for ever. */
int ps_jail_enter(struct ps_jail *self, struct ps_error *reterr);
/* Children run programs and reach what grants say; NULL changes nothing. update: with the grants for an update. Before
 * ps_jail_settle. 0 or a ps_err with a sentence, as ps_granted_read. */
int ps_jail_grant(struct ps_jail *self, const struct ps_engine_grants *grants, bool update,
                  struct ps_error *reterr);
/* With the engine loaded: builds the filter, takes the zygote's size, and tries all walls in a throwaway child that
 * uses directory dir, which it makes and removes. Afterwards walls says what stands. PS_ERR_DENIED when there is no
 * system call filter and that was not asked for: an engine would run unjailed. */
int ps_jail_settle(struct ps_jail *self, const char *dir, struct ps_error *reterr);

/* As fork. */
pid_t ps_jail_fork(const struct ps_jail *self);
/* In a child: it dies with the zygote, has no terminal, and its temporary directory is ready: dir (which the zygote has
 * made), or one of a private root mounted there. tmpdir: PATH of at least dir's size; the name it has now. *ret_pid:
 * the child's process id as the system's /proc has it. */
int ps_jail_room(struct ps_jail *self, const char *dir, char *tmpdir, size_t tmpdir_max, pid_t *ret_pid,
                 struct ps_error *reterr);
/* In a child: all other walls, for good. */
int ps_jail_shut(struct ps_jail *self, const char *tmpdir, struct ps_error *reterr);
/* In a child between scans: ends what programs have left running. True when nothing of them is left; else this child has
 * to end, and the zygote cleans up behind it. */
bool ps_jail_sweep(const struct ps_jail *self);
/* In a child: a granted socket was replaced by another of the same name since the root was made: this child has to end,
 * for it can't see the new one. */
bool ps_jail_is_stale(const struct ps_jail *self);

#endif
