#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/store/store.h"

/* openat is variadic in libc, so it needs a function of its own. */
static int system_openat(int dir, const char *path, int flags, mode_t mode)
{
    return openat(dir, path, flags, mode);
}

const struct ps_store_io ps_store_io_system = {
    .openat = system_openat,
    .write = write,
    .renameat = renameat,
    .linkat = linkat,
    .unlinkat = unlinkat,
    .mkdirat = mkdirat,
    .fsync = fsync,
    .syncfs = syncfs,
    .close = close,
};
