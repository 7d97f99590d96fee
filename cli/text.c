#include "cli/text.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/command.h"

const struct ps_opt ps_text_json_options[] = {
    {"json", 'j', PS_OPT_FLAG, offsetof(struct ps_text_json, json), 0, 0, NULL, NULL, "the answer as JSON"},
    {0},
};

const char *ps_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int64_t ps_number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static size_t count_characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80; /* code points: good enough for columns */
    return n;
}

/* Bytes of the first n characters. */
static size_t bytes_of(const char *text, size_t n)
{
    size_t i = 0;

    while (text[i] && (n > 0 || ((unsigned char)text[i] & 0xC0) == 0x80)) {
        n -= ((unsigned char)text[i] & 0xC0) != 0x80;
        i++;
    }
    return i;
}

/* Into out, an empty buffer; lent by it. */
static const char *make_visible(struct ps_buf *out, const char *text)
{
    /* What is cut off first leaves room for an escape of eight bytes for every one. */
    ps_buf_init(out, 8 * PS_TEXT_SHOWN_MAX);
    ps_utf8_put_visible(out, text, ps_utf8_cut(text, strlen(text), PS_TEXT_SHOWN_MAX));
    return ps_buf_text(out);
}

size_t ps_text_width(const char *text)
{
    PS_BUF struct ps_buf out;

    return count_characters(make_visible(&out, text));
}

int ps_text_put(FILE *to, const char *text, int max)
{
    PS_BUF struct ps_buf out;
    const char *visible = make_visible(&out, text);
    size_t n = count_characters(visible);

    if (max <= 0 || n <= (size_t)max) {
        (void)fputs(visible, to); /* the command's end looks for errors of its streams */
        return (int)n;
    }
    size_t head = (size_t)max / 2, tail = (size_t)max - head - 1;
    (void)fwrite(visible, bytes_of(visible, head), 1, to);
    (void)fputs("…", to);
    (void)fputs(visible + bytes_of(visible, n - tail), to);
    return max;
}

void ps_text_cell(const char *text, int width)
{
    int n = ps_text_put(stdout, text, width);

    (void)printf("%*s", width - n + 2, "");
}

int ps_text_complain(const char *command, const char *why)
{
    (void)fprintf(stderr, "phagescan %s: ", command);
    (void)ps_text_put(stderr, why, 0);
    (void)fputc('\n', stderr);
    return PS_EXIT_ERROR;
}

int ps_text_options(const struct ps_opt *table, void *settings, int argc, char **argv, const char *usage,
                    const char *prose, struct ps_opts_args *ret_rest)
{
    struct ps_error why = {0};
    int r = ps_opts_defaults(table, settings, &why);

    if (!r)
        r = ps_opts_argv(table, settings, argc, argv, false, ret_rest, &why);
    if (r == PS_ERR_CANCELLED && !strcmp(why.text, "version")) {
        (void)puts("phagescan " PS_VERSION);
        return PS_EXIT_OK;
    }
    if (r == PS_ERR_CANCELLED) {
        (void)printf("usage: phagescan %s\n%s\n\n", usage, prose);
        ps_opts_help(table, stdout);
        return PS_EXIT_OK;
    }
    return r ? ps_text_complain(argv[0], why.text) : -1;
}

int ps_text_fetch(const char *command, const char *path, json_t **ret_json)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct ps_error why = {0};
    int r = ps_api_new(&api, &why);

    if (!r)
        r = ps_api_get_json(api, path, ret_json, &why);
    return r ? ps_text_complain(command, why.text) : -1;
}

void ps_text_put_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    (void)putchar('\n');
}
