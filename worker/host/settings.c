#include "worker/host/settings.h"

#include <string.h>

#include "base/mem.h"
#include "worker/host/host.h"

#define FIELD(f) offsetof(struct ps_settings, f)

const struct ps_opt ps_settings_table[] = {
    {.name = "engine",
     .type = PS_OPT_TEXT,
     .offset = FIELD(engine),
     .unit = "name",
     .prose = "Name that the engine must have."},
    {.name = "plugin",
     .letter = 'p',
     .type = PS_OPT_TEXT,
     .offset = FIELD(plugin),
     .unit = "path",
     .prose = "The engine's plug-in."},
    {.name = "signatures",
     .letter = 's',
     .type = PS_OPT_TEXT,
     .offset = FIELD(signatures),
     .unit = "dir",
     .prose = "Directory of its signatures or rules."},
    {.name = "data",
     .letter = 'd',
     .type = PS_OPT_TEXT,
     .offset = FIELD(data),
     .unit = "dir",
     .prose = "Directory of read-only files that were shipped with it."},
    {.name = "file",
     .letter = 'f',
     .type = PS_OPT_TEXT,
     .offset = FIELD(file),
     .unit = "path",
     .prose = "With an adapter as plug-in: the file that describes the engine (NAME.engine, NAME.py)."},
    {.name = "origin",
     .type = PS_OPT_TEXT,
     .offset = FIELD(origin),
     .unit = "word",
     .prose = "What the signatures are: test, site or official, instead of what their file ORIGIN says."},
    {.name = "set",
     .type = PS_OPT_TEXT,
     .offset = FIELD(set_unused),
     .unit = "key=value",
     .prose = "A setting for the engine; repeatable."},
    {.name = "tmp",
     .type = PS_OPT_TEXT,
     .offset = FIELD(tmp),
     .unit = "dir",
     .prose = "Directory of its own for temporary files: emptied at the start."},
    {.name = "try",
     .letter = 't',
     .type = PS_OPT_FLAG,
     .offset = FIELD(try_files),
     .prose =
         "Scan the files named on the command line in a jailed child, print each result as a line of JSON."},
    {.name = "walls",
     .letter = 'w',
     .type = PS_OPT_FLAG,
     .offset = FIELD(show_walls),
     .prose = "Print what isolation this system gives to engines, and exit."},
    {.name = "control",
     .type = PS_OPT_U64,
     .offset = FIELD(control),
     .min = 3,
     .max = 65535,
     .def = NULL,
     .unit = "fd",
     .prose = "Descriptor of the socket to the worker that started this."},
    {.name = "account",
     .type = PS_OPT_TEXT,
     .offset = FIELD(account),
     .unit = "name",
     .def = "nobody",
     .prose = "When started as root: who to become before anything is loaded."},
    {.name = "own-account",
     .type = PS_OPT_FLAG,
     .offset = FIELD(own_account),
     .prose = "The worker runs under another account than this."},
    {.name = "run",
     .type = PS_OPT_MS,
     .offset = FIELD(run_ms),
     .unit = "ms",
     .prose = "With --try: time that a scan may take; the engine's own word when left out."},
    {.name = "memory",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.memory_bytes),
     .unit = "bytes",
     .def = "2G",
     .min = 1 << 20,
     .prose = "Private memory of a child above what the loaded engine has."},
    {.name = "tmp-bytes",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.tmp_bytes),
     .unit = "bytes",
     .def = "512M",
     .min = 1 << 16,
     .prose = "Temporary files of a child."},
    {.name = "tmp-inodes",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.tmp_inodes),
     .unit = "n",
     .def = "16384",
     .min = 16,
     .prose = "Number of a child's temporary files."},
    {.name = "files",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.files),
     .unit = "n",
     .def = "256",
     .min = 16,
     .max = 65536,
     .prose = "Descriptors that a child may have open."},
    {.name = "threads",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.threads),
     .unit = "n",
     .def = "256",
     .min = 8,
     .prose = "Processes and threads of this engine together."},
    {.name = "cpu",
     .type = PS_OPT_U64,
     .offset = FIELD(limits.cpu_s),
     .unit = "seconds",
     .def = "14400",
     .min = 1,
     .prose = "Processor time of a child's whole life."},
    {.name = "recycle",
     .type = PS_OPT_U64,
     .offset = FIELD(recycle),
     .unit = "n",
     .def = "2000",
     .min = 1,
     .prose = "Scans after which a child is replaced."},
    {.name = "growth",
     .type = PS_OPT_U64,
     .offset = FIELD(growth_bytes),
     .unit = "bytes",
     .def = "768M",
     .min = 1 << 20,
     .prose = "Growth of its memory after which a child is replaced."},
    {.name = "self-test",
     .type = PS_OPT_TEXT,
     .offset = FIELD(self_test_word),
     .unit = "word",
     .def = "clean",
     .prose = "none; clean: a harmless text must pass; eicar: and the EICAR test file be found."},
    {.name = "landlock-abi",
     .type = PS_OPT_U64,
     .offset = FIELD(landlock_abi),
     .unit = "n",
     .def = "100",
     .max = 100,
     .prose = "Highest version of Landlock to use; 0 for none."},
    {.name = "wall-off",
     .type = PS_OPT_LIST,
     .offset = FIELD(wall_off),
     .unit = "words",
     .prose =
         "Walls to leave off (seccomp, landlock, pid-ns, ...): consent to weaker isolation, and for tests."},
    {.name = "unjailed",
     .type = PS_OPT_FLAG,
     .offset = FIELD(unjailed),
     .prose = "Consent to engines without a system call filter where this kernel refuses one."},
    {.name = "child-stderr",
     .type = PS_OPT_FLAG,
     .offset = FIELD(child_stderr),
     .prose = "Children keep standard error, to debug an engine."},
    {.name = "explain",
     .type = PS_OPT_FLAG,
     .offset = FIELD(trap),
     .prose = "Name a refused system call on standard error, to debug an engine."},
    {.name = NULL}};

/* Takes --set X and --set=X out of argv: the values end up behind the table's arguments, in order. */
static int take_sets(struct ps_settings *self, int argc, char **argv, int *ret_argc, struct ps_error *reterr)
{
    int n = 0;

    self->set = ps_alloc((size_t)argc + 1, sizeof(*self->set));
    if (!self->set)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    for (int i = 0; i < argc; i++) {
        char *value = NULL;

        if (strncmp(argv[i], "--set=", 6) == 0)
            value = argv[i] + 6;
        else if (strcmp(argv[i], "--set") == 0 && i + 1 < argc)
            value = argv[++i];
        else
            argv[n++] = argv[i];
        if (value && !strchr(value, '='))
            return ps_error_set(reterr, PS_ERR_INVALID, "--set wants key=value, not \"%.64s\"", value);
        if (value)
            self->set[self->set_n++] = value;
    }
    argv[n] = NULL;
    *ret_argc = n;
    return 0;
}

static int read_walls(struct ps_settings *self, struct ps_error *reterr)
{
    for (size_t i = 0; i < self->wall_off.n; i++) {
        uint32_t wall;

        if (ps_wall_find(self->wall_off.at[i], &wall))
            return ps_error_set(reterr, PS_ERR_INVALID, "there is no wall \"%.64s\"", self->wall_off.at[i]);
        self->off |= wall;
    }
    return 0;
}

static int read_self_test(struct ps_settings *self, struct ps_error *reterr)
{
    static const char *const words[] = {"none", "clean", "eicar"};

    for (size_t i = 0; i < PS_ARRAY_N(words); i++)
        if (strcmp(self->self_test_word, words[i]) == 0) {
            self->self_test = (enum ps_self_test)i;
            return 0;
        }
    return ps_error_set(reterr, PS_ERR_INVALID, "--self-test is none, clean or eicar");
}

int ps_settings_read(struct ps_settings *ret_self, int argc, char **argv, struct ps_error *reterr)
{
    int rc;

    *ret_self = (struct ps_settings){0};
    rc = ps_opts_defaults(ps_settings_table, ret_self, reterr);
    if (!rc)
        rc = take_sets(ret_self, argc, argv, &argc, reterr);
    if (!rc)
        rc = ps_opts_argv(ps_settings_table, ret_self, argc, argv, false, &ret_self->rest, reterr);
    if (!rc)
        rc = read_walls(ret_self, reterr);
    return rc ? rc : read_self_test(ret_self, reterr);
}

void ps_settings_fini(struct ps_settings *self)
{
    ps_opts_fini(ps_settings_table, self);
    free(self->set);
    self->set = NULL;
}

/* What a zygote is told apart from these, or what is not for it. */
static bool is_passed_on(const char *name)
{
    static const char *const not [] = {"engine",      "plugin",       "signatures", "data",  "file",
                                       "set",         "tmp",          "try",        "walls", "control",
                                       "own-account", "child-stderr", "run"};

    for (size_t i = 0; i < PS_ARRAY_N(not ); i++)
        if (strcmp(name, not [i]) == 0)
            return false;
    return true;
}

/* Takes word. */
static int put_word(struct ps_opt_list *list, char *word)
{
    if (!word)
        return PS_ERR_NOMEM;
    list->at[list->n++] = word;
    return 0;
}

static int put_option(const struct ps_settings *self, const struct ps_opt *opt, struct ps_opt_list *list)
{
    const void *field = (const char *)self + opt->offset;
    char *const *text = field;
    const uint64_t *number = field;

    switch (opt->type) {
    case PS_OPT_FLAG:
        return *(const bool *)field ? put_word(list, ps_strf("--%s", opt->name)) : 0;
    case PS_OPT_TEXT:
        return *text ? put_word(list, ps_strf("--%s=%s", opt->name, *text)) : 0;
    case PS_OPT_MS:
        return put_word(list, ps_strf("--%s=%llums", opt->name, (unsigned long long)*number));
    case PS_OPT_U64:
        return put_word(list, ps_strf("--%s=%llu", opt->name, (unsigned long long)*number));
    case PS_OPT_LIST:
        break;
    }
    return 0;
}

int ps_settings_options(const struct ps_settings *self, struct ps_opt_list *ret_list)
{
    size_t most = self->wall_off.n + 1;
    int rc = 0;

    for (const struct ps_opt *opt = ps_settings_table; opt->name; opt++)
        most++;
    *ret_list = (struct ps_opt_list){ps_alloc(most, sizeof(char *)), 0};
    if (!ret_list->at)
        return PS_ERR_NOMEM;
    for (const struct ps_opt *opt = ps_settings_table; opt->name && !rc; opt++)
        if (is_passed_on(opt->name))
            rc = put_option(self, opt, ret_list);
    for (size_t i = 0; i < self->wall_off.n && !rc; i++)
        rc = put_word(ret_list, ps_strf("--wall-off=%s", self->wall_off.at[i]));
    return rc ? rc : put_word(ret_list, ps_strf("--child-stderr"));
}

void ps_settings_options_fini(struct ps_opt_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->at[i]);
    free(list->at);
    *list = (struct ps_opt_list){0};
}
