/* Derived files and pictures. */
#include "engines/crashy/crashy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (32u * 1024 * 1024)

/* N BYTES [SEED]: so many files of so many bytes each, all different; the same for the same seed. */
static enum ps_found do_files(struct scan *scan)
{
    const struct ps_engine_report *report = scan->report;
    unsigned n = 0, bytes = 0, seed = 0;
    unsigned char *data;
    int refused = 0;

    if (sscanf(scan->argument, "%u %u %u", &n, &bytes, &seed) < 2 || bytes > BYTES_MAX ||
        !(data = malloc((size_t)bytes + 1)))
        return PS_FOUND_FAILURE;
    for (unsigned i = 0; i < n; i++) {
        unsigned state = seed * 1000003u + i + 1;
        char name[64];

        for (unsigned at = 0; at < bytes; at++) {
            state = state * 1664525u + 1013904223u;
            data[at] = (unsigned char)(state >> 24);
        }
        (void)snprintf(name, sizeof(name), "../dir/part-%u.bin", i);
        refused |= report->artifact(report->host, name, "application/x-part", data, bytes);
    }
    free(data);
    (void)refused; /* the host says so by itself */
    return PS_FOUND_UNDETECTED;
}

/* A picture of one pixel, and a page that must never be shown. */
static enum ps_found do_picture(struct scan *scan)
{
    const struct ps_engine_report *report = scan->report;
    static const unsigned char gif[] =
        "GIF89a\1\0\1\0\200\0\0\0\0\0\377\377\377!\371\4\1\0\0\0\0,\0\0\0\0\1\0\1\0"
        "\0\2\2D\1\0;";
    static const char page[] = "<script>alert(1)</script>";

    if (report->picture(report->host, "pixel.gif", "image/gif", gif, sizeof(gif) - 1) ||
        report->picture(report->host, "page \"x\".html", "text/html", page, sizeof(page) - 1))
        return PS_FOUND_FAILURE;
    return PS_FOUND_UNDETECTED;
}

const struct crashy_command crashy_files[] = {{"files", do_files}, {"picture", do_picture}, {NULL, NULL}};
