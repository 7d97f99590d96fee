#include "worker/host/pages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; Debian 12's headers do not have it */
#endif
#define HUGE         ((uint64_t)2 << 20) /* bytes of a huge page; where they are larger the kernel refuses */
#define LEAST        (4 * HUGE)          /* bytes of a mapping that is worth it */
#define TRIES        3                   /* for one huge page */
#define FULL         90   /* percent of a mapping that must be in memory: gathering fills the rest */
#define MAPPINGS_MAX 1024 /* looked at; in more there is little each */
#define LINE_BYTES   512  /* of smaps: longer ones are names of files */

struct mapping {
    uint64_t from, to, resident; /* addresses; bytes */
    bool anonymous;              /* private, writable, no file behind it */
};

/* The first line of a mapping: "FROM-TO rw-p OFFSET MAJOR:MINOR INODE NAME". */
static bool is_head(const char *line, struct mapping *ret)
{
    char perms[5] = "";
    uint64_t inode = 1;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64, &ret->from, &ret->to, perms,
               &inode) != 4)
        return false;
    ret->resident = 0;
    ret->anonymous = strcmp(perms, "rw-p") == 0 && inode == 0 && !strstr(line, "[stack]");
    return true;
}

static bool is_worth_it(const struct mapping *at)
{
    return at->anonymous && at->to - at->from >= LEAST && at->resident >= (at->to - at->from) / 100 * FULL;
}

/* False when this kernel gathers nothing at all. A page that somebody just looks at (a processor's list of fresh ones)
 * makes the kernel say "again"; a piece that can't be gathered then, or for want of a free huge page, stays. */
static bool gather(const struct mapping *at)
{
    uint64_t from = (at->from + HUGE - 1) / HUGE * HUGE, to = at->to / HUGE * HUGE;

    for (; from < to; from += HUGE) {
        int rc = 0;

        for (unsigned n = 0; n < TRIES && (n == 0 || (rc < 0 && errno == EAGAIN)); n++)
            rc = madvise((void *)(uintptr_t)from, HUGE, MADV_COLLAPSE);
        if (rc < 0 && errno == EINVAL)
            return false;
    }
    return true;
}

/* What is worth it, read before anything is changed. Returns how many. */
static size_t list(struct mapping *found, size_t max)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    struct mapping at = {0}, next;
    char line[LINE_BYTES];
    size_t n = 0;

    while (smaps && n < max && fgets(line, sizeof(line), smaps)) {
        if (is_head(line, &next)) {
            if (is_worth_it(&at))
                found[n++] = at;
            at = next;
        } else if (sscanf(line, "Rss: %" SCNu64 " kB", &next.resident) == 1) {
            at.resident = next.resident * 1024;
        }
    }
    if (n < max && is_worth_it(&at))
        found[n++] = at;
    if (smaps)
        (void)fclose(smaps); /* only read */
    return n;
}

void ps_pages_gather(void)
{
    static struct mapping found[MAPPINGS_MAX];
    size_t n = list(found, MAPPINGS_MAX);

    for (size_t i = 0; i < n && gather(&found[i]); i++)
        ;
}
