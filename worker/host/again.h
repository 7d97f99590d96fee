/* worker/host/again.h: asking a loaded engine's probe again, in a process that does nothing else: is the program still
 * installed, the daemon alive, is there room on the disk? Engine host only. */
#ifndef PS_HOST_AGAIN_H
#define PS_HOST_AGAIN_H

#include <stddef.h>
#include <sys/types.h>

struct ps_plugin;

#define PS_AGAIN_S          30         /* a probe that takes longer is killed, and counts as failed */
#define PS_AGAIN_DISK_BYTES (16 << 20) /* less room than this for temporary files is none */

/* Forks it. tmp: the zygote's directory. The caller waits for *ret_pid, then calls ps_again_end with *ret_fd and how it
 * ended. 0 or a ps_err. */
int ps_again_start(struct ps_plugin *plugin, const char *tmp, pid_t *ret_pid, int *ret_fd);
/* Closes fd. ret_text: why the engine can't be used; "" when it can. */
void ps_again_end(int fd, int wait_status, char *ret_text, size_t max);

#endif
