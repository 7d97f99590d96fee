#include "worker/host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "worker/host/deadly.h"
#include "worker/host/packet.h"
#include "worker/host/report.h"

struct child {
    const struct ps_child_conf *conf;
    int sock;              /* the session */
    char tmpdir[PATH_MAX]; /* as the engine sees it */
    uint64_t scans;        /* done */
    uint64_t peak_bytes;   /* of memory at the start */
    uint8_t packet[PS_PACKET_MAX];
};

static uint64_t time_us(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

/* Of this process and of programs that it ran and waited for. */
static uint64_t cpu_us(void)
{
    struct timespec at = {0};
    struct rusage programs = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at); /* there since Linux 2.6 */
    (void)getrusage(RUSAGE_CHILDREN, &programs);        /* valid by construction */
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000 + time_us(&programs.ru_utime) +
           time_us(&programs.ru_stime);
}

static uint64_t peak_bytes(void)
{
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_SELF, &usage); /* valid by construction */
    return (uint64_t)usage.ru_maxrss * 1024;
}

static void reset_signals(void)
{
    sigset_t none;

    ps_deadly_signals();
    (void)signal(SIGXFSZ, SIG_IGN); /* a write over the limit fails with EFBIG instead */
    (void)sigemptyset(&none);       /* none of these can fail with valid signals */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int enter_engine(struct child *self, struct ps_error *reterr)
{
    const struct ps_plugin *plugin = self->conf->plugin;
    char said[PS_ERROR_TEXT_MAX] = "", clean[PS_ERROR_TEXT_MAX];

    if (!plugin->engine->enter || plugin->engine->enter(plugin->state, self->tmpdir, said, sizeof(said)) == 0)
        return 0;
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "enter of %s: %.400s", plugin->engine->name,
                        ps_text_clean(clean, sizeof(clean), said));
}

static int raise_walls(struct child *self, struct ps_child_status *ret_status)
{
    struct ps_error error = {0};
    pid_t pid = 0;
    int rc =
        ps_jail_room(self->conf->jail, self->conf->dir, self->tmpdir, sizeof(self->tmpdir), &pid, &error);

    if (!rc)
        rc = enter_engine(self, &error);
    if (!rc)
        rc = ps_jail_shut(self->conf->jail, self->tmpdir, &error);
    *ret_status = (struct ps_child_status){.ready = rc == 0, .pid = pid};
    ps_text_clean(ret_status->text, sizeof(ret_status->text), error.text);
    return rc;
}

/* The engine's word, unless it is none. */
static enum ps_found check_found(const struct ps_plugin *plugin, enum ps_found said, struct ps_report *report)
{
    bool judges = plugin->engine->kind == PS_ENGINE_EVILNESS;
    bool fits;

    switch (said) {
    case PS_FOUND_INCOMPLETE:
    case PS_FOUND_TYPE_UNSUPPORTED:
    case PS_FOUND_FAILURE:
        fits = true;
        break;
    case PS_FOUND_MALICIOUS:
    case PS_FOUND_SUSPICIOUS:
    case PS_FOUND_UNDETECTED:
    case PS_FOUND_HARMLESS:
        fits = judges;
        break;
    case PS_FOUND_DESCRIBED:
        fits = !judges;
        break;
    default:
        fits = false;
    }
    if (fits)
        return said;
    (void)snprintf(report->reason, sizeof(report->reason), "the engine answered %d, which its kind can't",
                   (int)said); /* fits */
    return PS_FOUND_FAILURE;
}

/* Something was dropped: an answer that sounds complete is not. Hits, and worse, stay what they are. */
static enum ps_found mark_cut(enum ps_found found, struct ps_report *report)
{
    bool sounds_complete =
        found == PS_FOUND_UNDETECTED || found == PS_FOUND_HARMLESS || found == PS_FOUND_DESCRIBED;

    if (!report->cut)
        return found;
    if (report->reason[0] == '\0')
        memcpy(report->reason, report->cut_reason, sizeof(report->reason));
    return sounds_complete ? PS_FOUND_INCOMPLETE : found;
}

static bool is_worn_out(const struct child *self)
{
    return self->scans >= self->conf->recycle || peak_bytes() > self->peak_bytes + self->conf->growth_bytes ||
           ps_jail_is_stale(self->conf->jail);
}

static bool copy_all(int to, int from, uint64_t size)
{
    off_t at = 0;
    ssize_t n = 1;

    while ((uint64_t)at < size && n > 0)
        n = sendfile(to, from, &at, (size_t)PS_MIN(size - (uint64_t)at, (uint64_t)1 << 30));
    return (uint64_t)at == size;
}

/* Programs open their sample by a name below /proc, which Landlock refuses for a file that lies on a disk somewhere (a
 * large sample). Such a one is copied into the temporary directory and unlinked there. Returns the descriptor to lend,
 * which is fd itself when it will do, or when there is no room for a copy: then programs say that they can't open it. */
static int lend_openable(const struct child *self, int fd, uint64_t size)
{
    char name[PATH_MAX + 16];
    PS_CLOSE int named = -1, again = -1, copy = -1;

    if (!self->conf->jail->granted)
        return fd;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd); /* fits */
    named = open(name, O_RDONLY | O_CLOEXEC);
    if (named >= 0)
        return fd;
    (void)snprintf(name, sizeof(name), "%s/sample", self->tmpdir); /* fits: tmpdir is at most PATH_MAX */
    copy = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    again = open(name, O_RDONLY | O_CLOEXEC);
    (void)unlink(name); /* gone already, or the directory is wiped anyway */
    if (copy < 0 || again < 0 || !copy_all(copy, fd, size))
        return fd;
    return PS_TAKE_FD(again);
}

static enum ps_found ask_engine(struct child *self, struct ps_engine_sample *sample, struct ps_report *report)
{
    const struct ps_plugin *plugin = self->conf->plugin;
    struct ps_engine_report table = ps_report_table(report);
    int fd = sample->fd;
    enum ps_found found;

    sample->fd = lend_openable(self, fd, sample->size);
    found = plugin->engine->scan(plugin->state, sample, &table);
    if (sample->fd != fd)
        (void)close(sample->fd); /* only read from */
    return mark_cut(check_found(plugin, found, report), report);
}

static enum ps_found scan(struct child *self, const struct ps_msg_H_JOB *job, int fd,
                          struct ps_report *report)
{
    struct ps_engine_report table = ps_report_table(report);
    char type[PS_NAME_MAX + 1];
    struct ps_engine_sample sample = {.fd = fd, .size = job->size, .sha256 = job->sha256, .type = type};
    struct stat st;

    ps_text_copy(type, sizeof(type), job->type);
    sample.tmpdir = self->tmpdir;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != job->size) {
        table.reason(table.host, "the descriptor is not a file of %llu bytes", (unsigned long long)job->size);
        return PS_FOUND_FAILURE;
    }
    return ask_engine(self, &sample, report);
}

/* Ends what a scan left running. False when somebody may be left. */
static bool sweep(const struct child *self)
{
    const struct ps_jail *jail = self->conf->jail;

    if (self->conf->plugin->engine->keeps_processes && (jail->walls & PS_WALL_PID_NS))
        return true; /* it did so itself, but for its own; what it missed goes with this child's namespace */
    return ps_jail_sweep(jail);
}

/* One job. 0, or a failure of the socket. *ret_last: this child is worn out. */
static int work(struct child *self, const struct ps_msg_H_JOB *job, int fd, bool *ret_last)
{
    uint64_t from_us = ps_clock_mono_us(), from_cpu_us = cpu_us();
    const struct ps_plugin *plugin = self->conf->plugin;
    struct ps_report report;
    enum ps_found found;
    uint64_t job_no = job->job;
    bool silent, last;
    int rc;

    ps_report_init(&report, self->sock, job_no);
    if ((rc = ps_packet_send(self->sock, PS_MSG(H_HAVE, .job = job_no), -1, 0)))
        return rc;
    found = scan(self, job, fd, &report);
    silent = found == PS_FOUND_UNDETECTED && !plugin->info.silence_counts;
    self->scans++;
    /* A directory that can't be emptied goes with this child. */
    last = !sweep(self);
    last = ps_file_remove_tree(self->tmpdir, false) != 0 || is_worn_out(self) || last;
    rc = report.error;
    if (!rc)
        rc = ps_packet_send(self->sock,
                            PS_MSG(H_DONE, .job = job_no, .outcome = (uint32_t)found, .counted = !silent,
                                   .reason = ps_bytes_of(report.reason), .type = ps_bytes_of(report.type),
                                   .run_us = ps_clock_mono_us() - from_us, .cpu_us = cpu_us() - from_cpu_us,
                                   .last = last),
                            -1, 0);
    *ret_last = last;
    return rc;
}

static int serve(struct child *self)
{
    bool last = false;

    while (!last) {
        PS_CLOSE int fd = -1;
        struct ps_msg msg;
        int rc = ps_packet_recv(self->sock, self->packet, &msg, &fd, 0);

        if (rc == PS_ERR_CLOSED)
            return PS_CHILD_DONE;
        if (rc || msg.id != PS_MSG_H_JOB || fd < 0)
            return PS_CHILD_CONFUSED;
        rc = work(self, &msg.H_JOB, fd, &last);
        if (rc)
            return rc == PS_ERR_CLOSED ? PS_CHILD_DONE : PS_CHILD_CONFUSED;
    }
    return PS_CHILD_DONE;
}

int ps_child_run(const struct ps_child_conf *conf, int sock, int status_fd)
{
    static struct child self; /* large, and one a process */
    struct ps_child_status status;
    int rc;

    self.conf = conf;
    self.sock = sock;
    reset_signals();
    if (conf->jail->trap)
        ps_filter_explain();
    rc = raise_walls(&self, &status);
    self.peak_bytes = peak_bytes();
    if (ps_file_write_all(status_fd, &status, sizeof(status)) || rc)
        return PS_CHILD_UNFIT;
    (void)close(status_fd); /* written: nothing to lose */
    return serve(&self);
}
