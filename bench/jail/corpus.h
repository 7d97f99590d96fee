/* bench/jail/corpus.h: the files of a directory, in the order of their names. */
#ifndef PS_BENCH_JAIL_CORPUS_H
#define PS_BENCH_JAIL_CORPUS_H

#include <stddef.h>

struct bench_corpus {
    char **paths; /* owned; n of them */
    size_t n;
};

/* Lists dir; ends the program when it can't. */
void bench_corpus_init(struct bench_corpus *self, const char *dir);
void bench_corpus_fini(struct bench_corpus *self);
/* Maps file no; NULL with *ret_len 0 for an empty file. The caller unmaps it. Ends the program when it can't. */
void *bench_corpus_map(const struct bench_corpus *self, size_t no, size_t *ret_len);
void bench_corpus_unmap(void *data, size_t len);

#endif
