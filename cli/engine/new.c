/* phagescan engine new: a directory with a manifest that works as it is, and the script that it runs. Whoever writes an
 * engine changes a thing that works, line by line, instead of a form. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/engine/commands.h"
#include "cli/text.h"

struct wishes {
    char *kind; /* owned */
    char *in;   /* owned */
};

#define FIELD(f) offsetof(struct wishes, f)

static const struct ps_opt options[] = {
    {"kind", 'k', PS_OPT_TEXT, FIELD(kind), 0, 0, "evilness", "word",
     "evilness: it judges; metadata: it describes."},
    {"in", 'i', PS_OPT_TEXT, FIELD(in), 0, 0, ".", "dir", "Where the directory is made."},
    {0},
};

#define COMMON_HEAD                                                                                          \
    "# A manifest: how Phagescan runs a program and what its answers mean. docs/engines.md explains every\n" \
    "# line. Try it: phagescan engine test DIRECTORY [FILE...]\n"                                            \
    "\n"                                                                                                     \
    "[engine]\n"

#define COMMON_TAIL                                                                                          \
    "\n"                                                                                                     \
    "# Nothing but these can be executed, and nothing but libraries and these can be read. The first words " \
    "of\n"                                                                                                   \
    "# commands and this directory are among them.\n"                                                        \
    "[grants]\n"

static const char judging[] =
    COMMON_HEAD "kind = evilness\n"
                "description = looks for the EICAR test file\n"
                "deadline = 30s\n"
                "# The EICAR test file must be found when the engine is loaded, or it is not offered.\n"
                "self-test = eicar\n"
                "# types = application/pdf, image/*\n"
                "# serial = yes\n"
                "# licence-scans = 4\n"
                "# licence-ends = 2031-12-31\n"
                "\n"
                "[run]\n"
                "# fd: {sample} is /proc/self/fd/3; file: a copy; stream: standard input.\n"
                "sample = fd\n"
                "command = /bin/sh {engine}/scan.sh {sample}\n"
                "\n"
                "[ask]\n"
                "version = /bin/sh {engine}/scan.sh --version\n"
                "version-match = (?<version>[0-9.]+)$\n"
                "\n"
                "# What no exit status and no line here speaks for is a failure, never clean.\n"
                "[exit]\n"
                "clean = 0\n"
                "malicious = 1\n"
                "error = 2-255\n"
                "\n"
                "[match]\n"
                "malicious = ^FOUND (?<label>\\S+)$\n"
                "clean = ^OK$\n" COMMON_TAIL "programs = /usr/bin/grep\n";

static const char judging_script[] =
    "#!/bin/sh\n"
    "# Stands for a scanner: says what it found, and so does its exit status.\n"
    "if [ \"$1\" = --version ]; then\n"
    "    echo \"example scanner 1.0\"\n"
    "    exit 0\n"
    "fi\n"
    "/usr/bin/grep -q 'EICAR-STANDARD-ANTIVIRUS' -- \"$1\"\n"
    "case $? in\n"
    "0) echo \"FOUND Eicar-Test\"; exit 1 ;;\n"
    "1) echo \"OK\"; exit 0 ;;\n"
    "*) echo \"the sample can't be read\"; exit 2 ;;\n"
    "esac\n";

static const char describing[] =
    COMMON_HEAD "kind = metadata\n"
                "description = counts lines, words and bytes\n"
                "deadline = 30s\n"
                "\n"
                "[run]\n"
                "# fd: {sample} is /proc/self/fd/3; file: a copy; stream: standard input.\n"
                "sample = fd\n"
                "command = /bin/sh {engine}/scan.sh {sample}\n"
                "# A program that prints one JSON object: its members are the traits.\n"
                "# output = json\n"
                "\n"
                "# What no exit status and no line here speaks for is a failure.\n"
                "[exit]\n"
                "clean = 0\n"
                "error = 1-255\n"
                "\n"
                "# Each named group is a trait.\n"
                "[match]\n"
                "trait = ^\\s*(?<lines>\\d+)\\s+(?<words>\\d+)\\s+(?<bytes>\\d+)\n"
                "clean = ^\\s*\\d+\n" COMMON_TAIL "programs = /usr/bin/wc\n";

static const char describing_script[] = "#!/bin/sh\n"
                                        "# Stands for a program that describes a file.\n"
                                        "exec /usr/bin/wc -- \"$1\"\n";

static int write_in(const char *dir, const char *name, const char *suffix, const char *text, mode_t mode,
                    struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/%s%s", dir, name, suffix);
    int rc = path ? ps_file_replace(path, text, strlen(text), mode) : PS_ERR_NOMEM;

    return rc ? ps_error_set(reterr, rc, "%s/%s%s can't be written: %s", dir, name, suffix, ps_err_text(rc))
              : 0;
}

static int make(const struct wishes *wishes, const char *name, char **ret_dir, struct ps_error *reterr)
{
    bool judges = !strcmp(wishes->kind, "evilness");
    PS_FREE char *dir = ps_strf("%s/%s", wishes->in, name);
    int rc;

    if (!judges && strcmp(wishes->kind, "metadata") != 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "--kind is evilness or metadata");
    if (!ps_engine_name_valid(name))
        return ps_error_set(reterr, PS_ERR_INVALID, "a name has 1 to 64 of a-z, 0-9, _ and -");
    if (!dir)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (mkdir(dir, 0755) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s can't be made: %s", dir, strerror(errno));
    rc = write_in(dir, name, ".engine", judges ? judging : describing, 0644, reterr);
    rc = rc ? rc : write_in(dir, "scan", ".sh", judges ? judging_script : describing_script, 0755, reterr);
    if (!rc)
        *ret_dir = PS_TAKE(dir);
    return rc;
}

int ps_engine_new(int argc, char **argv)
{
    struct ps_opts_args rest = {0};
    struct wishes wishes = {0};
    struct ps_error why = {0};
    PS_FREE char *dir = NULL;
    int status = ps_text_options(
        options, &wishes, argc, argv, "engine new [OPTION...] NAME",
        "Writes the directory NAME with a manifest and a script that work, to be changed.", &rest);

    if (status < 0 && rest.argc != 1)
        status = ps_text_complain(argv[0], "it takes one argument, the name of the engine");
    if (status < 0 && make(&wishes, rest.argv[0], &dir, &why))
        status = ps_text_complain(argv[0], why.text);
    if (status < 0) {
        (void)printf("%s/%s.engine and %s/scan.sh are written. Try them: phagescan engine test %s\n", dir,
                     rest.argv[0], dir, dir);
        status = PS_EXIT_OK;
    }
    ps_opts_fini(options, &wishes);
    return status;
}
