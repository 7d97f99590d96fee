#include "bench/dispatch/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define PER 100000.0

static uint64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void read_text(const char *directory, const char *thread, const char *name, char *text, size_t size)
{
    char path[512];
    FILE *file;
    size_t n = 0;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", directory, thread, name); /* short */
    file = fopen(path, "re");
    if (file) {
        n = fread(text, 1, size - 1, file);
        (void)fclose(file); /* only read */
    }
    text[n] = '\0';
}

static void add_thread(struct bench_usage *usage, const char *directory, const char *thread)
{
    char text[4096];

    read_text(directory, thread, "schedstat", text, sizeof(text));
    usage->cpu_ns += strtoull(text, NULL, 10);
    read_text(directory, thread, "status", text, sizeof(text));
    usage->waits_n += number_after(text, "\nvoluntary_ctxt_switches:");
    usage->forced_n += number_after(text, "nonvoluntary_ctxt_switches:");
}

static struct bench_usage of_process(long pid)
{
    struct bench_usage usage = {0};
    char directory[64];
    struct dirent *entry;
    DIR *threads;

    (void)snprintf(directory, sizeof(directory), "/proc/%ld/task", pid);
    threads = opendir(directory);
    if (!threads)
        bench_die("process %ld is gone", pid);
    while ((entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            add_thread(&usage, directory, entry->d_name);
    (void)closedir(threads); /* only read */
    return usage;
}

static long pid_of(const char *watch)
{
    const char *sign = strchr(watch, '=');

    if (!sign)
        bench_die("--watch %s: write NAME=PID", watch);
    return strtol(sign + 1, NULL, 10);
}

static size_t watched_n(const struct bench_options *options)
{
    return PS_MIN(options->watch.n, (size_t)BENCH_WATCHED_MAX - 1);
}

void bench_usage_read(const struct bench_options *options, struct bench_usage ret_usage[BENCH_WATCHED_MAX])
{
    ret_usage[0] = of_process((long)getpid());
    for (size_t i = 0; i < watched_n(options); i++)
        ret_usage[i + 1] = of_process(pid_of(options->watch.at[i]));
}

static void print_one(const char *name, int len, const struct bench_usage *before,
                      const struct bench_usage *after, size_t jobs, bool more)
{
    double scale = PER / (double)jobs;

    (void)printf("\"%.*s\": {\"cpu_s\": %.4f, \"waits\": %.0f, \"forced\": %.0f}%s", len, name,
                 (double)(after->cpu_ns - before->cpu_ns) / 1e9 * scale,
                 (double)(after->waits_n - before->waits_n) * scale,
                 (double)(after->forced_n - before->forced_n) * scale, more ? ", " : "");
}

void bench_usage_print(const struct bench_options *options, const struct bench_usage *before,
                       const struct bench_usage *after, size_t jobs)
{
    size_t n = watched_n(options);

    (void)printf(", \"cost\": {");
    print_one("client", 6, &before[0], &after[0], jobs, n > 0);
    for (size_t i = 0; i < n; i++) {
        const char *watch = options->watch.at[i];

        print_one(watch, (int)(strchr(watch, '=') - watch), &before[i + 1], &after[i + 1], jobs, i + 1 < n);
    }
    (void)printf("}");
}
