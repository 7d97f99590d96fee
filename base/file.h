/* base/file.h: whole reads and writes, directories. Any thread. */
#ifndef PS_BASE_FILE_H
#define PS_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ps_buf;

/* Writes all, or fails: 0, PS_ERR_NOSPACE, PS_ERR_IO. Retries EINTR and short writes. */
int ps_file_write_all(int fd, const void *data, size_t len);
/* Reads exactly len bytes at offset: 0, PS_ERR_IO, PS_ERR_CORRUPT when the file ends before. */
int ps_file_pread_all(int fd, void *ret_data, size_t len, uint64_t offset);
/* Appends the whole file to out (bounded by out's limit). 0, PS_ERR_NOTFOUND, PS_ERR_LIMIT, PS_ERR_IO. */
int ps_file_read(const char *path, struct ps_buf *out);
/* Replaces path by data: temporary beside it, fsync, rename, fsync of the directory. */
int ps_file_replace(const char *path, const void *data, size_t len, mode_t mode);
/* mkdir -p with mode for what is missing. */
int ps_file_mkdirs(const char *path, mode_t mode);
/* Removes everything below dir, and dir itself with it when self is true. Never follows links. */
int ps_file_remove_tree(const char *dir, bool self);
/* Copies src to a sealed memfd named name (no write, shrink, grow, further seals). */
int ps_file_memfd(const char *name, const void *data, size_t len, int *ret_fd);

#endif
