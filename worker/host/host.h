/* worker/host/host.h: an engine host as the worker session sees it: one zygote (phagescan-enginehost) that
 * has loaded one engine, and the jailed children that it forks, one per slot.
 *
 * A host belongs to one thread, has no thread of its own and never blocks, but for ps_host_start and
 * ps_host_free (milliseconds). Start it from a thread that lives as long as the host does: the kernel kills
 * the zygote when the thread that started it ends.
 *
 *   ps_host_start (&host, &conf, now, &err);
 *   poll ps_host_fd (host) for reading, at most until ps_host_due_ms (host); then
 *   while (ps_host_step (host, now, &event) == 1)
 *       switch (event.kind) { ... }
 *
 * A job's life: ps_host_run -> (child forked when the slot has none) -> HAVE (its run time starts; from now
 * on the lease is "running") -> RESULT. Exactly one RESULT comes for each ps_host_run that returned 0,
 * whatever the child, the zygote or the kernel do; after ps_host_kill too. The slot is free from RESULT on.
 *
 * Deadlines are this library's: run_ms from HAVE, then the child and all that it started is killed and the
 * outcome is timeout. The result comes when the child is really gone. The session watches no clock but
 * ps_host_due_ms. A session that was stopped itself for a second or more puts them off by as long, at most by
 * PS_HOST_START_MS: what the child has answered meanwhile counts.
 *
 * What a child says is hostile: packets that are malformed, too many, too long, out of order, for another job
 * or with an outcome that the engine's kind can't have end it as a failure. The worst finding wins and names
 * the result. A malicious or suspicious finding stands even when the child then crashed or ran out of time
 * (the reason says so); any other finding does not save it from failure or timeout.
 *
 * A child that was killed by SIGKILL from outside (an operator, the OOM killer) while it had a job is
 * replaced and the job run once more, at most PS_HOST_RERUNS times; HAVE is not repeated.
 *
 * One struct ps_host is one zygote's life. Restarting (with backoff: three deaths in 60 s take the engine to
 * unavailable), and a second host beside the first for new definitions, are the session's: several hosts may
 * exist for one engine at once. */
#ifndef PS_WORKER_HOST_H
#define PS_WORKER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/outcome.h"
#include "proto/limits.h"

struct ps_host;
struct ps_host_file; /* worker/host/files.h */
struct ps_launcher;  /* worker/host/launcher.h */

#define PS_HOST_SLOTS_MAX    64     /* slots of a host */
#define PS_HOST_RUN_MS       60000  /* run time when neither job nor engine says */
#define PS_HOST_LOAD_MS      300000 /* default time for load, warm-up and self-test */
#define PS_HOST_START_MS     10000  /* from spawn to a jailed child, and from JOB to HAVE; then: failure */
#define PS_HOST_EXIT_MS      5000   /* from a kill to EXITED; then the zygote is killed */
#define PS_HOST_STARTS       3      /* children tried for a job before it fails for want of one */
#define PS_HOST_RERUNS       1      /* times a job is run again after SIGKILL from outside */
#define PS_HOST_FINDINGS_MAX 64     /* findings of a scan; more are dropped: incomplete */
#define PS_HOST_TRAITS_N_MAX 1024   /* traits of a scan; more are dropped: incomplete */
#define PS_HOST_PACKETS_MAX  4096   /* packets of a scan; more: killed, failure */
#define PS_HOST_SETTINGS_MAX 64     /* key=value settings, and further options each */

struct ps_host_conf {
    const char *program;    /* path of phagescan-enginehost */
    const char *engine;     /* name: [a-z0-9_-] */
    const char *plugin;     /* path of the plug-in, NAME.so */
    const char *signatures; /* directory of its signatures; NULL for none */
    const char *data;       /* directory of read-only files shipped with it; NULL for none */
    const char *file;       /* for an adapter: what describes the engine; NULL for none */
    const char *tmp;        /* writable directory; the host makes and removes one of its own below. Clear it
                               (ps_file_remove_tree) once when the worker starts, not while hosts live.
                               With a launcher: ignored, the launcher has its own */
    const char
        *files; /* writable directory for derived files that are many; lent for the host's life; NULL: they
                          stay in memory */
    const char *const *settings; /* "key=value", settings_n of them: an operator's settings for the engine */
    size_t settings_n;
    const char *const
        *options; /* further options of the enginehost ("--landlock-abi=2"), options_n of them */
    size_t options_n;
    unsigned slots;               /* slots 0 .. slots - 1; 1 to PS_HOST_SLOTS_MAX */
    uint32_t load_ms;             /* 0: PS_HOST_LOAD_MS */
    struct ps_launcher *launcher; /* started as root: who starts the zygote; NULL: this process itself */
};

/* What the engine is. Texts are the host's, valid until it is freed. */
struct ps_host_info {
    const char *engine;
    enum ps_engine_kind_no kind;
    const char *version;
    const char *definitions; /* "" when it has none */
    const char *origin;      /* test, site, official, "" */
    uint64_t signatures;
    uint64_t age_s;          /* of the definitions; 0 unknown */
    uint32_t run_ms;         /* how long one scan may take by the engine's word; 0 for the default */
    uint32_t at_once;        /* scans at once on this machine; 0 for any number */
    uint32_t licence_scans;  /* scans at once in the fleet; 0 for any number */
    uint32_t left_out;       /* files of definitions that could not be used */
    uint64_t licence_left_s; /* until the licence ends, from LOADED on; 0 for no end or unknown */
    const char *types;       /* comma-separated globs; "" for all */
    const char *note;
    const char *walls; /* full, or weaker and which are missing */
    pid_t pid;         /* the zygote as the launcher or we started it, for logs */
};

struct ps_host_job {
    uint64_t job;          /* the caller's number for it, comes back in the result */
    const uint8_t *sha256; /* 32 bytes */
    uint64_t size;         /* bytes */
    const char *type;      /* MIME type when known; NULL or "" when not */
    uint32_t run_ms;       /* 0: the engine's own, or PS_HOST_RUN_MS */
    int fd; /* the sample: sealed memfd or unlinked cache file. Borrowed: the host opens it anew
               through /proc/self/fd, read-only, so that each job has its own file offset */
};

/* One finished job. Lent: valid until the next ps_host_step, ps_host_run or ps_host_free. */
struct ps_host_result {
    uint64_t job;
    enum ps_outcome outcome;
    bool counted;   /* false only for undetected where silence says nothing (test set, no rules) */
    bool crashed;   /* the child died by itself, for the poison ledger (with outcome failure, or a hit) */
    bool timed_out; /* it was killed at its deadline, likewise */
    bool
        lost; /* not the sample's doing (no child could be started, the zygote died): failure, worth another run */
    const char *label;                /* of the worst finding; "" */
    const char *reason;               /* why it is not a plain answer; "" */
    const char *type;                 /* MIME type, from the type engine; "" */
    const char *traits;               /* a JSON object as text, at most PS_TRAITS_MAX bytes; "" for none */
    size_t traits_len;                /* bytes of it */
    const struct ps_host_file *files; /* that were derived, files_n of them, in the order of their reports */
    size_t files_n;
    int files_fd;      /* their bytes: borrowed, duplicate it to keep them; -1 when there are none */
    uint64_t run_us;   /* from the child having the sample to the end */
    uint64_t cpu_us;   /* processor time */
    uint64_t peak_kib; /* peak resident memory of the child's life; 0 while it lives on */
};

enum ps_host_event_kind {
    PS_HOST_LOADED = 1, /* jobs can be run: ps_host_info */
    PS_HOST_FAILED,     /* the engine can't be offered: text. GONE follows */
    PS_HOST_READY,      /* slot has a jailed child (pid) */
    PS_HOST_HAVE,       /* slot's child has the sample (job): running */
    PS_HOST_RESULT,     /* slot's job is over: result */
    PS_HOST_EXITED,     /* slot's child is gone, whatever the cause: text. The next run forks another */
    PS_HOST_PROBED, /* the engine's probe was asked again: text says why it can't be used, "" when it can */
    PS_HOST_GONE,   /* the zygote is gone: text; every job has had its result. Only ps_host_free is left */
};

struct ps_host_event {
    enum ps_host_event_kind kind;
    unsigned slot;                       /* READY, HAVE, RESULT, EXITED */
    uint64_t job;                        /* HAVE, RESULT */
    pid_t pid;                           /* READY: the child's process id, for logs and tests */
    const char *text;                    /* FAILED, EXITED, GONE: a sentence; lent until the next step */
    const struct ps_host_result *result; /* RESULT */
};

/* Starts a zygote for conf (copied). Its LOADED or FAILED comes as an event. 0 with *ret_self; or a ps_err
 * with the story in reterr: nothing was started. */
int ps_host_start(struct ps_host **ret_self, const struct ps_host_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr);
/* Kills zygote and children at once, waits for the zygote's end, removes its directory. Running jobs get no
 * result any more. NULL is fine. */
void ps_host_free(struct ps_host **self_p);

/* One descriptor for the caller's poll: readable when ps_host_step may have something. */
int ps_host_fd(const struct ps_host *self);
/* Monotonic milliseconds at which ps_host_step must be called at the latest; UINT64_MAX for never. */
uint64_t ps_host_due_ms(const struct ps_host *self);
/* Takes the next event: 1 with *ret_event, 0 when there is none now. Does a bounded piece of work: call it
 * until it returns 0. */
int ps_host_step(struct ps_host *self, uint64_t now_ms, struct ps_host_event *ret_event);

/* NULL before LOADED. */
const struct ps_host_info *ps_host_info(const struct ps_host *self);

/* Forks the child of slot ahead of need; READY follows. Does nothing when there is one. 0, PS_ERR_INVALID (no
 * such slot), PS_ERR_UNAVAILABLE (not loaded, failed, gone). */
int ps_host_spawn(struct ps_host *self, unsigned slot, uint64_t now_ms);
/* Has the engine's probe asked again; PROBED follows, unless the host is not loaded, is about to end, or asks already. */
void ps_host_probe(struct ps_host *self, uint64_t now_ms);
/* Runs job in slot. 0; PS_ERR_BUSY when the slot has a job; PS_ERR_INVALID; PS_ERR_UNAVAILABLE; PS_ERR_IO
 * when the sample can't be opened anew. */
int ps_host_run(struct ps_host *self, unsigned slot, const struct ps_host_job *job, uint64_t now_ms);
/* Kills the child of slot and all that it started. A job that it had ends as cancelled, with why as its
 * reason. Does nothing when the slot is empty. */
void ps_host_kill(struct ps_host *self, unsigned slot, const char *why, uint64_t now_ms);
/* True when slot has no job and the host can take one. */
bool ps_host_idle(const struct ps_host *self, unsigned slot);

#endif
