#include "proto/peer/parts.h"

#include <errno.h>

size_t ps_parts_receive(void *socket, zmq_msg_t *parts, size_t max)
{
    zmq_msg_t surplus;
    size_t n = 0;
    int more = 1;

    while (more) {
        zmq_msg_t *part = n < max ? &parts[n] : &surplus;

        (void)zmq_msg_init(part); /* always 0 */
        while (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0)
            if (errno != EINTR) {
                (void)zmq_msg_close(part);
                return n;
            }
        more = zmq_msg_more(part);
        n++;
        if (part == &surplus)
            (void)zmq_msg_close(part);
    }
    return n;
}
