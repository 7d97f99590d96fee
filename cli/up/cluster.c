#include "cli/up/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define SETTINGS_MAX 8192
#define PROGRAMS     "/usr/lib/postgresql/" /* as Debian's packages put them: VERSION/bin/NAME */

/* The major version that made the cluster in directory; 0 when there is none. */
static int version_of(const char *directory)
{
    PS_FREE char *path = ps_strf("%s/PG_VERSION", directory);
    PS_BUF struct ps_buf text;

    ps_buf_init(&text, 64);
    if (!path || ps_file_read(path, &text) != 0)
        return 0;
    return atoi(ps_buf_text(&text));
}

/* A server reads its own version's clusters only: version 0 is the newest there is. */
static int find_program(char *path, size_t max, const char *program, int version, struct ps_error *reterr)
{
    PS_FREE char *pattern = ps_strf(PROGRAMS "*/bin/%s", program);
    glob_t found = {0};
    int best = -1;

    path[0] = '\0';
    if (pattern && glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int this = atoi(found.gl_pathv[i] + strlen(PROGRAMS));

            if (this > best && (!version || this == version) &&
                snprintf(path, max, "%s", found.gl_pathv[i]) < (int)max)
                best = this;
        }
    globfree(&found);
    if (best >= 0)
        return 0;
    if (version)
        return ps_error_set(reterr, PS_ERR_NOTFOUND,
                            "the cluster was made by PostgreSQL %d, whose %s is missing: apt-get install "
                            "postgresql-%d, or upgrade the cluster with pg_upgrade",
                            version, program, version);
    return ps_error_set(reterr, PS_ERR_NOTFOUND, "PostgreSQL's %s is missing: apt-get install postgresql",
                        program);
}

/* Between fork and exec. */
static void become_program(const struct ps_account *account, const char *const argv[], const char *log_path)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    if (ps_account_become(account) != 0 || chdir("/") < 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* half a cluster is of no use */
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static int run_as(const struct ps_account *account, const char *const argv[], const char *log_path,
                  struct ps_error *reterr)
{
    int status;
    pid_t pid = fork(); /* no threads here */

    if (pid == 0)
        become_program(account, argv, log_path);
    if (pid < 0)
        return ps_error_set(reterr, PS_ERR_IO, "fork: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return ps_error_set(reterr, PS_ERR_IO, "waitpid: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s failed: %s tells why", argv[0], log_path);
    return 0;
}

/* initdb writes PG_VERSION first, and may be killed after that: so the cluster gets its name when it is whole. */
static int make_cluster(const struct ps_layout *layout, const struct ps_accounts *accounts,
                        const char *log_path, struct ps_error *reterr)
{
    PS_FREE char *half = ps_strf("%s.new", layout->pg);
    char initdb[PS_PATH_MAX];
    int r = find_program(initdb, sizeof(initdb), "initdb", 0, reterr);

    if (r)
        return r;
    if (!half)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_file_remove_tree(half, true);
    if (r && r != PS_ERR_NOTFOUND)
        return ps_error_set(reterr, r, "%s can't be removed: %s", half, ps_err_text(r));
    if (mkdir(half, 0700) < 0 ||
        (accounts->root && lchown(half, accounts->database.uid, accounts->database.gid) < 0))
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", half, strerror(errno));

    ps_log(PS_LOG_INFO, "cluster-made", "directory=%s", PS_LOGQ(layout->pg));
    const char *argv[] = {initdb,
                          "--pgdata",
                          half,
                          "--encoding=UTF8",
                          "--locale=C.UTF-8",
                          ("--username=" PS_CLUSTER_ADMIN),
                          "--auth=peer",
                          "--no-instructions",
                          NULL};
    r = run_as(&accounts->database, argv, log_path, reterr);
    if (!r && rename(half, layout->pg) < 0) /* in place of the empty directory */
        r = ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", layout->pg, strerror(errno));
    return r;
}

/* An eighth of memory, at most 1 GiB: the rest is the engines' and the page cache's. */
static unsigned shared_buffers_mib(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t mib = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / (1024 * 1024) : 1024;

    return (unsigned)PS_MAX(64u, PS_MIN(mib / 8, 1024u));
}

static void put_settings(struct ps_buf *out, const struct ps_layout *layout)
{
    ps_buf_putf(out,
                "# Written by phagescan up at every start; put your own settings into own.conf beside it.\n"
                "listen_addresses = ''\n"
                "unix_socket_directories = '%s/pg'\n"
                "max_connections = 40\n"
                "shared_buffers = %uMB\n"
                "max_wal_size = 2GB\n"
                "checkpoint_timeout = 15min\n"
                "wal_compression = lz4\n"
                "jit = off\n"
                "timezone = 'UTC'\n"
                "log_timezone = 'UTC'\n"
                "log_min_messages = warning\n"
                "include_if_exists 'own.conf'\n",
                layout->run, shared_buffers_mib());
}

static void put_ident(struct ps_buf *out, const struct ps_accounts *accounts)
{
    const struct passwd *me = getpwuid(geteuid());

    if (me)
        ps_buf_putf(out, "admin \"%s\" " PS_CLUSTER_ADMIN "\nprograms \"%s\" " PS_CLUSTER_ROLE "\n",
                    me->pw_name, me->pw_name);
    if (accounts->root)
        ps_buf_putf(out, "admin %s " PS_CLUSTER_ADMIN "\nprograms %s " PS_CLUSTER_ROLE "\n",
                    accounts->database.name, accounts->services.name);
}

static int write_file(const struct ps_layout *layout, const struct ps_accounts *accounts, const char *name,
                      struct ps_buf *text, struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/%s", layout->pg, name);

    if (!path || ps_buf_error(text))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = ps_file_replace(path, text->data, text->len, 0600);
    if (r)
        return ps_error_set(reterr, r, "%s could not be written: %s", path, ps_err_text(r));
    if (accounts->root && lchown(path, accounts->database.uid, accounts->database.gid) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s: chown: %s", path, strerror(errno));
    return 0;
}

static int write_settings(const struct ps_layout *layout, const struct ps_accounts *accounts,
                          struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    int r;

    ps_buf_init(&text, SETTINGS_MAX);
    put_settings(&text, layout);
    r = write_file(layout, accounts, "postgresql.conf", &text, reterr);

    ps_buf_clear(&text);
    ps_buf_put_text(&text, "local all " PS_CLUSTER_ADMIN " peer map=admin\n"
                           "local " PS_CLUSTER_ROLE " " PS_CLUSTER_ROLE " peer map=programs\n");
    if (!r)
        r = write_file(layout, accounts, "pg_hba.conf", &text, reterr);

    ps_buf_clear(&text);
    put_ident(&text, accounts);
    if (!r)
        r = write_file(layout, accounts, "pg_ident.conf", &text, reterr);
    return r;
}

int ps_cluster_prepare(const struct ps_layout *layout, const struct ps_accounts *accounts,
                       const char *log_path, struct ps_error *reterr)
{
    int r = version_of(layout->pg) ? 0 : make_cluster(layout, accounts, log_path, reterr);

    return r ? r : write_settings(layout, accounts, reterr);
}

int ps_cluster_unit(struct ps_unit *unit, const struct ps_layout *layout, const struct ps_accounts *accounts,
                    struct ps_error *reterr)
{
    char postgres[PS_PATH_MAX];
    int r = find_program(postgres, sizeof(postgres), "postgres", version_of(layout->pg), reterr);

    if (r)
        return r;
    unit->account = &accounts->database;
    unit->stop_signal = SIGINT; /* "fast": ends sessions, checkpoints, stops */
    unit->says_ready = false;
    r = ps_unit_arg(unit, postgres);
    if (!r)
        r = ps_unit_arg(unit, "-D");
    if (!r)
        r = ps_unit_arg(unit, layout->pg);
    return r ? ps_error_set(reterr, r, "%s", ps_err_text(r)) : 0;
}

/* Runs make when test gives no row. */
static int ensure(PGconn *conn, const char *test, const char *make, struct ps_error *reterr)
{
    PGresult *res = PQexec(conn, test);
    bool ok = PQresultStatus(res) == PGRES_TUPLES_OK;

    if (ok && PQntuples(res) == 0) {
        PQclear(res);
        res = PQexec(conn, make);
        ok = PQresultStatus(res) == PGRES_COMMAND_OK;
    }
    PQclear(res);
    return ok ? 0 : ps_error_set(reterr, PS_ERR_IO, "%s", PQerrorMessage(conn));
}

/* A second supervisor can't be at it: the lock. */
static int make_database(const char *info, struct ps_error *reterr)
{
    PGconn *conn = PQconnectdb(info);
    int r = 0;

    if (PQstatus(conn) != CONNECTION_OK)
        r = ps_error_set(reterr, PS_ERR_UNAVAILABLE, "%s", PQerrorMessage(conn));
    if (!r)
        r = ensure(conn, "select 1 from pg_roles where rolname = '" PS_CLUSTER_ROLE "'",
                   "create role " PS_CLUSTER_ROLE " login", reterr);
    if (!r)
        r = ensure(conn, "select 1 from pg_database where datname = '" PS_CLUSTER_ROLE "'",
                   "create database " PS_CLUSTER_ROLE " owner " PS_CLUSTER_ROLE, reterr);
    PQfinish(conn);
    return r;
}

int ps_cluster_ready(const struct ps_layout *layout, struct ps_error *reterr)
{
    PS_FREE char *info =
        ps_strf("host=%s/pg dbname=postgres user=" PS_CLUSTER_ADMIN " connect_timeout=" PS_CLUSTER_CONNECT_S,
                layout->run);

    if (!info)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (PQping(info) != PQPING_OK)
        return ps_error_set(reterr, PS_ERR_AGAIN, "it does not answer yet");
    return make_database(info, reterr);
}
