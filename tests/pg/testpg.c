#include "tests/pg/testpg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/migrate.h"
#include "db/pg.h"

#define ARGS_MAX     32
#define START_MS     60000
#define MEMORY_BYTES (2ull << 30) /* free in /dev/shm, before a server goes there */
#define SMALL_PATH   100          /* a UNIX socket's path has about 108 bytes */

struct ps_testpg {
    char dir[SMALL_PATH]; /* everything of this server */
    char files[SMALL_PATH + 8];
    char data[SMALL_PATH + 8];
    char log[SMALL_PATH + 8];
    char conninfo[SMALL_PATH + 64];
    bool fsync;
    pid_t pid; /* the postmaster, our child; 0 while stopped */
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("testpg: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* The account that runs the server: NULL when it is the caller's own. */
static const struct passwd *server_user(void)
{
    const char *names[] = {getenv("PHAGESCAN_TEST_USER"), "postgres", "nobody"};

    if (geteuid() != 0)
        return NULL;
    for (size_t i = 0; i < PS_ARRAY_N(names); i++) {
        const struct passwd *user = names[i] ? getpwnam(names[i]) : NULL;

        if (user)
            return user;
    }
    die("no unprivileged user to run PostgreSQL");
}

/* A program of the server, from Debian's versioned directory or from PATH. */
static const char *program(char path[256], const char *name)
{
    for (int version = 20; version >= 13; version--) {
        (void)snprintf(path, 256, "/usr/lib/postgresql/%d/bin/%s", version,
                       name); /* 256 is more than enough */
        if (access(path, X_OK) == 0)
            return path;
    }
    (void)snprintf(path, 256, "%s", name);
    return path;
}

/* Starts argv (its first word a full path or in PATH) as the server's user, output to a file; returns the child. */
static pid_t spawn(const char *log, const char *const argv[])
{
    char ids[64];
    const char *full[ARGS_MAX];
    const struct passwd *user = server_user();
    size_t n = 0;
    pid_t pid;

    full[n++] = "setpriv";
    full[n++] = "--pdeathsig=QUIT"; /* the server does not outlive a test that crashes */
    if (user) {
        (void)snprintf(ids, sizeof(ids), "--reuid=%u", (unsigned)user->pw_uid);
        full[n++] = ids;
        full[n++] = "--clear-groups";
    }
    while (*argv && n < ARGS_MAX - 1)
        full[n++] = *argv++;
    full[n] = NULL;
    pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || setpgid(0, 0) != 0 || chdir("/") != 0)
            _exit(126);
        (void)unsetenv("ASAN_OPTIONS");                  /* not ours to give on */
        execvp(full[0], (char *const *)(uintptr_t)full); /* it does not write to them */
        _exit(127);
    }
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid: %s", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run(const char *log, const char *const argv[])
{
    int status = wait_for(spawn(log, argv));

    if (status)
        die("%s: status %d, see %s", argv[0], status, log);
}

static void give_to_server(const char *path)
{
    const struct passwd *user = server_user();

    if (user && chown(path, user->pw_uid, user->pw_gid) != 0)
        die("chown %s: %s", path, strerror(errno));
}

/* Where servers live. Without fsync in memory, where there is enough: on a busy disk even removing the files of a test
 * takes long. */
static const char *tmp_dir(bool fsync_on)
{
    const char *tmp = getenv("TMPDIR");
    struct statvfs fs;

    /* The server's user must be able to walk there, and a socket's path is short. */
    if (tmp && tmp[0])
        return strlen(tmp) < 50 ? tmp : "/tmp";
    if (!fsync_on && access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 &&
        (unsigned long long)fs.f_bavail * fs.f_frsize >= MEMORY_BYTES)
        return "/dev/shm";
    return "/tmp";
}

/* Directories of tests that died: their names begin with the process's id. */
static void remove_dead(const char *tmp)
{
    DIR *dir = opendir(tmp);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        char path[512];
        long pid = strncmp(entry->d_name, "ps-pg-", 6) == 0 ? strtol(entry->d_name + 6, NULL, 10) : 0;

        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", tmp, entry->d_name);
        (void)ps_file_remove_tree(path, true); /* another test may be doing the same */
    }
    if (dir)
        (void)closedir(dir); /* only read from */
}

/* A finished cluster to copy from, made once: initdb costs more than a second. The lock keeps tests that start at the
 * same time from making it twice; the rename makes it whole or absent. */
static void template_dir(const char *tmp, char ret_path[SMALL_PATH])
{
    char fresh[SMALL_PATH + 16], lock_path[SMALL_PATH + 16], log[SMALL_PATH + 16], initdb[256];
    int lock;

    (void)snprintf(ret_path, SMALL_PATH, "%s/ps-testpg-template-%u", tmp, (unsigned)geteuid());
    (void)snprintf(lock_path, sizeof(lock_path), "%s.lock", ret_path);
    (void)snprintf(log, sizeof(log), "%s.log", ret_path);
    (void)snprintf(fresh, sizeof(fresh), "%s.%d", ret_path, (int)getpid());
    lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        die("%s: %s", lock_path, strerror(errno));
    if (access(ret_path, F_OK) != 0) {
        const char *argv[] = {program(initdb, "initdb"),
                              "-D",
                              fresh,
                              "-A",
                              "trust",
                              "-U",
                              "phagescan",
                              "-E",
                              "UTF8",
                              "--no-sync",
                              "--locale=C.UTF-8",
                              NULL};

        if (mkdir(fresh, 0700) != 0)
            die("%s: %s", fresh, strerror(errno));
        give_to_server(fresh);
        run(log, argv);
        if (rename(fresh, ret_path) != 0)
            die("%s: %s", ret_path, strerror(errno));
    }
    (void)close(lock); /* releases the lock */
}

static bool answers(const struct ps_testpg *self)
{
    PGconn *conn = PQconnectdb(self->conninfo);
    bool ok = PQstatus(conn) == CONNECTION_OK;

    PQfinish(conn);
    return ok;
}

static void start(struct ps_testpg *self, const char *database)
{
    char postgres[256], socket_dir[SMALL_PATH + 32];
    uint64_t until_ms = ps_clock_mono_ms() + START_MS;
    const char *argv[] = {program(postgres, "postgres"),
                          "-D",
                          self->data,
                          "-h",
                          "",
                          "-k",
                          self->dir,
                          "-c",
                          self->fsync ? "fsync=on" : "fsync=off",
                          "-c",
                          "shared_buffers=128MB",
                          "-c",
                          "max_connections=60",
                          "-c",
                          self->fsync ? "max_wal_size=2GB" : "max_wal_size=256MB",
                          "-c",
                          "log_min_messages=warning",
                          NULL};

    (void)snprintf(self->conninfo, sizeof(self->conninfo), "host=%s user=phagescan dbname=%s", self->dir,
                   database);
    (void)snprintf(socket_dir, sizeof(socket_dir), "%s/.s.PGSQL.5432", self->dir);
    self->pid = spawn(self->log, argv);
    while (!answers(self)) {
        struct pollfd nothing = {.fd = -1};
        int status;

        if (waitpid(self->pid, &status, WNOHANG) == self->pid)
            die("the server ended, see %s", self->log);
        if (ps_clock_mono_ms() > until_ms)
            die("the server does not answer, see %s", self->log);
        (void)poll(&nothing, 1, 20); /* a pause between two tries: there is nothing to wait for */
    }
}

struct ps_testpg *ps_testpg_start(bool fsync_on)
{
    const char *tmp = tmp_dir(fsync_on);
    struct ps_testpg *self = PS_NEW(struct ps_testpg);
    char template[SMALL_PATH];
    const char *copy[] = {"cp", "-a", template, NULL, NULL};

    if (!self)
        die("out of memory");
    remove_dead(tmp);
    template_dir(tmp, template);
    self->fsync = fsync_on;
    (void)snprintf(self->dir, sizeof(self->dir), "%s/ps-pg-%d-XXXXXX", tmp, (int)getpid());
    if (!mkdtemp(self->dir) || chmod(self->dir, 0711) != 0)
        die("%s: %s", self->dir, strerror(errno));
    give_to_server(self->dir);
    (void)snprintf(self->data, sizeof(self->data), "%s/data", self->dir);
    (void)snprintf(self->log, sizeof(self->log), "%s/log", self->dir);
    (void)snprintf(self->files, sizeof(self->files), "%s/files", self->dir);
    if (mkdir(self->files, 0700) != 0)
        die("%s: %s", self->files, strerror(errno));
    copy[3] = self->data;
    run(self->log, copy);
    give_to_server(self->log);
    start(self, "postgres");
    ps_testpg_sql(self, "create database phagescan");
    (void)snprintf(self->conninfo, sizeof(self->conninfo), "host=%s user=phagescan dbname=phagescan",
                   self->dir);
    return self;
}

struct ps_testpg *ps_testpg_start_migrated(bool fsync_on)
{
    struct ps_testpg *self = ps_testpg_start(fsync_on);
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = NULL;
    struct ps_error error;

    if (ps_pg_new(&pg, self->conninfo, "testpg") != 0 || ps_migrate(pg, NULL, &error) != 0)
        die("migrations: %s", error.text);
    return self;
}

void ps_testpg_stop(struct ps_testpg *self)
{
    if (self->pid == 0)
        return;
    if (kill(self->pid, SIGQUIT) != 0)
        die("stopping the server: %s", strerror(errno));
    (void)wait_for(self->pid);
    self->pid = 0;
}

void ps_testpg_continue(struct ps_testpg *self)
{
    start(self, "phagescan");
}

void ps_testpg_free(struct ps_testpg **self_p)
{
    struct ps_testpg *self = *self_p;

    if (!self)
        return;
    ps_testpg_stop(self);
    (void)ps_file_remove_tree(self->dir, true); /* what stays behind lies in the temporary directory */
    free(self);
    *self_p = NULL;
}

const char *ps_testpg_conninfo(const struct ps_testpg *self)
{
    return self->conninfo;
}

const char *ps_testpg_dir(const struct ps_testpg *self)
{
    return self->files;
}

pid_t ps_testpg_pid(const struct ps_testpg *self)
{
    return self->pid;
}

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result; /* "truncate cascades to ..." is no news */
}

static PGresult *query(struct ps_testpg *self, const char *sql)
{
    PGconn *conn = PQconnectdb(self->conninfo);
    PGresult *result;
    ExecStatusType status;

    PQsetNoticeReceiver(conn, drop_notice, NULL);
    result = PQexec(conn, sql);
    status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die("%s: %s", sql, PQerrorMessage(conn));
    PQfinish(conn);
    return result;
}

void ps_testpg_sql(struct ps_testpg *self, const char *sql)
{
    PQclear(query(self, sql));
}

long long ps_testpg_one(struct ps_testpg *self, const char *sql)
{
    PGresult *result = query(self, sql);
    long long value = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;

    PQclear(result);
    return value;
}
