#include "master/web/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "master/web/linger.h"
#include "master/web/server.h"

#define CONN_MAGIC  0x50574343u
#define ACCEPTS_MAX 32 /* new connections in one turn of the loop */
#define PORTS_TRIED 20

struct ps_conn *ps_conn_of(const h2o_req_t *req)
{
    struct ps_conn *self = req->conn->callbacks->get_socket(req->conn)->on_close.data;

    PS_CHECK_MAGIC(self, CONN_MAGIC);
    return self;
}

void ps_conn_linger(const h2o_req_t *req)
{
    struct ps_conn *self = ps_conn_of(req);

    if (self->linger_fd < 0) /* without a descriptor it just closes */
        self->linger_fd = fcntl(h2o_socket_get_fd(self->sock), F_DUPFD_CLOEXEC, 3);
}

static void on_close(void *data)
{
    struct ps_conn *self = data;

    PS_CHECK_MAGIC(self, CONN_MAGIC);
    DL_DELETE(self->web->conns, self);
    self->web->conns_n[self->local]--;
    if (self->linger_fd >= 0)
        ps_linger(self->web->lingers, self->linger_fd);
    self->magic = 0;
    free(self);
}

/* Local programs have places of their own: a flood over TCP does not lock them out. */
static void take(struct ps_web *web, h2o_socket_t *sock, bool local)
{
    struct ps_conn *self = NULL;
    gid_t gid;

    if (web->conns_n[local] < PS_WEB_CONNS_MAX)
        self = PS_NEW(struct ps_conn);
    if (self && local && ps_sock_peer(h2o_socket_get_fd(sock), &self->uid, &gid, &self->pid) != 0) {
        free(self);
        self = NULL;
    }
    if (!self) {
        web->refused++;
        h2o_socket_close(sock);
        return;
    }
    self->magic = CONN_MAGIC;
    self->web = web;
    self->sock = sock;
    self->local = local;
    self->linger_fd = -1;
    DL_APPEND(web->conns, self);
    web->conns_n[local]++;
    web->accepted++;
    sock->on_close.cb = on_close;
    sock->on_close.data = self;
    h2o_accept(&web->accept, sock);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct ps_web *web = listener->data;
    h2o_socket_t *sock;

    for (int i = 0; !err && i < ACCEPTS_MAX && (sock = h2o_evloop_socket_accept(listener)) != NULL; i++)
        take(web, sock, listener == web->listeners[1]);
}

static int watch(struct ps_web *web, int which, int fd, struct ps_error *reterr)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(web->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);

    if (!sock)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    sock->data = web;
    web->listeners[which] = sock;
    h2o_socket_read_start(sock, on_accept);
    return 0;
}

static int listen_tcp(struct ps_web *web, struct ps_error *reterr)
{
    const struct ps_web_settings *settings = &web->settings;
    int tries = settings->port == 0 || settings->port_fixed ? 1 : PORTS_TRIED;
    int fd = -1, r = PS_ERR_CONFLICT;

    for (int i = 0; i < tries && r == PS_ERR_CONFLICT && settings->port + i <= UINT16_MAX; i++)
        r = ps_sock_listen_tcp(settings->host, (uint16_t)(settings->port + i), &fd, &web->port);
    if (r == PS_ERR_CONFLICT && settings->port_fixed)
        return ps_error_set(reterr, r, "port %u of %s is busy: --port chooses another one", settings->port,
                            settings->host);
    if (r)
        return ps_error_set(reterr, r, "no port from %u on can be had at %s: %s", settings->port,
                            settings->host, ps_err_text(r));
    return watch(web, 0, fd, reterr);
}

/* As root the socket belongs to the group phagescan: its members are the local user. */
static int give_to_group(const char *path, struct ps_error *reterr)
{
    const struct group *group = geteuid() == 0 ? getgrnam("phagescan") : NULL;

    if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s: chown: %s", path, strerror(errno));
    return 0;
}

static int listen_unix(struct ps_web *web, struct ps_error *reterr)
{
    const char *path = web->settings.api_sock;
    int fd = -1;
    int r = ps_sock_listen_unix(path, 0660, &fd);

    if (r == PS_ERR_CONFLICT)
        return ps_error_set(reterr, r, "%s: another master answers there", path);
    if (r)
        return ps_error_set(reterr, r, "%s: %s", path, ps_err_text(r));
    r = give_to_group(path, reterr);
    if (r) {
        (void)close(fd); /* nobody can have connected to any effect */
        return r;
    }
    return watch(web, 1, fd, reterr);
}

int ps_conn_listen(struct ps_web *web, struct ps_error *reterr)
{
    int r = listen_tcp(web, reterr);

    return r ? r : listen_unix(web, reterr);
}

void ps_conn_unlisten(struct ps_web *web)
{
    if (web->listeners[1])
        (void)unlink(web->settings.api_sock); /* gone already: as well */
    for (size_t i = 0; i < PS_ARRAY_N(web->listeners); i++) {
        if (web->listeners[i])
            h2o_socket_close(web->listeners[i]);
        web->listeners[i] = NULL;
    }
}

void ps_conn_finish_all(struct ps_web *web)
{
    struct ps_conn *conn;

    DL_FOREACH (web->conns, conn)
        (void)shutdown(h2o_socket_get_fd(conn->sock), SHUT_RD); /* h2o closes it when it reads the end */
}
