#include "cli/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/command.h"

#define TEXT_MAX 65536

static const struct ps_opt options[] = {
    {"json", 'j', PS_OPT_FLAG, offsetof(struct ps_text_settings, json), 0, 0, NULL, NULL,
     "the API's answer as JSON"},
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

static size_t count_characters(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
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

int ps_text_put(FILE *to, const char *text, int max)
{
    PS_BUF struct ps_buf out;

    ps_buf_init(&out, TEXT_MAX);
    ps_utf8_put_visible(&out, text, strlen(text));
    const char *visible = ps_buf_text(&out);
    size_t n = count_characters(visible, strlen(visible));
    if (max <= 0 || n <= (size_t)max) {
        (void)fputs(visible, to);
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

int ps_text_options(int argc, char **argv, const char *usage, const char *prose,
                    struct ps_text_settings *ret_settings, int *ret_argc, char ***ret_argv)
{
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    int r = ps_opts_defaults(options, ret_settings, &why);

    if (!r)
        r = ps_opts_argv(options, ret_settings, argc, argv, false, &rest, &why);
    if (r == PS_ERR_CANCELLED) {
        (void)printf("usage: phagescan %s\n%s\n\n", usage, prose);
        ps_opts_help(options, stdout);
        return PS_EXIT_OK;
    }
    if (r) {
        (void)fprintf(stderr, "phagescan %s: %s\n", argv[0], why.text);
        return PS_EXIT_ERROR;
    }
    *ret_argc = rest.argc;
    *ret_argv = rest.argv;
    return -1;
}

int ps_text_fetch(const char *command, const char *path, bool as_json, json_t **ret_json)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct ps_error why = {0};
    json_t *json = NULL;
    int r = ps_api_new(&api, &why);

    if (!r)
        r = ps_api_get_json(api, path, &json, &why);
    if (r) {
        (void)fprintf(stderr, "phagescan %s: %s\n", command, why.text);
        return PS_EXIT_ERROR;
    }
    if (!as_json) {
        *ret_json = json;
        return -1;
    }
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(json);
    return PS_EXIT_OK;
}
