/* worker/host/files.h: the files that one scan derives from its sample, collected as a hostile child sends them.
 *
 * The bytes of all of them lie one behind the other in one descriptor: in memory (memfd), and from PS_FILES_MEMORY on in
 * a file without a name. They are hashed as they come. Limits: PS_FILES_MAX files, PS_FILE_MAX bytes each,
 * PS_FILES_BYTES together; what is over one is dropped, and cut says why. One thread; both sides (the host's self-test
 * collects, too). */
#ifndef PS_HOST_FILES_H
#define PS_HOST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "proto/limits.h"

#define PS_FILES_MEMORY (4 * 1024 * 1024) /* bytes in memory, of one scan */

struct ps_sha256;

/* One file. Plain value. */
struct ps_host_file {
    bool picture;
    uint8_t sha256[PS_SHA256_BYTES];
    uint64_t size, at; /* bytes, and where they begin in the descriptor */
    char name[PS_NAME_MAX + 1];
    char mime[PS_NAME_MAX + 1]; /* "" when unknown */
};

struct ps_files {
    const char *dir;            /* lent: where they go when they are many; NULL: all stay in memory */
    int fd;                     /* owned; -1 before the first byte */
    bool in_memory;             /* a memfd */
    uint64_t bytes;             /* in it; whole files and the begun one */
    struct ps_host_file *items; /* owned; NULL before the first */
    size_t n;                   /* whole ones */
    uint64_t left;              /* bytes missing of the one that has begun; 0: none has */
    bool skips;                 /* ... and they are thrown away */
    struct ps_sha256 *hash;     /* of the begun one; kept for the next */
    const char *cut;            /* static: why something was dropped; NULL: nothing was */
};

void ps_files_init(struct ps_files *self, const char *dir);
void ps_files_fini(struct ps_files *self);
/* Forgets all of them, keeps memory for the next scan. */
void ps_files_clear(struct ps_files *self);

/* A file begins. False: the one before has not ended. */
bool ps_files_begin(struct ps_files *self, bool picture, struct ps_bytes name, struct ps_bytes mime,
                    uint64_t size);
/* Its next bytes: a whole chunk or all that is left. False: nobody announced them. */
bool ps_files_bytes(struct ps_files *self, struct ps_bytes bytes);
/* Drops what is not whole, when no more comes. */
void ps_files_end(struct ps_files *self);

/* Makes a name of what an engine calls a file: valid UTF-8, one component, nothing hidden in it, never empty. */
void ps_file_name_clean(char ret_name[PS_NAME_MAX + 1], struct ps_bytes name);
/* True when text is a MIME type by its form: type/subtype. */
bool ps_file_mime_valid(struct ps_bytes text);

#endif
