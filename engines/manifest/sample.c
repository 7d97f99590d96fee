#include "engines/manifest/sample.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "engines/kit/kit.h"
#include "engines/manifest/tool.h"

#define COPY_PREFIX "phagescan-" /* of copies in an exchange directory */
#define COPY_OLD_S  7200         /* seconds after which one is nobody's: longer than any deadline */
#define SEND_MAX    ((uint64_t)1 << 30)

static int copy_bytes(int to, int from, uint64_t size)
{
    off_t at = 0;

    while ((uint64_t)at < size) {
        uint64_t left = size - (uint64_t)at;
        ssize_t n = sendfile(to, from, &at, (size_t)(left < SEND_MAX ? left : SEND_MAX));

        if (n <= 0)
            return -1;
    }
    return 0;
}

/* A name that no other slot takes: all of them are process 1 of their own. */
static int name_copy(const struct ps_engine_sample *sample, const char *exchange, char ret_path[PATH_MAX])
{
    uint64_t chance = 0;

    if (!exchange)
        return snprintf(ret_path, PATH_MAX, "%s/sample", sample->tmpdir) < PATH_MAX ? 0 : -1;
    if (getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
        return -1;
    return snprintf(ret_path, PATH_MAX, "%s/" COPY_PREFIX "%016" PRIx64, exchange, chance) < PATH_MAX ? 0
                                                                                                      : -1;
}

/* Others may read it where a daemon of another account has to: who reaches it is up to the directory. */
static int make_copy(const struct ps_engine_sample *sample, const char *exchange, struct ps_handed *self,
                     char *err, size_t err_max)
{
    mode_t mask;
    int to, rc;

    if (name_copy(sample, exchange, self->copy)) {
        self->copy[0] = '\0';
        return ps_kit_fail(err, err_max, "no name for a copy of the sample");
    }
    mask = umask(exchange ? 022 : 077);
    to = open(self->copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, exchange ? 0644 : 0600);
    (void)umask(mask); /* can't fail */
    if (to < 0)
        return ps_kit_fail(err, err_max, "the sample can't be copied to %s: %s", self->copy, strerror(errno));
    rc = copy_bytes(to, sample->fd, sample->size);
    if (rc || fstat(to, &self->was) < 0)
        rc = ps_kit_fail(err, err_max, "a copy of the sample of %" PRIu64 " bytes does not fit: %s",
                         sample->size, strerror(errno));
    if (close(to) < 0 && !rc)
        rc = ps_kit_fail(err, err_max, "the copy of the sample can't be written: %s", strerror(errno));
    (void)snprintf(self->path, sizeof(self->path), "%s", self->copy); /* of one size */
    return rc;
}

/* A description of its own, so that no two programs share an offset. -1 where /proc has no names for descriptors. */
static int reopen(int fd)
{
    char name[40];

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd); /* fits */
    return open(name, O_RDONLY | O_CLOEXEC);
}

int ps_hand_over(const struct ps_manifest *manifest, const struct ps_engine_sample *sample,
                 const char *exchange, struct ps_handed *ret_self, char *err, size_t err_max)
{
    *ret_self = (struct ps_handed){.fd = -1, .stdin_fd = -1};
    if (manifest->sample == PS_GIVEN_STREAM) {
        ret_self->stdin_fd = sample->fd;
        (void)snprintf(ret_self->path, sizeof(ret_self->path), "-"); /* fits */
        return lseek(sample->fd, 0, SEEK_SET) < 0 ? ps_kit_fail(err, err_max, "the sample can't be read") : 0;
    }
    if (manifest->sample == PS_GIVEN_FD && (ret_self->fd = reopen(sample->fd)) >= 0) {
        ret_self->own_fd = true;
        (void)snprintf(ret_self->path, sizeof(ret_self->path), "/proc/self/fd/%d", PS_TOOL_FD); /* fits */
        return 0;
    }
    return make_copy(sample, exchange, ret_self, err, err_max);
}

bool ps_handed_is_gone(const struct ps_handed *self)
{
    struct stat now;
    int fd;

    if (!self->copy[0])
        return false;
    fd = open(self->copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW); /* an on-access scanner refuses this */
    if (fd < 0)
        return true;
    if (fstat(fd, &now) < 0)
        now.st_ino = 0;
    (void)close(fd); /* only read from */
    return now.st_ino != self->was.st_ino || now.st_size != self->was.st_size ||
           now.st_mtim.tv_sec != self->was.st_mtim.tv_sec || now.st_mtim.tv_nsec != self->was.st_mtim.tv_nsec;
}

void ps_handed_fini(struct ps_handed *self)
{
    if (self->own_fd)
        (void)close(self->fd); /* only read from */
    if (self->copy[0])
        (void)unlink(self->copy); /* gone already, or the host wipes the directory */
    *self = (struct ps_handed){.fd = -1, .stdin_fd = -1};
}

void ps_exchange_clear(const char *exchange)
{
    DIR *dir = opendir(exchange);
    const struct dirent *entry;
    struct stat st;

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, COPY_PREFIX, strlen(COPY_PREFIX)) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime + COPY_OLD_S < time(NULL))
            (void)unlinkat(dirfd(dir), entry->d_name, 0); /* not ours to remove: it stays */
    }
    if (dir)
        (void)closedir(dir); /* only read from */
}
