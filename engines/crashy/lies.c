/* Reports, true and false. */
#include "engines/crashy/crashy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define BIG_BYTES 65536
#define FLOOD_N   10000
#define PACKET_BYTES \
    (140 * 1024) /* more than a packet may have, and little enough for the socket to take it */
#define FD_MAX       2048
#define HOST_FD_BASE 512 /* the host's own descriptors lie from here on */
#define LOG_LINES    200000

static enum ps_found do_flood_traits(struct scan *scan)
{
    char *json = malloc(BIG_BYTES), key[32];

    if (!json)
        return PS_FOUND_FAILURE;
    memset(json, 'x', BIG_BYTES);
    json[0] = json[BIG_BYTES - 1] = '"';
    for (int i = 0; i < FLOOD_N; i++) {
        (void)snprintf(key, sizeof(key), "flood_%d", i);
        (void)scan->report->trait(scan->report->host, key, json, BIG_BYTES);
    }
    free(json);
    return PS_FOUND_UNDETECTED;
}

static enum ps_found do_flood_findings(struct scan *scan)
{
    char label[32];

    for (int i = 0; i < FLOOD_N; i++) {
        (void)snprintf(label, sizeof(label), "Flood.%d", i);
        (void)scan->report->finding(scan->report->host, PS_FOUND_SUSPICIOUS, label);
    }
    return PS_FOUND_SUSPICIOUS;
}

static enum ps_found do_bad_json(struct scan *scan)
{
    static const char bad[] = "{\"open\": [1, 2", nul[] = "\"a\0b\"";

    (void)scan->report->trait(scan->report->host, "bad", bad, sizeof(bad) - 1);
    (void)scan->report->trait(scan->report->host, "nul", nul, sizeof(nul) - 1);
    (void)scan->report->trait(scan->report->host, "\xff\xfe not a key", "1", 1);
    return PS_FOUND_UNDETECTED;
}

static enum ps_found find(struct scan *scan, enum ps_found what, const char *otherwise)
{
    (void)scan->report->finding(scan->report->host, what, *scan->argument ? scan->argument : otherwise);
    return what;
}

static enum ps_found do_malicious(struct scan *scan)
{
    return find(scan, PS_FOUND_MALICIOUS, "Crashy.Malicious");
}

static enum ps_found do_suspicious(struct scan *scan)
{
    return find(scan, PS_FOUND_SUSPICIOUS, "Crashy.Suspicious");
}

static enum ps_found do_harmless(struct scan *scan)
{
    return find(scan, PS_FOUND_HARMLESS, "Crashy.Harmless");
}

static enum ps_found do_incomplete(struct scan *scan)
{
    scan->report->reason(scan->report->host, "%s",
                         *scan->argument ? scan->argument : "told to be incomplete");
    return PS_FOUND_INCOMPLETE;
}

static enum ps_found do_failure(struct scan *scan)
{
    scan->report->reason(scan->report->host, "%s", *scan->argument ? scan->argument : "told to fail");
    return PS_FOUND_FAILURE;
}

/* Says nothing was found after it said what was found, and ends with a number that is no outcome. */
static enum ps_found do_lie(struct scan *scan)
{
    (void)scan->report->finding(scan->report->host, (enum ps_found)99, "Crashy.Lie\xff\n<script>");
    scan->report->reason(scan->report->host, "line one\nline two \x1b[31m\xff");
    return (enum ps_found)77;
}

/* Ends well after it has found the worst: the finding has to win. */
static enum ps_found do_contradict(struct scan *scan)
{
    (void)scan->report->finding(scan->report->host, PS_FOUND_MALICIOUS, "Crashy.Contradiction");
    (void)scan->report->finding(scan->report->host, PS_FOUND_HARMLESS, "Crashy.Harmless");
    return PS_FOUND_HARMLESS;
}

/* Standard output, standard error, and then the system's log. */
static enum ps_found do_flood_logs(struct scan *scan)
{
    static const char line[] = "crashy says something, and again, and again, and again, and again\n";

    for (int i = 0; i < LOG_LINES; i++)
        if (write(1 + i % 2, line, sizeof(line) - 1) < 0)
            return crashy_held(scan);
    return PS_FOUND_UNDETECTED;
}

static enum ps_found do_syslog(struct scan *scan)
{
    for (int i = 0; i < FLOOD_N; i++)
        syslog(LOG_EMERG, "crashy was here");
    return crashy_through(scan, "Wall.Syslog");
}

/* The socket to the session, which belongs to the host. */
static int find_socket(void)
{
    struct stat st;

    for (int fd = HOST_FD_BASE; fd < FD_MAX; fd++)
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            return fd;
    return -1;
}

static int put_packet(int fd, const void *bytes, size_t len)
{
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};

    return sendmsg(fd, &head, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* MessagePack: a H_DONE (76) for a job below 128, which says harmless. */
#define DONE(job) 0x99, 76, (job), 4, 0xc3, 0xa0, 0xa0, 0, 0, 0xc2

static const unsigned char garbage[] = "\xff\x00garbage, not a record";
static const unsigned char done_other[] = {DONE(127)};
static const unsigned char done_twice[] = {DONE(1), DONE(1)};
static const unsigned char done_cut[] = {0x99, 76, 1, 4, 0xc3};
/* A finding (74) whose label says that it has 4 GiB. */
static const unsigned char lying_length[] = {0x94, 74, 1, 1, 0xdb, 0xff, 0xff, 0xff, 0xff, 'x'};
static const unsigned char lying_list[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 74};
/* What only the zygote may say: an end (69) of somebody's child. */
static const unsigned char not_ours[] = {0x96, 69, 0, 0, 0xa0, 0, 0};
static unsigned char huge[PACKET_BYTES];

static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t len;
} packets[] = {
    {"garbage", garbage, sizeof(garbage)},
    {"empty", garbage, 0},
    {"other-job", done_other, sizeof(done_other)},
    {"twice", done_twice, sizeof(done_twice)},
    {"cut", done_cut, sizeof(done_cut)},
    {"length", lying_length, sizeof(lying_length)},
    {"list", lying_list, sizeof(lying_list)},
    {"not-ours", not_ours, sizeof(not_ours)},
    {"huge", huge, sizeof(huge)},
};

/* Speaks past the host: sends the packet of that name and then waits for what comes of it. */
static enum ps_found do_packet(struct scan *scan)
{
    int fd = find_socket();

    for (size_t i = 0; fd >= 0 && i < sizeof(packets) / sizeof(packets[0]); i++) {
        if (strcmp(packets[i].name, scan->argument) != 0)
            continue;
        if (put_packet(fd, packets[i].bytes, packets[i].len) < 0)
            return crashy_held(scan);
        crashy_hang();
    }
    return PS_FOUND_FAILURE;
}

/* Findings, past the bound that the host keeps on its side. */
static enum ps_found do_packet_flood(struct scan *scan)
{
    static const unsigned char finding[] = {0x94, 74, 1, 2, 0xa1, 'x'};
    int fd = find_socket();

    while (fd >= 0 && put_packet(fd, finding, sizeof(finding)) == 0)
        continue;
    return crashy_held(scan);
}

const struct crashy_command crashy_lies[] = {
    {"flood-traits", do_flood_traits},
    {"flood-findings", do_flood_findings},
    {"flood-logs", do_flood_logs},
    {"syslog", do_syslog},
    {"bad-json", do_bad_json},
    {"malicious", do_malicious},
    {"suspicious", do_suspicious},
    {"harmless", do_harmless},
    {"incomplete", do_incomplete},
    {"failure", do_failure},
    {"lie", do_lie},
    {"contradict", do_contradict},
    {"packet", do_packet},
    {"packet-flood", do_packet_flood},
    {NULL, NULL},
};
