#include "engines/manifest/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "engines/kit/kit.h"

#define STEPS_MAX    200000 /* of a match: some milliseconds */
#define DEPTH_MAX    1000
#define HEAP_MAX_KIB 4096

const char *ps_said_word(enum ps_said said)
{
    static const char *const words[] = {"nothing", "clean",      "unsupported", "incomplete",
                                        "error",   "suspicious", "malicious",   "",
                                        "label",   "trait"};

    return words[said];
}

int ps_pattern_read(struct ps_pattern *ret_self, const char *text, char *err, size_t err_max)
{
    struct ps_pattern self = {.text = strdup(text)};
    PCRE2_UCHAR why[128] = "";
    PCRE2_SIZE at = 0;
    int error = 0;

    if (!self.text)
        return ps_kit_fail(err, err_max, "out of memory");
    if (strlen(text) <= PS_PATTERN_MAX)
        self.code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C, &error,
                                  &at, NULL);
    if (self.code && ps_pattern_groups(&self) <= PS_PATTERN_GROUPS) {
        *ret_self = self;
        return 0;
    }
    if (self.code || strlen(text) > PS_PATTERN_MAX)
        (void)ps_kit_fail(err, err_max, "a pattern has more than %d bytes or %d named groups", PS_PATTERN_MAX,
                          PS_PATTERN_GROUPS); /* says -1, as this does */
    else if (pcre2_get_error_message(error, why, sizeof(why)))
        (void)ps_kit_fail(err, err_max, "the pattern is wrong at its character %zu: %s", at + 1,
                          (const char *)why); /* likewise */
    ps_pattern_fini(&self);
    return -1;
}

void ps_pattern_fini(struct ps_pattern *self)
{
    pcre2_code_free(self->code);
    free(self->text);
    *self = (struct ps_pattern){0};
}

unsigned ps_pattern_groups(const struct ps_pattern *self)
{
    uint32_t n = 0;

    (void)pcre2_pattern_info(self->code, PCRE2_INFO_NAMECOUNT, &n); /* a valid question */
    return n;
}

bool ps_pattern_has_group(const struct ps_pattern *self, const char *name)
{
    return pcre2_substring_number_from_name(self->code, (PCRE2_SPTR)name) > 0;
}

/* PCRE2's table of names: entries of entry_size bytes, a two-byte number and the name with its NUL. */
static void take_captures(const struct ps_pattern *self, const char *line, pcre2_match_data *data,
                          struct ps_captures *ret_captures)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
    uint32_t pairs = pcre2_get_ovector_count(data), entry_size = 0;
    PCRE2_SPTR table = NULL;

    ret_captures->n = 0;
    (void)pcre2_pattern_info(self->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size); /* valid questions, both */
    (void)pcre2_pattern_info(self->code, PCRE2_INFO_NAMETABLE, &table);
    for (unsigned i = 0; i < ps_pattern_groups(self); i++) {
        PCRE2_SPTR entry = table + (size_t)i * entry_size;
        unsigned number = (unsigned)entry[0] << 8 | entry[1];
        struct ps_capture *capture = &ret_captures->at[ret_captures->n];
        size_t len;

        /* \K in a lookahead can make a match that ends before it starts. */
        if (number >= pairs || ends[2 * number] == PCRE2_UNSET || ends[2 * number + 1] < ends[2 * number])
            continue;
        len = ends[2 * number + 1] - ends[2 * number];
        len = len < PS_CAPTURE_MAX ? len : PS_CAPTURE_MAX;
        capture->name = (const char *)entry + 2;
        memcpy(capture->text, line + ends[2 * number], len);
        capture->text[len] = '\0';
        ret_captures->n++;
    }
}

int ps_pattern_match(const struct ps_pattern *self, const char *line, size_t len,
                     struct ps_captures *ret_captures)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(self->code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    int rc = PCRE2_ERROR_NOMEMORY;

    if (data && limits) {
        (void)pcre2_set_match_limit(limits, STEPS_MAX); /* these can't fail */
        (void)pcre2_set_depth_limit(limits, DEPTH_MAX);
        (void)pcre2_set_heap_limit(limits, HEAP_MAX_KIB);
        rc = pcre2_match(self->code, (PCRE2_SPTR)line, len, 0, 0, data, limits);
    }
    if (rc >= 0)
        take_captures(self, line, data, ret_captures);
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

const char *ps_captures_find(const struct ps_captures *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++)
        if (strcmp(self->at[i].name, name) == 0)
            return self->at[i].text;
    return NULL;
}
