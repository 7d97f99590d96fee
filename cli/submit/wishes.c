#include "cli/submit/wishes.h"

#include <string.h>

#include "base/mem.h"
#include "cli/text.h"

#define FIELD(f) offsetof(struct ps_wishes, f)
const struct ps_opt ps_wishes_options[] = {
    {"wait", 'w', PS_OPT_FLAG, FIELD(wait), 0, 0, NULL, NULL,
     "wait for the verdicts (the default on a terminal)"},
    {"no-wait", 0, PS_OPT_FLAG, FIELD(no_wait), 0, 0, NULL, NULL,
     "return when everything is acknowledged; exit status 0 says that, and nothing of verdicts"},
    {"json", 'j', PS_OPT_FLAG, FIELD(json), 0, 0, NULL, NULL,
     "one JSON object a line and file on standard output"},
    {"table", 't', PS_OPT_FLAG, FIELD(table), 0, 0, NULL, NULL,
     "a table of all files at the end (implies --wait)"},
    {"quiet", 'q', PS_OPT_FLAG, FIELD(quiet), 0, 0, NULL, NULL, "findings and errors only"},
    {"profile", 'p', PS_OPT_TEXT, FIELD(profile), 0, 0, NULL, "name",
     "set of engines: full, fast, mail, or one of your own"},
    {"engines", 'e', PS_OPT_LIST, FIELD(engines), 0, 0, NULL, "names",
     "these engines instead of a profile's; those that judge are required"},
    {"priority", 0, PS_OPT_TEXT, FIELD(priority), 0, 0, NULL, "band",
     "interactive or batch (the default for more than one file)"},
    {"tags", 0, PS_OPT_LIST, FIELD(tags), 0, 0, NULL, "words", "tags of these submissions"},
    {"visibility", 0, PS_OPT_TEXT, FIELD(visibility), 0, 0, NULL, "who", "everyone, team or owner"},
    {"exclude", 'x', PS_OPT_LIST, FIELD(exclude), 0, 0, NULL, "globs",
     "pass over files and folders whose name or path matches"},
    {"one-file-system", 0, PS_OPT_FLAG, FIELD(one_file_system), 0, 0, NULL, NULL,
     "stay on the file system of each argument"},
    {"resume", 0, PS_OPT_TEXT, FIELD(resume), 0, 0, NULL, "file",
     "keep in this file what was acknowledged: a sweep goes on where it stopped, and passes over what has "
     "not changed"},
    {"name", 0, PS_OPT_TEXT, FIELD(name), 0, 0, "stdin", "name", "what to call standard input"},
    {"patience", 0, PS_OPT_MS, FIELD(patience_ms), 0, 0, "5m", "time",
     "give up when the server takes nothing for so long"},
    {0},
};
#undef FIELD

static int check_word(const char *option, const char *word, const char *const *words, const char *prose,
                      struct ps_error *reterr)
{
    for (const char *const *at = words; word && *at; at++)
        if (!strcmp(word, *at))
            return 0;
    return word ? ps_error_set(reterr, PS_ERR_INVALID, "--%s=%.64s: it is %s", option, word, prose) : 0;
}

int ps_wishes_check(const struct ps_wishes *self, struct ps_error *reterr)
{
    static const char *const bands[] = {"interactive", "batch", NULL};
    static const char *const who[] = {"everyone", "team", "owner", NULL};
    int r = check_word("priority", self->priority, bands, "interactive or batch", reterr);

    if (!r)
        r = check_word("visibility", self->visibility, who, "everyone, team or owner", reterr);
    if (!r && self->no_wait && (self->wait || self->table))
        r = ps_error_set(reterr, PS_ERR_INVALID, "--no-wait and --%s exclude each other",
                         self->wait ? "wait" : "table");
    if (!r && self->profile && self->engines.n)
        r = ps_error_set(reterr, PS_ERR_INVALID, "--profile and --engines exclude each other");
    return r;
}

static bool has_name(const json_t *items, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach (items, i, item)
        if (!strcmp(ps_text_of(item, "name"), name))
            return true;
    return false;
}

static int ask(struct ps_api *api, const char *path, const char *what, char *const *names, size_t names_n,
               struct ps_error *reterr)
{
    json_t *json = NULL;
    int r = names_n ? ps_api_get_json(api, path, &json, reterr) : 0;

    if (r == PS_ERR_UNAVAILABLE || r == PS_ERR_BUSY)
        return 0; /* patience is for what is sent: then the server says it of each file */
    for (size_t i = 0; !r && i < names_n; i++)
        if (!has_name(json_object_get(json, "items"), names[i]))
            r = ps_error_set(reterr, PS_ERR_INVALID, "the server has no %s \"%.64s\"", what, names[i]);
    json_decref(json);
    return r;
}

int ps_wishes_ask(const struct ps_wishes *self, struct ps_api *api, struct ps_error *reterr)
{
    int r = ask(api, "/api/v1/profiles", "profile", &self->profile, self->profile != NULL, reterr);

    return r ? r : ask(api, "/api/v1/engines", "engine", self->engines.at, self->engines.n, reterr);
}

static int put_list(json_t *to, const char *key, const struct ps_opt_list *list, struct ps_error *reterr)
{
    json_t *array = list->n ? json_array() : NULL;

    if (array && json_object_set_new(to, key, array) != 0)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < list->n; i++)
        if (json_array_append_new(array, json_string(list->at[i])) != 0)
            return ps_error_set(reterr, PS_ERR_INVALID, "--%s is not valid UTF-8", key);
    return 0;
}

int ps_wishes_common(const struct ps_wishes *self, bool single, json_t **ret_json, struct ps_error *reterr)
{
    const char *priority = self->priority ? self->priority : single ? "interactive" : "batch";
    json_t *json = json_pack("{s:s, s:s*, s:s*}", "priority", priority, "profile", self->profile,
                             "visibility", self->visibility);
    int r = json ? 0 : ps_error_set(reterr, PS_ERR_INVALID, "--profile is not valid UTF-8");

    if (!r)
        r = put_list(json, "engines", &self->engines, reterr);
    if (!r)
        r = put_list(json, "tags", &self->tags, reterr);
    if (r)
        json_decref(json);
    else
        *ret_json = json;
    return r;
}
