#include "cli/up/desk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"

void ps_desk_init(struct ps_desk *self)
{
    *self = (struct ps_desk){.fd = -1};
    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++)
        self->clients[i].fd = -1;
}

int ps_desk_open(struct ps_desk *self, const char *run, gid_t group, struct ps_error *reterr)
{
    (void)snprintf(self->path, sizeof(self->path), "%s/up.sock", run); /* fits by its size */
    int r = ps_sock_listen_unix(self->path, group == (gid_t)-1 ? 0600 : 0660, &self->fd);

    if (r)
        return ps_error_set(reterr, r, "%s: %s", self->path, ps_err_text(r));
    if (group != (gid_t)-1 && lchown(self->path, (uid_t)-1, group) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s: chown: %s", self->path, strerror(errno));
    return 0;
}

static void drop(struct ps_desk_client *client)
{
    ps_close_fd_p(&client->fd);
    client->watches = false;
}

void ps_desk_close(struct ps_desk *self)
{
    if (self->fd >= 0)
        (void)unlink(self->path); /* gone already: as well */
    ps_close_fd_p(&self->fd);
    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++)
        drop(&self->clients[i]);
}

static void put_line(struct ps_desk_client *client, const json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;

    if (text)
        text[len] = '\n'; /* in place of the NUL: the length goes with it */
    /* A client that does not read its line is not waited for. */
    if (!text || send(client->fd, text, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len + 1)
        drop(client);
    free(text);
}

void ps_desk_watch(const struct ps_desk *self, struct pollfd *fds)
{
    *fds++ = (struct pollfd){.fd = self->fd, .events = POLLIN}; /* poll passes over -1 */
    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++)
        *fds++ = (struct pollfd){.fd = self->clients[i].fd, .events = POLLIN};
}

/* A free place, or that of the one that has said nothing for longest. */
static struct ps_desk_client *find_place(struct ps_desk *self)
{
    struct ps_desk_client *place = NULL;

    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++) {
        struct ps_desk_client *client = &self->clients[i];

        if (client->fd < 0)
            return client;
        if (!client->watches && (!place || client->since < place->since))
            place = client;
    }
    return place;
}

static void accept_client(struct ps_desk *self)
{
    int fd = accept4(self->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ps_desk_client *place = fd >= 0 ? find_place(self) : NULL;

    if (place) {
        drop(place);
        *place = (struct ps_desk_client){.fd = fd, .since = ++self->arrivals};
    } else if (fd >= 0) {
        (void)close(fd); /* all of them wait for the end: this one sees it, too */
    }
}

static bool may_stop(int fd)
{
    uid_t uid;
    gid_t gid;
    pid_t pid;

    return ps_sock_peer(fd, &uid, &gid, &pid) == 0 && (uid == 0 || uid == geteuid());
}

static void refuse(struct ps_desk_client *client)
{
    json_t *line = json_pack("{s:s}", "error", "only root, or who started it, may stop it");

    put_line(client, line);
    json_decref(line);
    drop(client);
}

static bool read_client(struct ps_desk_client *client, const json_t *state)
{
    char line[32] = "";
    ssize_t got = recv(client->fd, line, sizeof(line) - 1, MSG_DONTWAIT);
    bool stop = got > 0 && !strcmp(line, "stop\n");

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        drop(client);
        return false;
    }
    if (stop && !may_stop(client->fd)) {
        refuse(client);
        return false;
    }
    put_line(client, state);
    if (stop && client->fd >= 0)
        client->watches = true;
    else
        drop(client);
    return stop;
}

bool ps_desk_turn(struct ps_desk *self, const struct pollfd *fds, const json_t *state)
{
    bool stop = false;

    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++)
        if (fds[1 + i].revents && self->clients[i].fd == fds[1 + i].fd)
            stop = read_client(&self->clients[i], state) || stop;
    if (fds[0].revents)
        accept_client(self);
    return stop;
}

void ps_desk_tell(struct ps_desk *self, const json_t *state)
{
    for (size_t i = 0; i < PS_DESK_CLIENTS_MAX; i++)
        if (self->clients[i].watches)
            put_line(&self->clients[i], state);
}
