#include "master/web/linger.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/mem.h"
#include "master/web/server.h"

struct lingering {
    h2o_socket_t *sock;
    struct ps_lingers *all;
    h2o_timeout_entry_t end;
    struct lingering *prev, *next;
};

struct ps_lingers {
    struct ps_web *web;
    h2o_timeout_t time; /* PS_LINGER_MS */
    struct lingering *list;
    size_t n;
};

static void stop(struct lingering *self)
{
    struct ps_lingers *all = self->all;

    if (h2o_timeout_is_linked(&self->end))
        h2o_timeout_unlink(&self->end);
    DL_DELETE(all->list, self);
    all->n--;
    h2o_socket_close(self->sock);
    free(self);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    if (err)
        stop(sock->data); /* the client has ended too */
    else
        h2o_buffer_consume(&sock->input, sock->input->size);
}

static void on_end(h2o_timeout_entry_t *entry)
{
    stop(PS_CONTAINER_OF(entry, struct lingering, end));
}

void ps_linger(struct ps_lingers *self, int fd)
{
    struct lingering *linger = self && self->n < PS_LINGERS_MAX ? PS_NEW(struct lingering) : NULL;

    if (!linger) {
        (void)close(fd); /* it was a copy: nothing is lost by a failure */
        return;
    }
    (void)shutdown(fd, SHUT_WR); /* gone already: reading will tell */
    linger->all = self;
    linger->sock = h2o_evloop_socket_create(self->web->context.loop, fd, 0);
    linger->sock->data = linger;
    linger->end.cb = on_end;
    DL_APPEND(self->list, linger);
    self->n++;
    h2o_timeout_link(self->web->context.loop, &self->time, &linger->end);
    h2o_socket_read_start(linger->sock, on_read);
}

int ps_lingers_new(struct ps_lingers **ret_self, struct ps_web *web)
{
    struct ps_lingers *self = PS_NEW(struct ps_lingers);

    if (!self)
        return PS_ERR_NOMEM;
    self->web = web;
    h2o_timeout_init(web->context.loop, &self->time, PS_LINGER_MS);
    *ret_self = self;
    return 0;
}

void ps_lingers_free(struct ps_lingers **self_p)
{
    struct ps_lingers *self = PS_TAKE(*self_p);

    if (!self)
        return;
    while (self->list)
        stop(self->list);
    h2o_timeout_dispose(self->web->context.loop, &self->time);
    free(self);
}
