#include "cli/up/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"

#define LINE_MAX_BYTES 65536

/* Sends word and opens the answer as a stream of lines. */
static int ask(const struct ps_layout *layout, const char *word, FILE **ret_stream, struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/up.sock", layout->run);
    PS_CLOSE int fd = -1;

    if (!path || ps_sock_connect_unix(path, &fd) != 0 || ps_file_write_all(fd, word, strlen(word)) != 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "it is not running here: `phagescan up` starts it");
    FILE *stream = fdopen(fd, "r");
    if (!stream)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    (void)PS_TAKE_FD(fd);
    *ret_stream = stream;
    return 0;
}

static json_t *read_state(FILE *stream)
{
    static char line[LINE_MAX_BYTES];

    return fgets(line, sizeof(line), stream) ? json_loads(line, 0, NULL) : NULL;
}

int ps_control_status(const struct ps_layout *layout, json_t **ret_state, struct ps_error *reterr)
{
    FILE *stream = NULL;
    int r = ask(layout, "status\n", &stream, reterr);

    if (r)
        return r;
    json_t *state = read_state(stream);
    (void)fclose(stream);
    if (!state)
        return ps_error_set(reterr, PS_ERR_PROTO, "the supervisor did not answer");
    *ret_state = state;
    return 0;
}

int ps_control_stop(const struct ps_layout *layout, void (*told)(const json_t *state),
                    struct ps_error *reterr)
{
    FILE *stream = NULL;
    json_t *state;
    int r = ask(layout, "stop\n", &stream, reterr);

    if (r)
        return r;
    while ((state = read_state(stream)) != NULL) {
        if (told)
            told(state);
        json_decref(state);
    }
    (void)fclose(stream); /* the end of the stream is the end of the supervisor */
    return 0;
}
