/* worker/host/host_in.h: the inside of a struct ps_host, shared by host.c (the zygote's life, the session's calls) and
 * slot.c (a child's life). Nobody else includes it. */
#ifndef PS_HOST_IN_H
#define PS_HOST_IN_H

#include "worker/host/host.h"
#include "worker/host/packet.h"
#include "worker/host/result.h"

#define PS_HOST_MAGIC 0x686f7374u
#define PS_NEVER      UINT64_MAX
#define PS_LATE_MS    1000 /* a deadline found this much later than it passed: it was us who slept */

enum slot_state {
    SLOT_EMPTY,    /* no child */
    SLOT_SPAWNING, /* a child was asked for */
    SLOT_IDLE,     /* a jailed child waits */
    SLOT_SENT,     /* it was sent a job */
    SLOT_RUNNING,  /* it has the job's sample */
    SLOT_LEAVING,  /* it answered and will exit (worn out) */
    SLOT_DYING,    /* it was told to die, or its socket has ended: EXITED must come */
};

struct slot {
    enum slot_state state;
    int sock;          /* to the child; -1 without */
    pid_t pid;         /* of the child, for people; 0 without */
    uint64_t due_ms;   /* when patience with this state ends; PS_NEVER */
    bool extended;     /* due_ms was put off because we were late ourselves */
    unsigned kills;    /* H_KILLs sent to this child */
    uint64_t cpu_us;   /* that this child has reported for jobs it finished */
    bool has_job;      /* run was called, no result yet */
    bool sent;         /* ... and its child has been sent it */
    bool had_have;     /* ... and the session was told HAVE */
    bool running;      /* ... and the child of now has said HAVE */
    enum ps_fate fate; /* why the child is being killed, for its job; PS_FATE_DONE when we do not */
    uint64_t job;      /* the job, and what it needs: */
    uint8_t sha256[32];
    uint64_t size; /* bytes */
    uint32_t run_ms;
    int sample;                     /* own file description; -1 without a job */
    unsigned starts, reruns;        /* children tried for it, runs after SIGKILL */
    uint64_t sent_us;               /* JOB, monotonic */
    uint64_t from_us;               /* HAVE, monotonic */
    struct ps_collect *collect;     /* owned; what the job has brought */
    struct ps_host_result *result;  /* lent by collect, from the end of the job on */
    bool ready, have, done, exited; /* events not yet taken by the session */
    char type[PS_NAME_MAX + 1];
    char why[PS_TEXT_MAX];  /* with fate: a sentence */
    char text[PS_TEXT_MAX]; /* of the EXITED event */
};

enum host_state { HOST_LOADING, HOST_LOADED, HOST_ENDING, HOST_GONE };

struct ps_host {
    uint32_t magic;
    enum host_state state;
    struct ps_launcher *launcher; /* borrowed; NULL without */
    uint32_t instance;            /* the launcher's number for this zygote */
    pid_t pid;       /* of the process that was started, for people; ours to wait for without launcher */
    int pidfd;       /* readable when it has ended; -1 once it was waited for */
    int control;     /* to the zygote; -1 once ended */
    int epoll;       /* of control, pidfd and the children's sockets */
    uint64_t due_ms; /* when patience with this state ends */
    bool extended;   /* as in slot */
    bool loaded, failed, gone; /* events not yet taken */
    bool probed;               /* likewise */
    bool told_failed;          /* FAILED was said: say it once */
    char *tmpdir;              /* owned; ours to remove; NULL with a launcher */
    unsigned slots_n;
    struct slot *slots; /* owned */
    struct ps_host_info info;
    char text[PS_TEXT_MAX];    /* of FAILED */
    char ended[PS_TEXT_MAX];   /* of GONE */
    char problem[PS_TEXT_MAX]; /* of PROBED */
    char engine[PS_NAME_MAX + 1], version[PS_VERSION_MAX + 1], definitions[PS_VERSION_MAX + 1];
    char origin[PS_NAME_MAX + 1], types[PS_TEXT_MAX + 1], note[PS_TEXT_MAX + 1], walls[PS_TEXT_MAX + 1];
    uint8_t packet[PS_PACKET_MAX]; /* the one being read */
};

/* slot.c */

/* A slot's storage for its life. 0 or PS_ERR_NOMEM. */
int slot_init(struct slot *slot, const char *files_dir);
void slot_fini(struct slot *slot);
/* Asks the zygote for a child; the job that waits, if any, gets a result when that can't be. */
void slot_spawn(struct ps_host *self, struct slot *slot, uint64_t now_ms);
/* Gives the waiting job to the idle child. */
void slot_send(struct ps_host *self, struct slot *slot, uint64_t now_ms);
/* Has the child killed; fate and why are those of its job. */
void slot_die(struct ps_host *self, struct slot *slot, enum ps_fate fate, const char *why, uint64_t now_ms);
/* Ends a job that no child was sent. */
void slot_cancel(struct slot *slot, const char *why);
/* Something came from the child: takes one packet. False when there was none. */
bool slot_input(struct ps_host *self, struct slot *slot, uint64_t now_ms);
/* Its patience ended. */
void slot_due(struct ps_host *self, struct slot *slot, uint64_t now_ms);
void slot_on_spawned(struct ps_host *self, struct slot *slot, pid_t pid, uint64_t now_ms);
void slot_on_exited(struct ps_host *self, struct slot *slot, const struct ps_msg_H_EXITED *msg,
                    uint64_t now_ms);
/* The zygote is gone, and the child with it. */
void slot_on_gone(struct ps_host *self, struct slot *slot, const char *why);

/* host.c */

/* Sends to the zygote; a zygote that takes nothing any more is killed. */
int host_tell(struct ps_host *self, const struct ps_msg *msg, int carried, uint64_t now_ms);
/* Kills the zygote: its end, and GONE, follow. */
void host_kill(struct ps_host *self, uint64_t now_ms);
int host_watch(struct ps_host *self, int fd, uint64_t key);

static inline unsigned slot_no(const struct ps_host *self, const struct slot *slot)
{
    return (unsigned)(slot - self->slots);
}

#endif
