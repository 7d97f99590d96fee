#include "master/scan/brief.h"

#include "base/clock.h"
#include "base/outcome.h"

const char *ps_brief_cause(unsigned cause)
{
    static const char *const words[] = {"unknown", "submission", "rescan", "backfill"};

    return words[cause < sizeof(words) / sizeof(words[0]) ? cause : 0];
}

/* json_object_set_new and its kin accept NULL values as failures, so one look at the end is enough. */
static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *time_or_null(int64_t real_us)
{
    char text[PS_RFC3339_MAX];

    return real_us ? json_string(ps_clock_rfc3339(text, real_us)) : json_null();
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *texts(const char *const *items, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(array, json_string(items[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

json_t *ps_brief_json(const struct ps_brief *brief)
{
    json_t *object = json_object();
    int failed = 0;

    failed |= json_object_set_new(object, "id", number(brief->id));
    failed |= json_object_set_new(object, "status", json_string(brief->verdict ? "done" : "queued"));
    failed |= json_object_set_new(object, "verdict",
                                  text_or_null(brief->verdict ? ps_verdict_word(brief->verdict) : NULL));
    failed |= json_object_set_new(object, "positives", number(brief->positives));
    failed |= json_object_set_new(object, "total", number(brief->total));
    failed |= json_object_set_new(object, "failed", number(brief->failed));
    failed |= json_object_set_new(object, "incomplete", number(brief->incomplete));
    failed |= json_object_set_new(object, "pending", number(brief->pending));
    failed |= json_object_set_new(object, "label", text_or_null(brief->label));
    failed |= json_object_set_new(object, "reasons", texts(brief->reasons, brief->reasons_n));
    failed |= json_object_set_new(object, "type", text_or_null(brief->type));
    failed |= json_object_set_new(object, "profile", text_or_null(brief->profile));
    failed |= json_object_set_new(object, "cause", json_string(ps_brief_cause(brief->cause)));
    failed |= json_object_set_new(object, "submitted_at", time_or_null(brief->submitted_us));
    failed |= json_object_set_new(object, "finished_at", time_or_null(brief->finished_us));
    failed |= json_object_set_new(object, "seq", brief->seq ? number(brief->seq) : json_null());
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *hex(const uint8_t sha256[32])
{
    char text[PS_SHA256_HEX];

    ps_hex_encode(text, sha256, PS_SHA256_BYTES);
    return json_string(text);
}

static json_t *submission_json(const struct ps_brief_submission *s)
{
    json_t *object = json_object();
    int failed = 0;

    failed |= json_object_set_new(object, "id", number(s->id));
    failed |= json_object_set_new(object, "name", text_or_null(s->name));
    failed |= json_object_set_new(object, "source_path", text_or_null(s->source_path));
    failed |= json_object_set_new(object, "batch", text_or_null(s->batch));
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *submissions_json(const struct ps_brief_submission *items, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(array, submission_json(&items[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static char *dump(json_t *object, int failed)
{
    char *text = failed ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    return text;
}

char *ps_brief_scan_event(const struct ps_brief *brief, const uint8_t sha256[32], uint64_t size,
                          const struct ps_brief_submission *submissions, size_t submissions_n)
{
    json_t *object = json_object();
    int failed = 0;

    failed |= json_object_set_new(object, "event", json_string("scan"));
    failed |= json_object_set_new(object, "seq", number(brief->seq));
    failed |= json_object_set_new(object, "scan", ps_brief_json(brief));
    failed |= json_object_set_new(object, "sha256", hex(sha256));
    failed |= json_object_set_new(object, "size", number(size));
    failed |= json_object_set_new(object, "submissions", submissions_json(submissions, submissions_n));
    return dump(object, failed);
}

char *ps_brief_result_event(uint64_t scan, const uint8_t sha256[32], const char *engine, unsigned outcome,
                            const char *label, unsigned pending)
{
    json_t *object = json_object();
    int failed = 0;

    failed |= json_object_set_new(object, "event", json_string("result"));
    failed |= json_object_set_new(object, "scan", number(scan));
    failed |= json_object_set_new(object, "sha256", hex(sha256));
    failed |= json_object_set_new(object, "engine", json_string(engine));
    failed |= json_object_set_new(object, "outcome", json_string(ps_outcome_word(outcome)));
    failed |= json_object_set_new(object, "label", text_or_null(label && label[0] ? label : NULL));
    failed |= json_object_set_new(object, "pending", number(pending));
    return dump(object, failed);
}
