/* The command line and the help of an option table: the half of opt.h that talks to people. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/opt.h"

#define HELP_INDENT 28 /* columns before the prose */
#define HELP_WIDTH  80 /* columns */

enum { CODE_HELP = 256, CODE_VERSION, CODE_FIRST }; /* getopt's return values above any letter */

struct lines {
    struct option longs[PS_OPTS_MAX + 3]; /* the table, help, version, end */
    char letters[2 * PS_OPTS_MAX + 8];    /* "+:", a letter and a colon for each, "hV" */
    size_t table_n;                       /* options of the table */
};

static const struct ps_opt *by_letter(const struct ps_opt *table, int letter)
{
    for (; table->name; table++)
        if (table->letter && table->letter == letter)
            return table;
    return NULL;
}

static void fill(struct lines *l, const struct ps_opt *table, bool stop_at_first)
{
    char *letter = l->letters;
    size_t n = 0;

    if (stop_at_first)
        *letter++ = '+';
    *letter++ = ':'; /* a missing value is told apart from an unknown option */
    for (const struct ps_opt *opt = table; opt->name; opt++, n++) {
        assert(n < PS_OPTS_MAX);
        l->longs[n].name = opt->name;
        l->longs[n].has_arg = opt->type == PS_OPT_FLAG ? optional_argument : required_argument;
        l->longs[n].val = CODE_FIRST + (int)n;
        if (!opt->letter)
            continue;
        *letter++ = opt->letter;
        if (opt->type != PS_OPT_FLAG)
            *letter++ = ':';
    }
    l->table_n = n;
    l->longs[n++] = (struct option){"help", no_argument, NULL, CODE_HELP};
    l->longs[n] = (struct option){"version", no_argument, NULL, CODE_VERSION};
    if (!by_letter(table, 'h'))
        *letter++ = 'h';
    if (!by_letter(table, 'V'))
        *letter++ = 'V';
}

/* argv's word that getopt has just refused, without dashes and value. */
static int refuse(const struct ps_opt *table, const char *word, bool missing, struct ps_error *reterr)
{
    char name[64];

    if (missing)
        return ps_error_set(reterr, PS_ERR_INVALID, "option %.64s needs a value", word);
    if (strncmp(word, "--", 2) != 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "unknown option -%c", optopt);
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="),
                   word + 2); /* cut is good enough */
    if (optopt >= CODE_HELP)
        return ps_error_set(reterr, PS_ERR_INVALID, "option --%s takes no value", name);
    return ps_opts_unknown(table, name, reterr);
}

static int apply(const struct ps_opt *table, void *settings, const struct ps_opt *opt, bool *seen,
                 struct ps_error *reterr)
{
    if (!*seen)
        ps_opts_forget(table, settings, opt->name);
    *seen = true;
    return ps_opts_set(table, settings, opt->name, optarg, reterr);
}

int ps_opts_argv(const struct ps_opt *table, void *settings, int argc, char **argv, bool stop_at_first,
                 struct ps_opts_args *ret_rest, struct ps_error *reterr)
{
    struct lines l = {0};
    bool seen[PS_OPTS_MAX] = {false};
    int code, rc = 0;

    fill(&l, table, stop_at_first);
    optind = 0; /* GNU: start afresh, also after an earlier call */
    opterr = 0;
    while (!rc && (code = getopt_long(argc, argv, l.letters, l.longs, NULL)) != -1) {
        const struct ps_opt *opt = code < CODE_HELP ? by_letter(table, code) : NULL;

        if (code >= CODE_FIRST)
            opt = &table[code - CODE_FIRST];
        if (opt)
            rc = apply(table, settings, opt, &seen[opt - table], reterr);
        else if (code == CODE_HELP || code == 'h')
            rc = ps_error_set(reterr, PS_ERR_CANCELLED, "help");
        else if (code == CODE_VERSION || code == 'V')
            rc = ps_error_set(reterr, PS_ERR_CANCELLED, "version");
        else
            rc = refuse(table, argv[optind - 1], code == ':', reterr);
    }
    if (rc)
        return rc;
    *ret_rest = (struct ps_opts_args){argc - optind, argv + optind};
    return 0;
}

/* Prints "  -x, --name=UNIT" and returns the column it ends in. */
static int print_name(const struct ps_opt *opt, FILE *to)
{
    char letter[8] = "    ";
    int n;

    if (opt->letter)
        (void)snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
    n = fprintf(to, "  %s--%s", letter, opt->name);
    if (opt->type == PS_OPT_FLAG)
        return n;
    n += fprintf(to, "=");
    for (const char *at = opt->unit ? opt->unit : "value"; *at; at++, n++)
        (void)fputc(toupper((unsigned char)*at), to); /* the caller looks at ferror if it cares */
    return n;
}

/* Prints words from column at on, wrapped before HELP_WIDTH. */
static void print_prose(const char *prose, int at, FILE *to)
{
    if (at + 2 > HELP_INDENT) {
        (void)fputc('\n', to);
        at = 0;
    }
    at += fprintf(to, "%*s", HELP_INDENT - at, "");
    while (*prose) {
        int len = (int)strcspn(prose, " ");

        if (at > HELP_INDENT && at + 1 + len > HELP_WIDTH)
            at = fprintf(to, "\n%*s", HELP_INDENT, "") - 1;
        at += fprintf(to, "%s%.*s", at > HELP_INDENT ? " " : "", len, prose);
        prose += len;
        prose += strspn(prose, " ");
    }
    (void)fputc('\n', to);
}

void ps_opts_help(const struct ps_opt *table, FILE *to)
{
    static const struct ps_opt common[] = {
        {.name = "help", .letter = 'h', .prose = "Print this and exit."},
        {.name = "version", .letter = 'V', .prose = "Print the version and exit."}};

    for (const struct ps_opt *opt = table; opt->name; opt++) {
        bool told = opt->def && opt->def[0] && strcmp(opt->def, "no") != 0;
        PS_FREE char *prose = ps_strf("%s%s%s%s", opt->prose ? opt->prose : "", told ? " [" : "",
                                      told ? opt->def : "", told ? "]" : "");

        print_prose(prose ? prose : "", print_name(opt, to), to);
    }
    for (size_t i = 0; i < PS_ARRAY_N(common); i++) {
        struct ps_opt opt = common[i];

        if (by_letter(table, opt.letter))
            opt.letter = 0;
        print_prose(opt.prose, print_name(&opt, to), to);
    }
}
