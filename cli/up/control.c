#include "cli/up/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "cli/up/supervisor.h"

#define LINE_MAX_BYTES 65536
#define LOOK_MS        100 /* between looks for one that has just begun */

/* A supervisor that has just begun holds its lock before it listens: it may be making the database. */
static bool is_beginning(const struct ps_layout *layout)
{
    PS_FREE char *path = ps_strf("%s/" PS_UP_LOCK, layout->state);
    PS_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int connect_to(const struct ps_layout *layout, time_t patience_s, int *ret_fd, struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/up.sock", layout->run);
    uint64_t end_ms = ps_clock_mono_ms() + (uint64_t)patience_s * 1000;

    if (!path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    for (;;) {
        if (ps_sock_connect_unix(path, ret_fd) == 0)
            return 0;
        if (access(path, F_OK) == 0 && access(path, W_OK) < 0)
            return ps_error_set(reterr, PS_ERR_DENIED, "%s is open to root and the group phagescan: use sudo",
                                path);
        if (!is_beginning(layout))
            return ps_error_set(reterr, PS_ERR_UNAVAILABLE,
                                "it is not running here: `phagescan up` starts it");
        if (ps_clock_mono_ms() >= end_ms)
            return ps_error_set(reterr, PS_ERR_BUSY, "it has just begun, and makes its database: try again");
        (void)poll(NULL, 0, LOOK_MS); /* a pause */
    }
}

/* Sends word and opens the answer as a stream of lines, each at most silence_s after the one before. */
static int ask(const struct ps_layout *layout, const char *word, bool patient, time_t silence_s,
               FILE **ret_stream, struct ps_error *reterr)
{
    const struct timeval silence = {.tv_sec = silence_s};
    PS_CLOSE int fd = -1;
    int r = connect_to(layout, patient ? silence_s : 0, &fd, reterr);

    if (r)
        return r;
    FILE *stream = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) == 0 &&
                           ps_file_write_all(fd, word, strlen(word)) == 0
                       ? fdopen(fd, "r")
                       : NULL;
    if (!stream)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "the supervisor has just ended");
    (void)PS_TAKE_FD(fd);
    *ret_stream = stream;
    return 0;
}

/* The next state. PS_ERR_CLOSED at the end of the stream; PS_ERR_DENIED when the supervisor refuses. */
static int read_state(FILE *stream, json_t **ret_state, struct ps_error *reterr)
{
    static char line[LINE_MAX_BYTES];

    errno = 0;
    if (!fgets(line, sizeof(line), stream))
        return errno == EAGAIN ? ps_error_set(reterr, PS_ERR_TIMEOUT, "the supervisor does not answer")
                               : PS_ERR_CLOSED;
    json_t *state = json_loads(line, 0, NULL);
    const char *refused = json_string_value(json_object_get(state, "error"));
    int r = !state    ? ps_error_set(reterr, PS_ERR_PROTO, "the supervisor's answer can't be read")
            : refused ? ps_error_set(reterr, PS_ERR_DENIED, "%s", refused)
                      : 0;
    if (r)
        json_decref(state);
    else
        *ret_state = state;
    return r;
}

int ps_control_status(const struct ps_layout *layout, bool patient, json_t **ret_state,
                      struct ps_error *reterr)
{
    FILE *stream = NULL;
    int r = ask(layout, "status\n", patient, PS_CONTROL_STATUS_S, &stream, reterr);

    if (r)
        return r;
    r = read_state(stream, ret_state, reterr);
    (void)fclose(stream); /* read only */
    return r == PS_ERR_CLOSED ? ps_error_set(reterr, r, "the supervisor has just ended") : r;
}

int ps_control_stop(const struct ps_layout *layout, void (*told)(const json_t *state),
                    struct ps_error *reterr)
{
    FILE *stream = NULL;
    json_t *state = NULL;
    int r = ask(layout, "stop\n", true, PS_CONTROL_STOP_S, &stream, reterr);

    if (r)
        return r;
    while ((r = read_state(stream, &state, reterr)) == 0) {
        if (told)
            told(state);
        json_decref(state);
    }
    (void)fclose(stream);              /* read only */
    return r == PS_ERR_CLOSED ? 0 : r; /* the end of the stream is the end of the supervisor */
}
