/* cli/submit/feed.h: what is to be sent, pack by pack: first the packs that an earlier run left open (seen.h), then
 * standard input, then the files of the walk that no earlier run has had acknowledged.
 *
 * The walk begins when the open packs are settled: only then it is known which of their files are done. A second thread
 * counts ahead, so that progress knows the whole; it touches show's totals and nothing else. */
#ifndef PS_CLI_SUBMIT_FEED_H
#define PS_CLI_SUBMIT_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/opt.h"
#include "cli/submit/pack.h"
#include "cli/submit/seen.h"
#include "cli/submit/show.h"

struct ps_feed_settings {
    char **paths;   /* NULL-ended; may be empty */
    size_t paths_n; /* without the NULL */
    const struct ps_opt_list *exclude;
    bool one_file_system;
    const char *stdin_name; /* NULL: standard input is not asked for */
    uint64_t stdin_max;     /* bytes */
    const struct ps_pack_options *pack;
    struct ps_seen *seen;   /* NULL: no state file */
    struct ps_show *show;   /* hears of files that can't be read */
    const atomic_int *stop; /* ends the counting; set by a signal or by the thread that reads on */
};

struct ps_feed;

/* All in settings is lent. */
int ps_feed_new(struct ps_feed **ret_self, const struct ps_feed_settings *settings, struct ps_error *reterr);
void ps_feed_free(struct ps_feed **self_p);

/* True while there may be another pack, now or later. */
bool ps_feed_more(const struct ps_feed *self);
/* The next pack, the caller's; noted in the state file. NULL when there is none now. */
struct ps_pack *ps_feed_next(struct ps_feed *self);

/* A file of a pack was acknowledged. */
void ps_feed_acknowledged(struct ps_feed *self, const struct ps_pack *pack, const struct ps_pack_file *file);
/* The server has answered this pack's key before, with other bytes. True when that is no wonder: it is an earlier run's
 * pack, and a file of it has changed since. Then those that have not changed are done; the walk brings the others. */
bool ps_feed_conflict(struct ps_feed *self, const struct ps_pack *pack);
/* An upload was opened for a large file. */
void ps_feed_opened(struct ps_feed *self, const struct ps_pack *pack);
/* A pack is settled. */
void ps_feed_settled(struct ps_feed *self, const struct ps_pack *pack);

#endif
