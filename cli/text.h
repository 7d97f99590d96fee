/* cli/text.h: JSON of the API as text for people. */
#ifndef PS_CLI_TEXT_H
#define PS_CLI_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A member as text; "" when it is not there. Lent by object. */
const char *ps_text_of(const json_t *object, const char *key);
int64_t ps_number_of(const json_t *object, const char *key);

/* Prints text that may come from an enemy: control characters are shown, not obeyed. At most max characters when max
 * is not 0, the middle left out. Returns the characters printed. */
int ps_text_put(FILE *to, const char *text, int max);
/* The same, left-aligned in a column. */
void ps_text_cell(const char *text, int width);

/* A small table of options that every reading command has: --json. Returns -1 to go on with *ret_args, else the exit
 * status. */
struct ps_text_settings {
    bool json;
};
int ps_text_options(int argc, char **argv, const char *usage, const char *prose,
                    struct ps_text_settings *ret_settings, int *ret_argc, char ***ret_argv);

/* Fetches path and prints it with --json. Returns -1 with *ret_json to go on (the caller's to free), else the exit
 * status; errors are printed. */
int ps_text_fetch(const char *command, const char *path, bool as_json, json_t **ret_json);

#endif
