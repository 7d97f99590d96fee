/* engines/kit/sigset.h: a directory of signatures or rules: which files count, what they amount to, how old
 * they are. Engines whose library gives no version of its definitions get one from here.
 *
 * The fingerprint covers each file's path below the directory, its size and its bytes: whatever changes what
 * the engine would load changes it, and touching a file or copying the set elsewhere does not. */
#ifndef PS_ENGINES_KIT_SIGSET_H
#define PS_ENGINES_KIT_SIGSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PS_SIGSET_FILES_MAX 65536 /* more is refused */
#define PS_SIGSET_DEPTH_MAX 16    /* directories below are left out */
#define PS_SIGSET_HASH_LEN  16    /* hexadecimal digits of the fingerprint */

struct ps_sigset_file {
    char *path;    /* full */
    char *name;    /* below the set's directory */
    uint64_t size; /* bytes */
    int64_t mtime; /* seconds since 1970 */
};

struct ps_sigset {
    struct ps_sigset_file *files; /* sorted by directory, then name */
    size_t n;
    int64_t newest;                    /* latest mtime; 0 when there is no file */
    char hash[PS_SIGSET_HASH_LEN + 1]; /* fingerprint of the files that were hashed; "" before */
};

/* Lists the regular files below root whose base name wanted accepts; links are followed, names that begin
 * with a dot (a .git) are not entered. With recursive false only root itself. Returns 0 (an absent or empty
 * directory is an empty set), or -1 with one sentence in err. The caller ends with ps_sigset_fini in either
 * case. */
int ps_sigset_list(struct ps_sigset *ret_set, const char *root, bool recursive,
                   bool (*wanted)(const char *name), char *err, size_t err_max);

/* Computes the fingerprint over those files that counts accepts (all when NULL). Returns 0 or -1 with err. */
int ps_sigset_hash(struct ps_sigset *set, bool (*counts)(const char *name), char *err, size_t err_max);

void ps_sigset_fini(struct ps_sigset *set);

#endif
