/* engines/engine.h: the contract of an engine written in C. A plug-in sees this header and its own libraries,
 * nothing else of Phagescan, and exports one symbol:
 *
 *     const struct ps_engine ps_engine_entry = { .abi = PS_ENGINE_ABI, .size = sizeof(struct ps_engine), ... };
 *
 * Life of an engine, all in one host process that has no threads of ours:
 *
 *     probe  -> can it work here? (program installed, licence, platform)   worker start, and again while it runs
 *     open   -> load definitions; expensive; once per zygote
 *     warm   -> touch every lazy path (open files, load tables): afterwards no file may be opened by name
 *     fork   -> enter, in each child, before its first scan: own temporary directory, undo shared state
 *     scan   -> many times per child, one at a time; hostile bytes are parsed here and only here
 *     close  -> frees all
 *     update -> in a process and a jail of its own, away from scans: brings new definitions into a directory
 *
 * A child is jailed when scan runs: no network, no files but the sample's descriptor and tmpdir, limits on time
 * and memory; it may be killed at any moment. An engine may crash without harm to anyone else.
 *
 * What an engine reports must be what it looked at: not looked at the whole sample (encrypted, over a limit,
 * truncated) is PS_FOUND_INCOMPLETE, an error is PS_FOUND_FAILURE. Neither is ever "undetected". */
#ifndef PS_ENGINE_H
#define PS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PS_ENGINE_ABI 2

enum ps_engine_kind {
    PS_ENGINE_EVILNESS = 1, /* judges: malicious, suspicious, undetected, harmless */
    PS_ENGINE_METADATA = 2, /* describes: traits */
};

/* What an engine can say. The numbers are those of the wire. */
enum ps_found {
    PS_FOUND_MALICIOUS = 1,
    PS_FOUND_SUSPICIOUS = 2,
    PS_FOUND_UNDETECTED = 3,
    PS_FOUND_HARMLESS = 4,
    PS_FOUND_INCOMPLETE = 5,
    PS_FOUND_TYPE_UNSUPPORTED = 6,
    PS_FOUND_FAILURE = 8,
    PS_FOUND_DESCRIBED = 12,
};

/* A piece of work for a throwaway child that is jailed as one that scans, with the engine's grants: what an engine that
 * runs programs asks them (their version) before it scans. */
struct ps_engine_aside {
    /* In the child. Writes its answer to out; 0, or anything else when there is none. tmpdir: private, writable. */
    int (*job)(void *arg, const char *tmpdir, int out);
    void *arg;        /* for job */
    uint32_t wait_ms; /* time it may take */
    char *buf;        /* the caller's; gets the answer */
    size_t max;       /* bytes of buf; more is dropped */
    size_t len;       /* bytes of the answer, written by aside */
};

/* Where an engine finds its things; lent for the time between probe/open and close. */
struct ps_engine_conf {
    const char *signatures; /* directory of its signatures or rules; NULL when the engine has none */
    const char *origin;     /* test, site or official: from the file ORIGIN there; "" when there is none */
    const char *data;       /* directory of read-only files shipped with the engine */
    const char
        *file; /* for an adapter: the file that describes the engine (NAME.engine, NAME.py); else NULL */
    const char *tmpdir; /* private, writable, for open and warm */
    /* An operator's setting for this engine, or NULL when it isn't set. Lent until close. */
    const char *(*setting)(const struct ps_engine_conf *self, const char *key);
    /* Has aside done, in become, probe or open. 0, or -1 with one sentence in err. NULL where there is no jail (tests). */
    int (*aside)(const struct ps_engine_conf *self, struct ps_engine_aside *aside, char *err, size_t err_max);
    void *host; /* the host's own */
};

/* What the engine is, filled by info after open. Texts are the engine's, valid until close. */
struct ps_engine_info {
    const char *version;     /* of the engine */
    const char *definitions; /* of its definitions; "" when it has none */
    uint64_t signatures;     /* loaded */
    int64_t built_at;        /* seconds since 1970 of the newest definitions; 0 when unknown */
    const char *note;        /* what people should know (files skipped and why); "" for nothing */
    bool silence_counts;     /* false: an undetected of this set says nothing (test set, no rules) */
    uint32_t licence_scans;  /* scans that the licence allows at once in the whole fleet; 0: any number */
    int64_t
        licence_ends_at; /* seconds since 1970 of the licence's end; 0 when it has none or it is unknown */
    uint32_t
        left_out; /* files of definitions that could not be used (a rule that does not compile): a reload that
                            leaves out more than before is not taken */
};

/* What an engine that runs programs needs to reach, and nothing else is reachable. Lists end with NULL; a NULL list
 * is empty. Paths are absolute. Libraries, the loader and ld.so.cache of programs are the host's business. */
struct ps_engine_grants {
    const char *const *programs; /* may be executed, scripts with their interpreters named here as well */
    const char *const *readable; /* files and directories that may be read */
    const char *socket; /* UNIX socket of the engine's daemon, that may be connected to; NULL for none */
    /* Directory that may be written to, where a daemon under another account finds samples; NULL for none. No quota but
     * its file system's. */
    const char *exchange;
    /* For update alone: */
    const char *const *writable; /* directories that it may change */
    const char *const *hosts;    /* "host:port" that it may connect to: a hole, shown as weaker */
};

/* One sample. Lent for the time of scan. */
struct ps_engine_sample {
    int fd;                /* read-only, own file description, offset 0; the engine leaves it open */
    uint64_t size;         /* bytes */
    const uint8_t *sha256; /* 32 bytes */
    const char *type;      /* MIME type when known, else "" */
    const char *tmpdir;    /* private, empty, bounded; wiped after the scan */
};

/* How scan reports. Each call is bounded; past a bound it returns -1, the rest is dropped and the host marks
 * the result incomplete. Names and labels are UTF-8. */
struct ps_engine_report {
    /* Found something: MALICIOUS, SUSPICIOUS, HARMLESS or INCOMPLETE, and what it is called. The worst one
     * found decides the outcome. At most 64 a scan. */
    int (*finding)(void *host, enum ps_found what, const char *label);
    /* A fact: key and its value as JSON text (any JSON). At most 64 KiB each, 256 KiB a scan. */
    int (*trait)(void *host, const char *key, const char *json, size_t len);
    /* One sentence: why the answer is not a plain one. The last one stays. */
    void (*reason)(void *host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
    /* The sample's MIME type; for the type engine alone. */
    void (*type)(void *host, const char *mime);
    /* A file that was derived from the sample, or a picture of it: its name (no path), its MIME type ("" when
     * unknown) and its bytes, which are copied. At most 256 of them, 16 MiB each and 64 MiB together a scan. */
    int (*artifact)(void *host, const char *name, const char *mime, const void *data, size_t len);
    int (*picture)(void *host, const char *name, const char *mime, const void *data, size_t len);
    void *host;
};

struct ps_engine {
    uint32_t abi;     /* PS_ENGINE_ABI; the host refuses another and says both numbers */
    uint32_t size;    /* sizeof(struct ps_engine) */
    const char *name; /* lower case, [a-z0-9_-], also its directory */
    enum ps_engine_kind kind;
    const char *licence;                   /* SPDX of the plug-in as linked */
    const char *types;                     /* comma-separated globs of MIME types it takes; NULL for all */
    uint32_t run_ms;                       /* time a scan may take; 0 for the host's default (60 s) */
    uint32_t at_once;                      /* scans of it at once on one machine; 0 for any number */
    const struct ps_engine_grants *grants; /* NULL: it runs no programs and reaches nothing */
    /* A process of its own lives from scan to scan, and it ends itself what a scan left behind besides. Else the host
     * ends all that lives after a scan. Heeded in a pid namespace alone. */
    bool keeps_processes;

    /* An adapter's only function besides those of what it becomes: reads conf->file and returns the engine that the
     * file describes, which takes this one's place before probe; NULL with one sentence in err. Its memory stays
     * until the process ends. */
    const struct ps_engine *(*become)(const struct ps_engine_conf *conf, char *err, size_t err_max);

    /* All may be NULL but open (when the engine has state) and scan. Those that return int return 0, or -1 with
     * one sentence in err (err_max bytes). */
    int (*probe)(const struct ps_engine_conf *conf, char *err, size_t err_max);
    int (*open)(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max);
    void (*info)(void *engine, struct ps_engine_info *ret_info);
    int (*warm)(void *engine, char *err, size_t err_max);
    int (*enter)(void *engine, const char *tmpdir, char *err, size_t err_max);
    enum ps_found (*scan)(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report);
    void (*close)(void *engine);
    /* Brings new definitions into dir, an empty directory that will be conf->signatures when it returned 0 and the
     * engine, loaded with them, has passed its self-test. conf->signatures are those of now. fd: a file that the
     * operator brought, or -1: then it fetches them itself, as far as its grants allow. Called in a process that
     * does nothing else, before open. */
    int (*update)(const struct ps_engine_conf *conf, int fd, const char *dir, char *err, size_t err_max);
};

/* Visible from outside whatever -fvisibility says. */
extern __attribute__((visibility("default"))) const struct ps_engine ps_engine_entry;

#endif
