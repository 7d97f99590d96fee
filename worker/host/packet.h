/* worker/host/packet.h: one record a packet between session, zygote and child. Both sides. */
#ifndef PS_HOST_PACKET_H
#define PS_HOST_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"

/* Sends msg as one packet, with carried (borrowed) when it is not -1. flags: MSG_DONTWAIT or 0. 0; the errors of
 * ps_msg_put and ps_sock_send. */
int ps_packet_send(int fd, const struct ps_msg *msg, int carried, int flags);
/* Receives one packet of exactly one record. buf: PS_PACKET_MAX bytes, which *ret_msg borrows from. *ret_carried: the
 * descriptor that came with it (the caller owns it), or -1. 0; PS_ERR_AGAIN; PS_ERR_CLOSED; PS_ERR_IO; PS_ERR_PROTO
 * when it was no such packet (also too long, or with several descriptors, which are closed). */
int ps_packet_recv(int fd, uint8_t *buf, struct ps_msg *ret_msg, int *ret_carried, int flags);

/* Writes text from an engine as clean UTF-8, cut to fit, into buf (max bytes with the NUL); returns buf. NULL gives "". */
const char *ps_text_clean(char *buf, size_t max, const char *text);
/* Copies a decoded text to a C string, cut to fit. */
void ps_text_copy(char *buf, size_t max, struct ps_bytes text);

#endif
