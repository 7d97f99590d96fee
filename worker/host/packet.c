#include "worker/host/packet.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/utf8.h"

int ps_packet_send(int fd, const struct ps_msg *msg, int carried, int flags)
{
    PS_BUF struct ps_buf buf;
    int rc;

    ps_buf_init(&buf, PS_PACKET_MAX);
    rc = ps_msg_put(&buf, msg);
    return rc ? rc : ps_sock_send(fd, buf.data, buf.len, &carried, carried >= 0 ? 1 : 0, flags);
}

int ps_packet_recv(int fd, uint8_t *buf, struct ps_msg *ret_msg, int *ret_carried, int flags)
{
    int fds[PS_SOCK_FDS_MAX];
    size_t fds_n = 0, len = 0;
    struct ps_bytes frame;
    int rc = ps_sock_recv(fd, buf, PS_PACKET_MAX, &len, fds, &fds_n, flags);

    if (rc)
        return rc == PS_ERR_LIMIT ? PS_ERR_PROTO : rc;
    frame = (struct ps_bytes){buf, len};
    if (fds_n <= 1 && ps_msg_next(&frame, ret_msg) == 1 && frame.len == 0) {
        *ret_carried = fds_n == 1 ? fds[0] : -1;
        return 0;
    }
    for (size_t i = 0; i < fds_n; i++)
        ps_close_fd_p(&fds[i]);
    return PS_ERR_PROTO;
}

const char *ps_text_clean(char *buf, size_t max, const char *text)
{
    PS_BUF struct ps_buf clean;
    size_t len = text ? strnlen(text, max) : 0;

    /* An escaped byte grows to four, so this buffer has no failure but want of memory, which gives "". */
    ps_buf_init(&clean, 4 * max + 1);
    if (len > 0)
        ps_utf8_put_clean(&clean, text, len);
    ps_text_copy(buf, max, (struct ps_bytes){clean.data, clean.len});
    return buf;
}

void ps_text_copy(char *buf, size_t max, struct ps_bytes text)
{
    size_t len = text.len < max ? text.len : ps_utf8_cut((const char *)text.at, text.len, max - 1);

    if (len > 0)
        memcpy(buf, text.at, len);
    buf[len] = '\0';
}
