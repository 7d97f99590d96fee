/* worker/watch.h: notices that files have changed: the definitions and rules of engines, and the engines themselves.
 *
 * inotify only wakes: whether something is new says the *print*, a number made of names, sizes, times and inodes of all
 * files below a path. So nothing is missed where inotify sees nothing (network file systems, too few watches), since
 * prints are taken every PS_WATCH_POLL_MS as well; and a file that was written anew with the same bytes at another time
 * counts as changed, which costs a reload and no more.
 *
 * A directory counts as quiet when nothing has happened below it for PS_WATCH_QUIET_MS; one that is never quiet is
 * looked at with the next poll. Belongs to one thread; taking a print reads directories (at most PS_WATCH_FILES_MAX
 * entries, PS_WATCH_DEPTH_MAX deep), nothing else blocks. */
#ifndef PS_WORKER_WATCH_H
#define PS_WORKER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PS_WATCH_QUIET_MS  1000  /* after the last change, before somebody looks */
#define PS_WATCH_POLL_MS   60000 /* between two looks without any event */
#define PS_WATCH_DEPTH_MAX 16    /* directories below a path */
#define PS_WATCH_FILES_MAX 16384 /* entries below a path; the rest is not looked at */

struct ps_watch;

/* 0, PS_ERR_NOMEM, or PS_ERR_IO: no inotify. */
int ps_watch_new(struct ps_watch **ret_self, uint64_t now_ms);
void ps_watch_free(struct ps_watch **self_p);
/* Readable when ps_watch_read has something. */
int ps_watch_fd(const struct ps_watch *self);
/* When ps_watch_due is to be asked. */
uint64_t ps_watch_due_ms(const struct ps_watch *self);
/* Takes in what the kernel has told. */
void ps_watch_read(struct ps_watch *self, uint64_t now_ms);
/* True when it is time to take prints anew: it is quiet after a change, or the poll is due. */
bool ps_watch_due(struct ps_watch *self, uint64_t now_ms);

/* Mixes what lies at path (a file, or a directory with all below it) into print, and has its directories watched.
 * self may be NULL: then nothing is watched. What is hidden, temporary or a scanner's own diary is left out. */
uint64_t ps_watch_print(struct ps_watch *self, const char *path, uint64_t print);
/* Has the directory that path lies in watched, not what is below: path itself is not there yet. */
void ps_watch_parent(struct ps_watch *self, const char *path);

#endif
