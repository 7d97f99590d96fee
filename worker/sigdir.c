#include "worker/sigdir.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static bool join(char ret_path[PS_PATH_MAX], const char *dir, const char *name, const char *last)
{
    int n = snprintf(ret_path, PS_PATH_MAX, "%s/%s%s%s", dir, name, last[0] ? "/" : "", last);

    return n > 0 && n < PS_PATH_MAX;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A set for several engines has a directory for each; a directory of some other name (a .git) proves nothing. */
static bool has_engine_dirs(const char *dir, const char *engine_dir)
{
    char in_set[PS_PATH_MAX], of_engine[PS_PATH_MAX];
    bool found = false;
    DIR *list = opendir(engine_dir);

    if (!list)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(list));)
        found = entry->d_name[0] != '.' && join(in_set, dir, entry->d_name, "") && is_dir(in_set) &&
                join(of_engine, engine_dir, entry->d_name, "") && is_dir(of_engine);
    (void)closedir(list); /* it was only read */
    return found;
}

static bool has_database(const char *dir)
{
    static const char *const names[] = {"main.cvd", "main.cld", "daily.cvd", "daily.cld"};
    char path[PS_PATH_MAX];

    for (size_t i = 0; i < PS_ARRAY_N(names); i++)
        if (join(path, dir, names[i], "") && access(path, R_OK) == 0)
            return true;
    return false;
}

static bool in_override(char ret_path[PS_PATH_MAX], const char *engine, const char *engine_dir,
                        const char *override)
{
    if (!override || !override[0])
        return false;
    if (join(ret_path, override, engine, "") && is_dir(ret_path))
        return true;
    return strcmp(engine, "clamav") == 0 && is_dir(override) && !has_engine_dirs(override, engine_dir) &&
           join(ret_path, override, ".", "");
}

void ps_sigdir_find(struct ps_sigdir *ret_self, const char *engine, const char *engine_dir,
                    const char *override, const char *system)
{
    struct ps_sigdir self = {.origin = "site"};

    if (!in_override(self.path, engine, engine_dir, override)) {
        if (strcmp(engine, "clamav") == 0 && has_database(system)) {
            (void)join(self.path, system, ".", ""); /* the database's path was longer */
            self.origin = "official";
        } else if (!join(self.path, engine_dir, engine, "signatures") || !is_dir(self.path)) {
            self = (struct ps_sigdir){.path = "", .origin = ""};
        }
    }
    *ret_self = self;
}
