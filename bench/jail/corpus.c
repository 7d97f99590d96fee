#include "bench/jail/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "bench/jail/rig.h"

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void bench_corpus_init(struct bench_corpus *self, const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, is_shown, alphasort);

    if (n <= 0)
        bench_die("no files in %s", dir);
    *self = (struct bench_corpus){.paths = ps_alloc((size_t)n, sizeof(char *)), .n = (size_t)n};
    for (int i = 0; i < n; i++) {
        if (!self->paths || !(self->paths[i] = ps_strf("%s/%s", dir, names[i]->d_name)))
            bench_die("no memory");
        free(names[i]);
    }
    free(names);
}

void bench_corpus_fini(struct bench_corpus *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->paths[i]);
    free(self->paths);
    *self = (struct bench_corpus){0};
}

void *bench_corpus_map(const struct bench_corpus *self, size_t no, size_t *ret_len)
{
    PS_CLOSE int fd = open(self->paths[no], O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *data;

    if (fd < 0 || fstat(fd, &st) < 0)
        bench_die("%s: %s", self->paths[no], strerror(errno));
    *ret_len = (size_t)st.st_size;
    if (*ret_len == 0)
        return NULL;
    data = mmap(NULL, *ret_len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        bench_die("%s: %s", self->paths[no], strerror(errno));
    return data;
}

void bench_corpus_unmap(void *data, size_t len)
{
    if (data)
        (void)munmap(data, len); /* mapped by bench_corpus_map: can't fail */
}
