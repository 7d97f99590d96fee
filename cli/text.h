/* cli/text.h: JSON of the API as text for people. */
#ifndef PS_CLI_TEXT_H
#define PS_CLI_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/opt.h"

#define PS_TEXT_SHOWN_MAX 65536 /* bytes of one text that is shown; the rest is cut off */

/* A member as text; "" when it is not there. Lent by object. */
const char *ps_text_of(const json_t *object, const char *key);
int64_t ps_number_of(const json_t *object, const char *key);

/* Prints text that may come from an enemy: control characters are shown, not obeyed. At most max characters when max
 * is not 0, the middle left out. Returns the characters printed. */
int ps_text_put(FILE *to, const char *text, int max);
/* Characters that ps_text_put prints without max. */
size_t ps_text_width(const char *text);
/* The same, left-aligned in a column. */
void ps_text_cell(const char *text, int width);

/* Prints "phagescan COMMAND: why" on standard error. Returns PS_EXIT_ERROR. */
int ps_text_complain(const char *command, const char *why);

/* Reads a command's line. usage: "report [--json] SHA256|FILE". Help, version and complaints are printed here. Returns
 * -1 to go on with *ret_rest, else the exit status. ps_opts_fini is the caller's in any case. */
int ps_text_options(const struct ps_opt *table, void *settings, int argc, char **argv, const char *usage,
                    const char *prose, struct ps_opts_args *ret_rest);

/* The option that every reading command has: --json. */
struct ps_text_json {
    bool json;
};
extern const struct ps_opt ps_text_json_options[];

/* Fetches path. The caller owns *ret_json. Returns -1 to go on, else the exit status; errors are printed. */
int ps_text_fetch(const char *command, const char *path, json_t **ret_json);
/* Prints an answer as it came, as ASCII. */
void ps_text_put_json(const json_t *json);

#endif
