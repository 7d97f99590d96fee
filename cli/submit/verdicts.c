#include "cli/submit/verdicts.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/mem.h"
#include "base/outcome.h"
#include "cli/text.h"

#define PAGE "500" /* submissions the server gives at once */

struct entry {
    int64_t id;   /* submission */
    bool early;   /* its verdict was shown, and is not asked for (yet) */
    bool adopted; /* of an earlier run */
    UT_hash_handle hh;
};

struct ps_verdicts {
    struct ps_api *api;
    const char *batch;
    struct ps_show *show;
    struct entry *entries; /* uthash by id */
    size_t early_n;
};

int ps_verdicts_new(struct ps_verdicts **ret_self, struct ps_api *api, const char *batch,
                    struct ps_show *show)
{
    struct ps_verdicts *self = PS_NEW(struct ps_verdicts);

    if (!self)
        return PS_ERR_NOMEM;
    self->api = api;
    self->batch = batch;
    self->show = show;
    *ret_self = self;
    return 0;
}

static void drop(struct ps_verdicts *self, struct entry *entry)
{
    self->early_n -= entry->early;
    HASH_DEL(self->entries, entry);
    free(entry);
}

void ps_verdicts_free(struct ps_verdicts **self_p)
{
    struct ps_verdicts *self = *self_p;

    if (!self)
        return;
    while (self->entries)
        drop(self, self->entries);
    free(self);
    *self_p = NULL;
}

static struct entry *find(struct ps_verdicts *self, int64_t id)
{
    struct entry *entry = NULL;

    HASH_FIND(hh, self->entries, &id, sizeof(id), entry);
    return entry;
}

static int add(struct ps_verdicts *self, int64_t id, bool early, bool adopted)
{
    struct entry *entry = PS_NEW(struct entry);

    if (!entry)
        return PS_ERR_NOMEM;
    entry->id = id;
    entry->early = early;
    entry->adopted = adopted;
    HASH_ADD(hh, self->entries, id, sizeof(entry->id), entry);
    if (!find(self, id)) { /* uthash had no memory */
        free(entry);
        return PS_ERR_NOMEM;
    }
    self->early_n += early;
    return 0;
}

size_t ps_verdicts_left(const struct ps_verdicts *self)
{
    return HASH_COUNT(self->entries) - self->early_n;
}

int ps_verdicts_expect(struct ps_verdicts *self, int64_t submission)
{
    struct entry *entry = find(self, submission);

    if (!entry)
        return add(self, submission, false, false);
    if (entry->early) {
        self->show->done_n++;
        drop(self, entry);
    }
    return 0;
}

void ps_verdicts_all_expected(struct ps_verdicts *self)
{
    struct entry *entry, *next;

    if (!self->early_n)
        return;
    HASH_ITER (hh, self->entries, entry, next)
        if (entry->early)
            drop(self, entry);
}

static void take_one(struct ps_verdicts *self, const json_t *event, const json_t *submission)
{
    int64_t id = ps_number_of(submission, "id");
    struct entry *entry = find(self, id);

    if (entry && !entry->early) {
        ps_show_verdict(self->show, event, submission);
        self->show->done_n += !entry->adopted;
        drop(self, entry);
    } else if (!entry && !strcmp(ps_text_of(json_object_get(event, "scan"), "cause"), "submission")) {
        /* Not a rescan or a back-fill of what was told already. */
        if (add(self, id, true, false) == 0)
            ps_show_verdict(self->show, event, submission);
    }
}

void ps_verdicts_take(struct ps_verdicts *self, const json_t *event)
{
    const json_t *submission;
    size_t i;

    if (strcmp(ps_text_of(event, "event"), "scan") != 0)
        return;
    json_array_foreach (json_object_get(event, "submissions"), i, submission)
        if (!strcmp(ps_text_of(submission, "batch"), self->batch))
            take_one(self, event, submission);
}

/* ---- asking ---- */

/* Goes through the batch's submissions, newest first, down to the id last; word: of this verdict only, or NULL. */
static int each_submission(struct ps_verdicts *self, const char *word, int64_t last,
                           int (*visit)(struct ps_verdicts *self, const json_t *item),
                           struct ps_error *reterr)
{
    PS_FREE char *before = NULL;
    int64_t next = 0;
    int r = 0;

    do {
        PS_FREE char *at = next ? ps_strf("&before=%lld", (long long)next) : ps_strf("%s", "");
        PS_FREE char *path = ps_strf("/api/v1/submissions?limit=" PAGE "&batch=%s%s%s%s", self->batch,
                                     word ? "&verdict=" : "", word ? word : "", at ? at : "");
        json_t *page = NULL;
        const json_t *item;
        size_t i;

        if (!at || !path)
            return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
        r = ps_api_get_json(self->api, path, &page, reterr);
        if (r)
            return r;
        json_array_foreach (json_object_get(page, "items"), i, item)
            if (!r)
                r = visit(self, item);
        next = ps_number_of(page, "next");
        json_decref(page);
    } while (!r && next > last);
    return r;
}

static int look_at(struct ps_verdicts *self, const json_t *item)
{
    const json_t *scan = json_object_get(item, "scan");
    struct entry *entry = find(self, ps_number_of(item, "id"));

    if (!entry || entry->early || !*ps_text_of(scan, "verdict"))
        return 0;
    json_t *event = json_pack("{s:O, s:O?}", "scan", scan, "sha256", json_object_get(item, "sha256"));
    if (!event)
        return PS_ERR_NOMEM;
    take_one(self, event, item);
    json_decref(event);
    return 0;
}

int ps_verdicts_look(struct ps_verdicts *self, struct ps_error *reterr)
{
    int64_t last = INT64_MAX;
    const struct entry *entry;

    for (entry = self->entries; entry; entry = entry->hh.next)
        if (!entry->early)
            last = PS_MIN(last, entry->id);
    return last == INT64_MAX ? 0 : each_submission(self, NULL, last, look_at, reterr);
}

static int adopt(struct ps_verdicts *self, const json_t *item)
{
    int64_t id = ps_number_of(item, "id");

    return find(self, id) ? 0 : add(self, id, false, true);
}

int ps_verdicts_adopt(struct ps_verdicts *self, struct ps_error *reterr)
{
    return each_submission(self, "queued", 0, adopt, reterr);
}

static int note_earlier(struct ps_verdicts *self, const json_t *item)
{
    ps_show_earlier(self->show, ps_text_of(json_object_get(item, "scan"), "verdict"));
    return PS_ERR_CANCELLED; /* one of a kind is enough */
}

int ps_verdicts_earlier(struct ps_verdicts *self, struct ps_error *reterr)
{
    static const unsigned bad[] = {PS_VERDICT_MALICIOUS, PS_VERDICT_SUSPICIOUS, PS_VERDICT_INCONCLUSIVE};
    int r = 0;

    for (size_t i = 0; !r && i < PS_ARRAY_N(bad); i++) {
        r = each_submission(self, ps_verdict_word(bad[i]), 0, note_earlier, reterr);
        if (r == PS_ERR_CANCELLED)
            r = 0;
    }
    return r;
}
