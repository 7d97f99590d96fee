/* cli/submit/walk.h: the files below what the user named, one by one, as fts finds them. One thread. */
#ifndef PS_CLI_SUBMIT_WALK_H
#define PS_CLI_SUBMIT_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/opt.h"

struct ps_walk;

struct ps_walk_file {
    const char *path; /* as reached from the argument; lent until the next call; set on errors too */
    uint64_t size;    /* bytes, when it was seen */
    int64_t mtime_ns; /* its modification time */
};

/* paths: NULL-ended, borrowed. Links named there are followed, links found below are not; sockets, devices and
 * fifos are passed over there, and an error when they are named. exclude: globs, matched against the base name and the whole path; a directory that matches
 * is not entered. one_file_system: stays on the file system of each argument. */
int ps_walk_new(struct ps_walk **ret_self, char *const *paths, const struct ps_opt_list *exclude,
                bool one_file_system, struct ps_error *reterr);
void ps_walk_free(struct ps_walk **self_p);

/* The next file: 1 with *ret_file; 0 at the end; a ps_err with a sentence about ret_file->path (NULL: about the walk)
 * when that could not be looked at: the walk goes on with the next call. */
int ps_walk_next(struct ps_walk *self, struct ps_walk_file *ret_file, struct ps_error *reterr);

/* A file's modification time as the walk gives it. */
struct stat;
int64_t ps_walk_mtime_ns(const struct stat *st);

#endif
