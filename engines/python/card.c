#include "engines/python/card.h"

#include <string.h>

#define RUN_MS_MAX 3600000
#define MANY       (1 << 20) /* more scans at once than there are */

static int read_list(struct ps_card_list *ret_list, json_t *array, bool paths, const char *what, char *err,
                     size_t err_max)
{
    struct ps_card_list list = {.n = json_array_size(array)};

    if (!json_is_array(array) || list.n > PS_CARD_ITEMS_MAX)
        return ps_kit_fail(err, err_max, "%s is no list of at most %d", what, PS_CARD_ITEMS_MAX);
    for (size_t i = 0; i < list.n; i++) {
        list.at[i] = json_string_value(json_array_get(array, i));
        if (!list.at[i] || (paths && list.at[i][0] != '/'))
            return ps_kit_fail(err, err_max, "%s holds something else than %s", what,
                               paths ? "full paths" : "texts");
    }
    *ret_list = list;
    return 0;
}

int ps_card_read(struct ps_card *ret_self, json_t *object, char *err, size_t err_max)
{
    json_t *programs, *readable, *writable, *hosts;
    const char *is, *kind;
    json_int_t job, run_ms, at_once;
    int updates, rc;
    struct ps_card self = {.object = object};
    json_error_t error;

    if (json_unpack_ex(object, &error, JSON_STRICT,
                       "{s:s, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:I, s:b}", "is", &is, "job",
                       &job, "kind", &kind, "types", &self.types, "licence", &self.licence, "programs",
                       &programs, "readable", &readable, "writable", &writable, "hosts", &hosts, "socket",
                       &self.socket, "run_ms", &run_ms, "at_once", &at_once, "updates", &updates))
        return ps_kit_fail(err, err_max, "what the class says of itself makes no sense: %.100s", error.text);
    rc = read_list(&self.programs, programs, true, "programs", err, err_max);
    rc = rc ? rc : read_list(&self.readable, readable, true, "readable", err, err_max);
    rc = rc ? rc : read_list(&self.writable, writable, true, "writable", err, err_max);
    rc = rc ? rc : read_list(&self.hosts, hosts, false, "update_hosts", err, err_max);
    if (rc)
        return rc;
    if ((strcmp(kind, "evilness") != 0 && strcmp(kind, "metadata") != 0) || run_ms < 0 ||
        run_ms > RUN_MS_MAX || at_once < 0 || at_once > MANY || (self.socket[0] && self.socket[0] != '/'))
        return ps_kit_fail(err, err_max, "kind, run_ms, at_once or socket is out of bounds");
    self.kind = kind[0] == 'e' ? PS_ENGINE_EVILNESS : PS_ENGINE_METADATA;
    self.run_ms = (uint32_t)run_ms;
    self.at_once = (uint32_t)at_once;
    self.updates = updates;
    (void)json_incref(object); /* returns its argument */
    *ret_self = self;
    return 0;
}

void ps_card_fini(struct ps_card *self)
{
    json_decref(self->object);
    *self = (struct ps_card){0};
}

int ps_checked_read(struct ps_checked *ret_self, json_t *object, char *err, size_t err_max)
{
    struct ps_checked self = {.object = object};
    json_int_t job, scans, ends_at;
    json_error_t error = {.text = "a number is out of bounds"};
    const char *is;
    int counts;

    if (json_unpack_ex(object, &error, JSON_STRICT, "{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:b}", "is", &is,
                       "job", &job, "reason", &self.reason, "version", &self.version, "definitions",
                       &self.definitions, "licence_scans", &scans, "licence_ends_at", &ends_at,
                       "silence_counts", &counts) ||
        scans < 0 || scans > MANY || ends_at < 0)
        return ps_kit_fail(err, err_max, "what the class says of its state makes no sense: %.100s",
                           error.text);
    self.licence_scans = (uint32_t)scans;
    self.licence_ends_at = ends_at;
    self.silence_counts = counts;
    (void)json_incref(object); /* returns its argument */
    *ret_self = self;
    return 0;
}

void ps_checked_fini(struct ps_checked *self)
{
    json_decref(self->object);
    *self = (struct ps_checked){0};
}
