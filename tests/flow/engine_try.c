/* tests/flow/engine_try.c: loads one engine and scans files with it, without worker, host or jail.
 *
 *     engine_try MODULE.so [-s SIGNATURES] [-t TMPDIR] [-o KEY=VALUE]... [-w] [-j] FILE...
 *
 * One line a file: path, outcome, labels, reason, with tabs between. -w warms first and then says so on standard
 * error (whatever strace shows after that is what the jail would see); -j prints the traits as well. */
#include "tests/unit/engine_fake.h"

#include <dlfcn.h>

static const struct ps_engine *load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct ps_engine *engine = module ? dlsym(module, "ps_engine_entry") : NULL;

    if (!engine) {
        (void)fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    if (engine->abi != PS_ENGINE_ABI || engine->size != sizeof(*engine)) {
        (void)fprintf(stderr, "%s: ABI %u, size %u; this is %d, %zu\n", path, engine->abi, engine->size,
                      PS_ENGINE_ABI, sizeof(*engine));
        exit(2);
    }
    return engine;
}

static void try_file(const struct ps_engine *engine, void *state, const char *path, const char *tmpdir,
                     bool traits)
{
    struct fake_report report;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        printf("%s\tunreadable\n", path);
        return;
    }
    fake_scan_fd(engine, state, fd, tmpdir, &report);
    (void)close(fd);
    printf("%s\t%s\t", path, fake_word(report.outcome));
    for (size_t i = 0; i < report.findings_n; i++)
        printf("%s%s", i ? "," : "", report.findings[i].label);
    printf("\t%s\n", report.reason);
    if (traits && json_object_size(report.traits)) {
        (void)json_dumpf(report.traits, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
        printf("\n");
    }
    (void)fflush(stdout);
    fake_fini(&report);
}

int main(int argc, char **argv)
{
    const char *signatures = NULL, *tmpdir = "/tmp";
    struct ps_engine_info info = {.version = ""};
    const struct ps_engine *engine;
    struct fake_conf conf;
    const char *settings[FAKE_SETTINGS_MAX] = {NULL};
    size_t settings_n = 0;
    bool warm = false, traits = false;
    char err[512] = "";
    void *state = NULL;
    int option;

    if (argc < 2)
        return 2;
    engine = load(argv[1]);
    optind = 2;
    while ((option = getopt(argc, argv, "s:t:o:wj")) != -1) {
        if (option == 's')
            signatures = optarg;
        else if (option == 't')
            tmpdir = optarg;
        else if (option == 'o' && settings_n < FAKE_SETTINGS_MAX - 1)
            settings[settings_n++] = optarg;
        else if (option == 'w')
            warm = true;
        else if (option == 'j')
            traits = true;
        else
            return 2;
    }
    json_object_seed(0); /* it is read from a file, which would look as if the engine did it */
    fake_conf_init(&conf, signatures, tmpdir);
    memcpy(conf.settings, settings, sizeof(settings));
    if (engine->open && engine->open(&conf.conf, &state, err, sizeof(err))) {
        (void)fprintf(stderr, "%s: %s\n", engine->name, err);
        return 2;
    }
    if (engine->info)
        engine->info(state, &info);
    (void)fprintf(stderr, "%s %s, definitions '%s', %llu signatures, built %lld, silence %s%s%s\n",
                  engine->name, info.version, info.definitions, (unsigned long long)info.signatures,
                  (long long)info.built_at, info.silence_counts ? "counts" : "does not count",
                  info.note && *info.note ? ": " : "", info.note ? info.note : "");
    if (warm && engine->warm && engine->warm(state, err, sizeof(err)))
        (void)fprintf(stderr, "%s: warm: %s\n", engine->name, err);
    if (engine->enter && engine->enter(state, tmpdir, err, sizeof(err)))
        (void)fprintf(stderr, "%s: enter: %s\n", engine->name, err);
    if (warm)
        (void)fprintf(stderr, "warmed\n");
    for (int i = optind; i < argc; i++)
        try_file(engine, state, argv[i], tmpdir, traits);
    if (engine->close)
        engine->close(state);
    return 0;
}
