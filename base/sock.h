/* base/sock.h: UNIX sockets that carry descriptors. Descriptors are close-on-exec everywhere. Any thread. */
#ifndef PS_BASE_SOCK_H
#define PS_BASE_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A connected pair of SOCK_SEQPACKET sockets, CLOEXEC. 0 or a ps_err. */
int ps_sock_pair(int ret_fds[2]);
/* Sends one packet with up to PS_SOCK_FDS_MAX descriptors (the caller keeps them). flags: MSG_DONTWAIT or 0.
 * 0; PS_ERR_AGAIN when it would block; PS_ERR_CLOSED; PS_ERR_LIMIT (packet too large); PS_ERR_IO. */
int ps_sock_send(int fd, const void *data, size_t len, const int *fds, size_t fds_n, int flags);
#define PS_SOCK_FDS_MAX 4
/* Receives one packet: *ret_len bytes and *ret_fds_n descriptors (owned by the caller, CLOEXEC). A packet
 * longer than max, or with more descriptors than PS_SOCK_FDS_MAX, is dropped, its descriptors closed:
 * PS_ERR_LIMIT. PS_ERR_AGAIN, PS_ERR_CLOSED at end of file, PS_ERR_IO. */
int ps_sock_recv(int fd, void *buf, size_t max, size_t *ret_len, int ret_fds[PS_SOCK_FDS_MAX],
                 size_t *ret_fds_n, int flags);
/* Listens at a path (an old socket file nobody answers on is replaced; a live one gives PS_ERR_CONFLICT),
 * with the file mode given. 0 with *ret_fd. */
int ps_sock_listen_unix(const char *path, mode_t mode, int *ret_fd);
int ps_sock_connect_unix(const char *path, int *ret_fd);
/* Who is at the other end of a UNIX stream socket (SO_PEERCRED). */
int ps_sock_peer(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid);
/* Listens on TCP at host:port; port 0 takes a free one; *ret_port is the one taken. PS_ERR_CONFLICT when
 * busy. */
int ps_sock_listen_tcp(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port);

#endif
