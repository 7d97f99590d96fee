#include "broker/daemon/guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/daemon/zap.h"

#define WATCHED                                                                                          \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
     IN_MOVE_SELF | IN_ONLYDIR)

struct ps_guard {
    struct ps_guard_config config;
    struct ps_cert own;         /* ours; secret_key "": no CURVE */
    struct ps_allowed *allowed; /* NULL without CURVE */
    struct ps_zap *zap;
    char *directory;
    int watch_fd;

    struct ps_allowed_key last;    /* who was identified last */
    atomic_uint_fast64_t denied_n; /* messages dropped at all doors, whatever was wrong with their key */
    uint64_t dropped_n;            /* messages of keys that are not allowed any more */
    uint64_t told_n;               /* of them, logged */
    char dropped_key[PS_KEY_TEXT]; /* the last of these keys */
};

static void on_gone(void *ctx, const struct ps_allowed_key *key)
{
    struct ps_guard *self = ctx;

    ps_log(PS_LOG_WARN, "key-gone", "name=%s", PS_LOGQ(key->name));
    self->config.on_gone(self->config.ctx, key->who);
}

/* A directory that was put away and made anew is another one: so the watch is set at every load. */
static void watch(struct ps_guard *self)
{
    if (inotify_add_watch(self->watch_fd, self->directory, WATCHED) < 0)
        ps_log(PS_LOG_WARN, "keys-unwatched", "directory=%s why=%s detail=%s", PS_LOGQ(self->directory),
               PS_LOGQ(strerror(errno)), PS_LOGQ("SIGHUP reads it again"));
}

static int load(struct ps_guard *self, struct ps_error *reterr)
{
    watch(self); /* before reading, so that nothing is missed in between */
    return ps_allowed_load(self->allowed, on_gone, self, reterr);
}

static int open_door(struct ps_guard *self, const struct ps_broker_settings *settings,
                     struct ps_error *reterr)
{
    int r = ps_cert_read_own(&self->own, settings->key, reterr);

    if (r)
        return r;
    self->directory = ps_strf("%s", settings->allowed);
    if (!self->directory || ps_allowed_new(&self->allowed, settings->allowed))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (self->watch_fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "inotify: %s", strerror(errno));
    r = load(self, reterr);
    return r ? r : ps_zap_new(&self->zap, self->config.context, self->allowed, reterr);
}

int ps_guard_new(struct ps_guard **ret_self, const struct ps_guard_config *config, struct ps_error *reterr)
{
    struct ps_guard *self = PS_NEW(struct ps_guard);
    int r = 0;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->config = *config;
    self->watch_fd = -1;
    if ((config->settings->listen_tcp.n || config->settings->mdp_listen_tcp.n) && config->settings->key)
        r = open_door(self, config->settings, reterr);
    self->config.settings = NULL;
    if (r)
        ps_guard_free(&self);
    else
        *ret_self = self;
    return r;
}

void ps_guard_free(struct ps_guard **self_p)
{
    struct ps_guard *self = *self_p;

    if (!self)
        return;
    ps_zap_free(&self->zap);
    ps_allowed_free(&self->allowed);
    ps_close_fd_p(&self->watch_fd);
    ps_cert_fini(&self->own);
    free(self->directory);
    free(self);
    *self_p = NULL;
}

struct ps_allowed *ps_guard_allowed(const struct ps_guard *self)
{
    return self->allowed;
}

const char *ps_guard_secret(const struct ps_guard *self)
{
    return self->own.secret_key[0] ? self->own.secret_key : NULL;
}

int ps_guard_fd(const struct ps_guard *self)
{
    return self->watch_fd;
}

/* What has changed does not matter: all of it is read. */
static void drain_watch(const struct ps_guard *self)
{
    char events[4096];

    while (read(self->watch_fd, events, sizeof(events)) > 0)
        ;
}

void ps_guard_reload(struct ps_guard *self)
{
    struct ps_error error = {0};

    if (!self->allowed)
        return;
    drain_watch(self);
    if (load(self, &error))
        ps_log(PS_LOG_ERROR, "keys-unread", "why=%s detail=%s", PS_LOGQ(error.text),
               PS_LOGQ("those that were read before still hold"));
}

static void drop(struct ps_guard *self, const char *user)
{
    ps_guard_deny(self, 1);
    self->dropped_n++;
    (void)snprintf(self->dropped_key, sizeof(self->dropped_key), "%s", user); /* a key fits */
    if (self->dropped_n == 1)
        ps_guard_tell(self); /* the first at once */
}

bool ps_guard_identify(struct ps_guard *self, const char *user, uint32_t *ret_who)
{
    self->last = (struct ps_allowed_key){.who = PS_GUARD_NOBODY};
    if (self->allowed && user && !ps_allowed_find(self->allowed, user, &self->last)) {
        drop(self, user);
        return false;
    }
    *ret_who = self->last.who;
    return true;
}

bool ps_guard_may(struct ps_guard *self, uint32_t who, uint32_t role)
{
    char roles[PS_CERT_ROLES_MAX];

    if (who == PS_GUARD_NOBODY || role >= 32 ||
        (who == self->last.who && (self->last.roles & PS_CERT_ROLE(role))))
        return true; /* a role that is none is for the core to refuse */
    ps_guard_deny(self, 1);
    ps_log(PS_LOG_WARN, "role-refused", "name=%s roles=%s wanted=%s", PS_LOGQ(self->last.name),
           ps_cert_roles_text(roles, self->last.roles), role == PS_ROLE_MASTER ? "master" : "worker");
    return false;
}

void ps_guard_deny(struct ps_guard *self, uint64_t n)
{
    atomic_fetch_add_explicit(&self->denied_n, n, memory_order_relaxed);
}

uint64_t ps_guard_denied(const struct ps_guard *self)
{
    return atomic_load_explicit(&self->denied_n, memory_order_relaxed);
}

void ps_guard_tell(struct ps_guard *self)
{
    if (self->dropped_n == self->told_n)
        return;
    ps_log(PS_LOG_WARN, "key-dropped", "messages=%llu total=%llu key=%s",
           (unsigned long long)(self->dropped_n - self->told_n), (unsigned long long)self->dropped_n,
           PS_LOGQ(self->dropped_key));
    self->told_n = self->dropped_n;
}
