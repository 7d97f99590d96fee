#include "master/web/shapes.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "db/row.h"
#include "master/scan/brief.h"

#define REASONS_MAX     32
#define SUBMISSIONS_MAX 128 /* the statement gives 100 at most */

/* json_object_set_new and its kin take NULL for a failure: one look at the end is enough. */
struct shape {
    json_t *object;
    int failed;
};

static void set(struct shape *self, const char *name, json_t *value)
{
    self->failed |= json_object_set_new(self->object, name, value);
}

static json_t *done(struct shape *self)
{
    if (self->failed) {
        json_decref(self->object);
        self->object = NULL;
    }
    return self->object;
}

json_t *ps_shape_text(const PGresult *result, int row, int col)
{
    struct ps_bytes text = ps_row_bytes(result, row, col);

    return ps_row_null(result, row, col) ? json_null() : json_stringn((const char *)text.at, text.len);
}

json_t *ps_shape_time(const PGresult *result, int row, int col)
{
    char text[PS_RFC3339_MAX];

    return ps_row_null(result, row, col)
               ? json_null()
               : json_string(ps_clock_rfc3339(text, ps_row_time_us(result, row, col)));
}

json_t *ps_shape_hash(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = ps_row_bytes(result, row, col);
    char hex[PS_SHA256_HEX];

    ps_hex_encode(hex, bytes.at, PS_MIN(bytes.len, (size_t)PS_SHA256_BYTES));
    return json_string(hex);
}

json_t *ps_shape_texts(const PGresult *result, int row, int col)
{
    json_t *array = json_array();
    struct ps_row_array walk = ps_row_array(result, row, col);
    struct ps_bytes text;
    int failed = 0;

    while (ps_row_array_next(&walk, &text, NULL))
        failed |= json_array_append_new(array, json_stringn((const char *)text.at, text.len));
    if (failed) {
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *number(const PGresult *result, int row, int col)
{
    return json_integer((json_int_t)ps_row_i64(result, row, col));
}

/* ---- texts of arrays, NUL-terminated ---- */

struct texts {
    char *block; /* owned */
    const char *at[SUBMISSIONS_MAX];
    size_t n;
};

/* Copies the elements; null ones are NULL. */
static void texts_read(struct texts *self, const PGresult *result, int row, int col, size_t max)
{
    struct ps_row_array walk = ps_row_array(result, row, col);
    struct ps_bytes text;
    bool null;
    char *to;

    memset(self, 0, sizeof(*self));
    self->block = to = ps_alloc(1, ps_row_bytes(result, row, col).len + max);
    while (self->block && self->n < max && ps_row_array_next(&walk, &text, &null)) {
        self->at[self->n++] = null ? NULL : to;
        if (null)
            continue;
        memcpy(to, text.at, text.len);
        to += text.len;
        *to++ = '\0';
    }
}

/* ---- briefs ---- */

static struct ps_brief brief_of(const PGresult *result, int row, int col, const struct texts *reasons)
{
    return (struct ps_brief){
        .id = (uint64_t)ps_row_i64(result, row, col),
        .verdict = (unsigned)ps_row_i64(result, row, col + 1),
        .positives = (unsigned)ps_row_i64(result, row, col + 2),
        .total = (unsigned)ps_row_i64(result, row, col + 3),
        .failed = (unsigned)ps_row_i64(result, row, col + 4),
        .incomplete = (unsigned)ps_row_i64(result, row, col + 5),
        .pending = (unsigned)ps_row_i64(result, row, col + 6),
        .label = ps_row_text(result, row, col + 7),
        .reasons = reasons->at,
        .reasons_n = reasons->n,
        .type = ps_row_text(result, row, col + 9),
        .profile = ps_row_text(result, row, col + 10),
        .cause = (unsigned)ps_row_i64(result, row, col + 11),
        .submitted_us = ps_row_time_us(result, row, col + 12),
        .finished_us = ps_row_null(result, row, col + 13) ? 0 : ps_row_time_us(result, row, col + 13),
        .seq = (uint64_t)ps_row_i64(result, row, col + 14),
    };
}

json_t *ps_shape_brief(const PGresult *result, int row, int col)
{
    struct texts reasons;

    texts_read(&reasons, result, row, col + 8, REASONS_MAX);
    struct ps_brief brief = brief_of(result, row, col, &reasons);
    json_t *json = ps_brief_json(&brief);
    free(reasons.block);
    return json;
}

int64_t ps_shape_brief_seq(const PGresult *result, int row, int col)
{
    return ps_row_i64(result, row, col + 14);
}

char *ps_shape_scan_event(const PGresult *result, int row, int col)
{
    struct ps_brief_submission submissions[SUBMISSIONS_MAX];
    struct texts reasons, names, paths, batches;
    struct ps_row_array ids = ps_row_array(result, row, col + PS_SHAPE_BRIEF_COLS + 2);
    struct ps_bytes id;
    size_t n = 0;

    texts_read(&reasons, result, row, col + 8, REASONS_MAX);
    texts_read(&names, result, row, col + PS_SHAPE_BRIEF_COLS + 3, SUBMISSIONS_MAX);
    texts_read(&paths, result, row, col + PS_SHAPE_BRIEF_COLS + 4, SUBMISSIONS_MAX);
    texts_read(&batches, result, row, col + PS_SHAPE_BRIEF_COLS + 5, SUBMISSIONS_MAX);
    for (; n < names.n && ps_row_array_next(&ids, &id, NULL); n++)
        submissions[n] = (struct ps_brief_submission){.id = (uint64_t)ps_row_int(id),
                                                      .name = names.at[n],
                                                      .source_path = n < paths.n ? paths.at[n] : NULL,
                                                      .batch = n < batches.n ? batches.at[n] : NULL};

    struct ps_brief brief = brief_of(result, row, col, &reasons);
    struct ps_bytes sha256 = ps_row_bytes(result, row, col + PS_SHAPE_BRIEF_COLS);
    char *text = sha256.len == PS_SHA256_BYTES
                     ? ps_brief_scan_event(&brief, sha256.at,
                                           (uint64_t)ps_row_i64(result, row, col + PS_SHAPE_BRIEF_COLS + 1),
                                           submissions, n)
                     : NULL;
    free(reasons.block);
    free(names.block);
    free(paths.block);
    free(batches.block);
    return text;
}

json_t *ps_shape_scan(const PGresult *result, int row)
{
    struct shape shape = {ps_shape_brief(result, row, 0), 0};

    set(&shape, "sha256", ps_shape_hash(result, row, PS_SHAPE_BRIEF_COLS));
    set(&shape, "size", number(result, row, PS_SHAPE_BRIEF_COLS + 1));
    return done(&shape);
}

/* ---- submissions ---- */

static const char *visibility_word(int64_t n)
{
    static const char *const words[] = {"everyone", "team", "owner"};

    return n >= 0 && n < (int64_t)PS_ARRAY_N(words) ? words[n] : "owner"; /* a stranger: the narrowest */
}

json_t *ps_shape_submission(const PGresult *result, int row, int col)
{
    struct shape shape = {json_object(), 0};

    set(&shape, "id", number(result, row, col));
    set(&shape, "sha256", ps_shape_hash(result, row, col + 1));
    set(&shape, "size", number(result, row, col + 2));
    set(&shape, "name", ps_shape_text(result, row, col + 3));
    set(&shape, "source_path", ps_shape_text(result, row, col + 4));
    set(&shape, "batch", ps_shape_text(result, row, col + 5));
    set(&shape, "tags", ps_shape_texts(result, row, col + 6));
    set(&shape, "visibility", json_string(visibility_word(ps_row_i64(result, row, col + 7))));
    set(&shape, "owner", ps_shape_text(result, row, col + 8));
    set(&shape, "submitted_at", ps_shape_time(result, row, col + 9));
    set(&shape, "scan", ps_shape_brief(result, row, col + 10));
    return done(&shape);
}

/* ---- results ---- */

static json_t *duration_ms(const PGresult *result, int row, int col)
{
    return ps_row_null(result, row, col) ? json_null()
                                         : json_real((double)ps_row_i64(result, row, col) / 1000.0);
}

static json_t *files(const PGresult *result, int row, int col)
{
    struct ps_bytes text = ps_row_json(result, row, col);
    json_t *json = text.len ? json_loadb((const char *)text.at, text.len, 0, NULL) : NULL;

    return json_is_array(json) ? json : (json_decref(json), json_array());
}

static json_t *traits(const PGresult *result, int row, int col)
{
    struct ps_bytes text = ps_row_json(result, row, col);
    json_t *json =
        text.len ? json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;

    return json_is_object(json) ? json : (json_decref(json), json_object());
}

/* Is this answer part of M (scan/verdict.h)? The row's own word says only whether its silence would be: what was found
 * counts always. */
static bool is_counted(const PGresult *result, int row, int col)
{
    unsigned outcome = (unsigned)ps_row_i64(result, row, col + 3);

    return ps_row_i64(result, row, col + 2) == PS_KIND_EVILNESS && ps_outcome_definite(outcome) &&
           (outcome != PS_OUTCOME_UNDETECTED || ps_row_bool(result, row, col + 4));
}

json_t *ps_shape_result(const PGresult *result, int row, int col)
{
    struct shape shape = {json_object(), 0};
    bool final = !ps_row_null(result, row, col + 3);

    set(&shape, "job", number(result, row, col));
    set(&shape, "engine", ps_shape_text(result, row, col + 1));
    set(&shape, "kind",
        json_string(ps_row_i64(result, row, col + 2) == PS_KIND_EVILNESS ? "evilness" : "metadata"));
    set(&shape, "status", json_string(final ? "done" : "queued"));
    set(&shape, "outcome",
        final ? json_string(ps_outcome_word((unsigned)ps_row_i64(result, row, col + 3))) : json_null());
    set(&shape, "counted", json_boolean(final && is_counted(result, row, col)));
    set(&shape, "required", json_boolean(ps_row_bool(result, row, col + 5)));
    set(&shape, "cached", json_boolean(ps_row_bool(result, row, col + 6)));
    set(&shape, "label", ps_shape_text(result, row, col + 7));
    set(&shape, "reason", ps_shape_text(result, row, col + 8));
    set(&shape, "version", ps_shape_text(result, row, col + 9));
    set(&shape, "definitions", ps_shape_text(result, row, col + 10));
    set(&shape, "origin", ps_shape_text(result, row, col + 11));
    set(&shape, "worker", ps_shape_text(result, row, col + 12));
    set(&shape, "wait_ms", duration_ms(result, row, col + 13));
    set(&shape, "run_ms", duration_ms(result, row, col + 14));
    set(&shape, "cpu_ms", duration_ms(result, row, col + 15));
    set(&shape, "finished_at", ps_shape_time(result, row, col + 16));
    set(&shape, "lost", number(result, row, col + 17));
    set(&shape, "traits", traits(result, row, col + 18));
    set(&shape, "files", files(result, row, col + 19));
    return done(&shape);
}

json_t *ps_shape_results(const PGresult *result)
{
    json_t *array = json_array();
    int failed = 0;

    for (int i = 0; i < ps_row_n(result); i++)
        failed |= json_array_append_new(array, ps_shape_result(result, i, 0));
    if (failed) {
        json_decref(array);
        return NULL;
    }
    return array;
}
