#include "cli/up/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define SETTINGS_MAX 8192

/* The newest server that Debian's packages put there. */
static int find_program(char *path, size_t max, const char *program, struct ps_error *reterr)
{
    PS_FREE char *pattern = ps_strf("/usr/lib/postgresql/*/bin/%s", program);
    glob_t found = {0};
    int newest = -1;

    path[0] = '\0';
    if (pattern && glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int version = atoi(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"));

            if (version > newest && snprintf(path, max, "%s", found.gl_pathv[i]) < (int)max)
                newest = version;
        }
    globfree(&found);
    if (newest < 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "PostgreSQL's %s is missing: apt-get install postgresql",
                            program);
    return 0;
}

static int run_as(const struct ps_account *account, const char *const argv[], struct ps_error *reterr)
{
    int status;
    pid_t pid = fork(); /* no threads here */

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        if (null >= 0)
            (void)dup2(null, STDOUT_FILENO); /* its chatter; errors come on standard error */
        if (ps_account_become(account) != 0 || chdir("/") < 0)
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid < 0)
        return ps_error_set(reterr, PS_ERR_IO, "fork: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return ps_error_set(reterr, PS_ERR_IO, "waitpid: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s failed (status %d); its words are above", argv[0], status);
    return 0;
}

static int make_cluster(const struct ps_layout *layout, const struct ps_accounts *accounts,
                        struct ps_error *reterr)
{
    char initdb[PS_PATH_MAX];
    int r = find_program(initdb, sizeof(initdb), "initdb", reterr);

    if (r)
        return r;
    ps_log(PS_LOG_INFO, "cluster-made", "directory=%s", PS_LOGQ(layout->pg));
    const char *argv[] = {initdb,
                          "--pgdata",
                          layout->pg,
                          "--encoding=UTF8",
                          "--locale=C.UTF-8",
                          "--username=" PS_CLUSTER_ROLE,
                          "--auth=peer",
                          "--no-instructions",
                          NULL};
    return run_as(&accounts->database, argv, reterr);
}

/* A quarter of memory, at most 1 GiB: the rest is the engines'. */
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
                "wal_compression = on\n"
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
        ps_buf_putf(out, "phagescan \"%s\" " PS_CLUSTER_ROLE "\n", me->pw_name);
    if (accounts->root)
        ps_buf_putf(out, "phagescan %s " PS_CLUSTER_ROLE "\nphagescan %s " PS_CLUSTER_ROLE "\n",
                    accounts->services.name, accounts->database.name);
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
    if (accounts->root && chown(path, accounts->database.uid, accounts->database.gid) < 0)
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
    ps_buf_put_text(&text, "local all " PS_CLUSTER_ROLE " peer map=phagescan\n");
    if (!r)
        r = write_file(layout, accounts, "pg_hba.conf", &text, reterr);

    ps_buf_clear(&text);
    put_ident(&text, accounts);
    if (!r)
        r = write_file(layout, accounts, "pg_ident.conf", &text, reterr);
    return r;
}

int ps_cluster_prepare(const struct ps_layout *layout, const struct ps_accounts *accounts,
                       struct ps_error *reterr)
{
    PS_FREE char *version = ps_strf("%s/PG_VERSION", layout->pg);
    struct stat st;
    int r = 0;

    if (!version)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (stat(version, &st) < 0)
        r = make_cluster(layout, accounts, reterr);
    return r ? r : write_settings(layout, accounts, reterr);
}

int ps_cluster_unit(struct ps_unit *unit, const struct ps_layout *layout, const struct ps_accounts *accounts,
                    struct ps_error *reterr)
{
    char postgres[PS_PATH_MAX];
    int r = find_program(postgres, sizeof(postgres), "postgres", reterr);

    if (r)
        return r;
    unit->account = &accounts->database;
    unit->stop_signal = SIGINT; /* "fast": ends sessions, checkpoints, stops */
    unit->says_ready = false;
    if (!r)
        r = ps_unit_arg(unit, postgres);
    if (!r)
        r = ps_unit_arg(unit, "-D");
    if (!r)
        r = ps_unit_arg(unit, layout->pg);
    return r ? ps_error_set(reterr, r, "%s", ps_err_text(r)) : 0;
}

/* Without the database it is made. A second supervisor can't be: the lock. */
static int make_database(const char *host, struct ps_error *reterr)
{
    PS_FREE char *info = ps_strf("host=%s dbname=postgres user=" PS_CLUSTER_ROLE, host);
    PGconn *conn = PQconnectdb(info ? info : "");
    PGresult *res = NULL;
    int r = 0;

    if (PQstatus(conn) != CONNECTION_OK) {
        r = ps_error_set(reterr, PS_ERR_UNAVAILABLE, "%s", PQerrorMessage(conn));
        goto out;
    }
    res = PQexec(conn, "select 1 from pg_database where datname = '" PS_CLUSTER_ROLE "'");
    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 0) {
        PQclear(res);
        res = PQexec(conn, "create database " PS_CLUSTER_ROLE);
    }
    if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
        r = ps_error_set(reterr, PS_ERR_IO, "%s", PQerrorMessage(conn));
out:
    PQclear(res);
    PQfinish(conn);
    return r;
}

int ps_cluster_ready(const struct ps_layout *layout, struct ps_error *reterr)
{
    PS_FREE char *host = ps_strf("%s/pg", layout->run);
    PS_FREE char *info = host ? ps_strf("host=%s dbname=postgres user=" PS_CLUSTER_ROLE, host) : NULL;

    if (!info)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (PQping(info) != PQPING_OK)
        return ps_error_set(reterr, PS_ERR_AGAIN, "not yet");
    return make_database(host, reterr);
}
