#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/engine/commands.h"

bool ps_engine_name_valid(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool join(char ret_path[PS_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(ret_path, PS_PATH_MAX, "%s/%s", dir, name);

    return n > 0 && n < PS_PATH_MAX && access(ret_path, F_OK) == 0;
}

/* Directory of the running program. */
static bool own_dir(char ret_dir[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", ret_dir, PATH_MAX - 1);
    char *slash;

    ret_dir[PS_MAX(n, 0)] = '\0';
    slash = strrchr(ret_dir, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

/* Beside this program where it is installed, elsewhere in the build tree. */
static int find_host(struct ps_engine_place *self, struct ps_error *reterr)
{
    char dir[PATH_MAX];

    if (own_dir(dir) && (join(self->host, dir, "phagescan-enginehost") ||
                         join(self->host, dir, "../worker/host/phagescan-enginehost")))
        return 0;
    return ps_error_set(reterr, PS_ERR_NOTFOUND, "phagescan-enginehost is not beside this program");
}

static int find_engines(char ret_dir[PS_PATH_MAX], const char *wanted, struct ps_error *reterr)
{
    const char *named = wanted ? wanted : getenv("PHAGESCAN_ENGINES");
    struct ps_layout layout;
    char dir[PATH_MAX];

    if (named)
        return snprintf(ret_dir, PS_PATH_MAX, "%s", named) < PS_PATH_MAX
                   ? 0
                   : ps_error_set(reterr, PS_ERR_LIMIT, "the path of the engine directory is too long");
    if (ps_layout_find(&layout, reterr) == 0 && join(ret_dir, layout.lib, "engines"))
        return 0;
    if (own_dir(dir) && join(ret_dir, dir, "../engines"))
        return 0;
    return ps_error_set(reterr, PS_ERR_NOTFOUND, "there is no engine directory: --engine-dir names it");
}

/* As a worker looks: the module itself, or what an adapter reads. */
static int find_parts(struct ps_engine_place *self, const char *dir, const char *engines,
                      struct ps_error *reterr)
{
    static const struct {
        const char *suffix, *adapter;
    } ways[] = {{"so", NULL}, {"engine", "manifest/adapter.so"}, {"py", "python/adapter.so"}};
    char base[80];

    for (size_t i = 0; i < PS_ARRAY_N(ways); i++) {
        (void)snprintf(base, sizeof(base), "%s.%s", self->name, ways[i].suffix); /* fits */
        if (!join(ways[i].adapter ? self->file : self->plugin, dir, base))
            continue;
        self->manifest = !strcmp(ways[i].suffix, "engine");
        if (ways[i].adapter && !join(self->plugin, engines, ways[i].adapter))
            return ps_error_set(reterr, PS_ERR_NOTFOUND, "%s is not there: it would read %s", self->plugin,
                                self->file);
        if (!join(self->signatures, dir, "signatures"))
            self->signatures[0] = '\0';
        if (!join(self->data, dir, "data"))
            self->data[0] = '\0';
        return 0;
    }
    return ps_error_set(reterr, PS_ERR_NOTFOUND, "%s has no %s.so, %s.engine or %s.py", dir, self->name,
                        self->name, self->name);
}

int ps_engine_find(struct ps_engine_place *ret_place, const char *word, const char *engines,
                   struct ps_error *reterr)
{
    struct ps_engine_place self = {.name = ""};
    char all[PS_PATH_MAX], installed[PS_PATH_MAX];
    PS_FREE char *dir = NULL;
    struct stat st;
    const char *name;
    int rc = find_host(&self, reterr);

    rc = rc ? rc : find_engines(all, engines, reterr);
    if (rc)
        return rc;
    if (strchr(word, '/') || (stat(word, &st) == 0 && S_ISDIR(st.st_mode)))
        dir = realpath(word, NULL);
    else if (join(installed, all, word))
        dir = realpath(installed, NULL);
    if (!dir)
        return ps_error_set(reterr, PS_ERR_NOTFOUND,
                            "there is no engine %.100s: neither a directory nor in %.200s", word, all);
    name = strrchr(dir, '/') + 1; /* realpath begins with one */
    if (!ps_engine_name_valid(name))
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "an engine's directory has a name of a-z, 0-9, _ and - only");
    (void)snprintf(self.name, sizeof(self.name), "%s", name); /* checked */
    rc = find_parts(&self, dir, all, reterr);
    if (!rc)
        *ret_place = self;
    return rc;
}
