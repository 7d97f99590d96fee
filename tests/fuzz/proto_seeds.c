/* proto-seeds DIRECTORY: writes a seed for every message of the table, and one with all of them in a frame. */
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/unit/proto_fill.h"

static int write_seed(const char *dir, const char *name, const struct ps_buf *seed)
{
    PS_FREE char *path = ps_strf("%s/%s", dir, name);

    if (!path || ps_file_replace(path, seed->data, seed->len, 0644)) {
        (void)fprintf(stderr, "can't write %s\n", path ? path : name);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    PS_BUF struct ps_buf all, one;
    int failed = 0;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: proto-seeds DIRECTORY\n");
        return 2;
    }
    ps_buf_init(&all, PS_FRAME_MAX);
    ps_buf_init(&one, PS_FRAME_MAX);
    for (size_t i = 0; i < FILL_IDS_N && !failed; i++) {
        struct fill small = {.mode = FILL_SMALL}, empty = {.mode = FILL_EMPTY};
        struct ps_msg msg;

        ps_buf_clear(&one);
        fill_msg(&empty, fill_ids[i], &msg);
        failed = ps_msg_put(&all, &msg) != 0;
        fill_msg(&small, fill_ids[i], &msg);
        failed |= ps_msg_put(&one, &msg) || write_seed(argv[1], ps_msg_name(fill_ids[i]), &one);
        fill_fini(&small);
        fill_fini(&empty);
    }
    return failed || write_seed(argv[1], "all", &all);
}
