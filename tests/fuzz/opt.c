/* Lines of "name=value" and of words go into a table of every type: limits hold, nothing leaks. */
#include "base/opt.h"

#include "base/mem.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    bool flag;
    uint64_t number, bytes, wait_ms;
    char *text;
    struct ps_opt_list list;
};

static const struct ps_opt table[] = {
    {"flag", 'f', PS_OPT_FLAG, offsetof(struct settings, flag), 0, 0, NULL, NULL, "A flag."},
    {"number", 'n', PS_OPT_U64, offsetof(struct settings, number), 3, 900, "7", "n", "A number."},
    {"bytes", 'b', PS_OPT_U64, offsetof(struct settings, bytes), 0, 0, "1k", "bytes", "A size."},
    {"wait", 0, PS_OPT_MS, offsetof(struct settings, wait_ms), 10, 60000, "5", "ms", "A time."},
    {"text", 't', PS_OPT_TEXT, offsetof(struct settings, text), 0, 0, NULL, "path", "A text."},
    {"list", 'l', PS_OPT_LIST, offsetof(struct settings, list), 0, 0, "a,b", "name", "A list."},
    {0},
};

static void check(const struct settings *s)
{
    if (s->number < 3 || s->number > 900 || s->wait_ms < 10 || s->wait_ms > 60000 ||
        s->list.n > PS_OPT_LIST_ITEMS_MAX)
        abort();
    for (size_t i = 0; i < s->list.n; i++)
        if (s->list.at[i][0] == '\0' || strchr(s->list.at[i], ','))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PS_FREE char *copy = ps_strndup((const char *)data, size);
    char program[] = "program", *words[WORDS_MAX + 2], *rest = copy, *line;
    struct ps_error error = {0};
    struct ps_opts_args args;
    struct settings s;
    int n = 0;

    if (!copy || ps_opts_defaults(table, &s, &error))
        abort();
    words[n++] = program;
    while (n <= WORDS_MAX && (line = strsep(&rest, "\n")))
        words[n++] = line;
    words[n] = NULL;
    for (int i = 1; i < n; i++) {
        PS_FREE char *name = ps_strndup(words[i], strcspn(words[i], "="));
        const char *value = strchr(words[i], '=');

        if (name)
            (void)ps_opts_set(table, &s, name, value ? value + 1 : NULL, &error); /* both ends are fine */
    }
    (void)ps_opts_argv(table, &s, n, words, size % 2, &args, &error); /* likewise */
    check(&s);
    ps_opts_fini(table, &s);
    return 0;
}
