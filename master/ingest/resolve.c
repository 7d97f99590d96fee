#include "master/ingest/resolve.h"

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "db/pg.h"

#define PROFILES_N 1000 /* profiles that are read; more are not seen */
#define SETS_N     4096 /* engine sets whose id is kept */

struct engine {
    int16_t id;
    bool judges; /* evilness */
    bool enabled;
    char *name; /* owned */
};

/* Names of engines; owned. */
struct names {
    char **at;
    size_t n;
};

struct profile {
    int16_t id;
    int32_t deadline_ms;
    bool every; /* all enabled engines */
    struct names engines, required;
    char *name; /* owned */
};

/* A plan under the wish that led to it. */
struct wish {
    UT_hash_handle hh;
    struct ps_plan plan;
    size_t key_len;
    char key[]; /* profile and engines, each followed by NUL */
};

/* An engine set's id; the key is ids and required flags as they lie in memory. */
struct set {
    UT_hash_handle hh;
    int32_t id;
    size_t key_len;
    char key[];
};

struct ps_resolve {
    struct engine *engines; /* by id */
    size_t engines_n;
    struct profile *profiles;
    size_t profiles_n;
    struct wish *wishes; /* uthash */
    struct set *sets;    /* uthash; ids never change, so refreshing keeps them */
    uint64_t read_at_ms; /* monotonic; 0: never */
    bool looked_again;   /* for a name that was not known, since the last refresh */
    struct ps_buf key;   /* scratch */
};

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
    memset(names, 0, sizeof(*names));
}

static void forget_wishes(struct ps_resolve *self)
{
    struct wish *wish, *next;

    HASH_ITER (hh, self->wishes, wish, next) {
        HASH_DEL(self->wishes, wish);
        free(wish);
    }
}

static void forget_sets(struct ps_resolve *self)
{
    struct set *set, *next;

    HASH_ITER (hh, self->sets, set, next) {
        HASH_DEL(self->sets, set);
        free(set);
    }
}

static void forget_tables(struct ps_resolve *self)
{
    for (size_t i = 0; i < self->engines_n; i++)
        free(self->engines[i].name);
    for (size_t i = 0; i < self->profiles_n; i++) {
        free(self->profiles[i].name);
        names_fini(&self->profiles[i].engines);
        names_fini(&self->profiles[i].required);
    }
    free(self->engines);
    free(self->profiles);
    self->engines = NULL;
    self->profiles = NULL;
    self->engines_n = self->profiles_n = 0;
    self->read_at_ms = 0;
}

int ps_resolve_new(struct ps_resolve **ret_self)
{
    struct ps_resolve *self = PS_NEW(struct ps_resolve);

    if (!self)
        return PS_ERR_NOMEM;
    ps_buf_init(&self->key, 65536);
    *ret_self = self;
    return 0;
}

void ps_resolve_free(struct ps_resolve **self_p)
{
    struct ps_resolve *self = *self_p;

    if (!self)
        return;
    forget_wishes(self);
    forget_sets(self);
    forget_tables(self);
    ps_buf_fini(&self->key);
    free(self);
    *self_p = NULL;
}

static char *copy_text(struct ps_bytes text)
{
    return ps_strndup((const char *)text.at, text.len);
}

static int read_names(const PGresult *result, int row, int col, struct names *ret_names)
{
    struct ps_row_array array = ps_row_array(result, row, col);
    struct ps_bytes element;

    if (array.n > PS_SET_ENGINES_N || !(ret_names->at = ps_alloc(PS_MAX(array.n, 1u), sizeof(char *))))
        return PS_ERR_NOMEM;
    while (ps_row_array_next(&array, &element, NULL)) {
        if (!(ret_names->at[ret_names->n] = copy_text(element)))
            return PS_ERR_NOMEM;
        ret_names->n++;
    }
    return 0;
}

static int read_engines(struct ps_resolve *self, const PGresult *result)
{
    size_t n = (size_t)ps_row_n(result);

    if (!(self->engines = ps_alloc(PS_MAX(n, 1u), sizeof(*self->engines))))
        return PS_ERR_NOMEM;
    for (; self->engines_n < n; self->engines_n++) {
        struct engine *engine = &self->engines[self->engines_n];
        int row = (int)self->engines_n;

        engine->id = (int16_t)ps_row_i64(result, row, 0);
        engine->judges = ps_row_i64(result, row, 2) == PS_KIND_EVILNESS;
        engine->enabled = ps_row_bool(result, row, 3);
        if (!(engine->name = copy_text(ps_row_bytes(result, row, 1))))
            return PS_ERR_NOMEM;
    }
    return 0;
}

static int read_profiles(struct ps_resolve *self, const PGresult *result)
{
    size_t n = PS_MIN((size_t)ps_row_n(result), (size_t)PROFILES_N);

    if (!(self->profiles = ps_alloc(PS_MAX(n, 1u), sizeof(*self->profiles))))
        return PS_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct profile *profile = &self->profiles[i];
        int row = (int)i;

        self->profiles_n++; /* also a half-read one is freed */
        profile->id = (int16_t)ps_row_i64(result, row, 0);
        profile->every = ps_row_null(result, row, 2);
        profile->deadline_ms = (int32_t)ps_row_i64(result, row, 4);
        if (!(profile->name = copy_text(ps_row_bytes(result, row, 1))) ||
            read_names(result, row, 2, &profile->engines) != 0 ||
            read_names(result, row, 3, &profile->required) != 0)
            return PS_ERR_NOMEM;
    }
    return 0;
}

/* Engines and profiles anew; plans stay. On failure nothing is known until it succeeds. */
static int read_tables(struct ps_resolve *self, struct ps_pg *pg, struct ps_error *reterr)
{
    struct ps_pg_step steps[] = {{.query = PS_Q_INGEST_ENGINES}, {.query = PS_Q_INGEST_PROFILES}};
    int code = ps_pg_run(pg, steps, PS_ARRAY_N(steps), false, NULL, reterr);

    if (code)
        return code;
    forget_tables(self);
    if ((code = read_engines(self, steps[0].result)) != 0 ||
        (code = read_profiles(self, steps[1].result)) != 0) {
        self->read_at_ms = 0;
        (void)ps_error_set(reterr, code, "profiles: out of memory");
    }
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    return code;
}

int ps_resolve_refresh(struct ps_resolve *self, struct ps_pg *pg, bool force, struct ps_error *reterr)
{
    uint64_t now_ms = ps_clock_mono_ms();
    int code;

    self->looked_again = false;
    if (HASH_COUNT(self->wishes) > PS_RESOLVE_PLANS_N)
        forget_wishes(self);
    if (!force && self->read_at_ms && now_ms < self->read_at_ms + PS_RESOLVE_FRESH_MS)
        return 0;
    if ((code = read_tables(self, pg, reterr)) != 0)
        return code;
    forget_wishes(self);
    self->read_at_ms = now_ms;
    return 0;
}

static const struct engine *find_engine(const struct ps_resolve *self, const char *name, size_t len)
{
    for (size_t i = 0; i < self->engines_n; i++)
        if (strlen(self->engines[i].name) == len && memcmp(self->engines[i].name, name, len) == 0)
            return &self->engines[i];
    return NULL;
}

static const struct profile *find_profile(const struct ps_resolve *self, struct ps_bytes name)
{
    for (size_t i = 0; i < self->profiles_n; i++)
        if (ps_bytes_is(name, self->profiles[i].name))
            return &self->profiles[i];
    return NULL;
}

/* "no engine is called 'x'; there are: a, b". The name is the submitter's text: made visible and cut. */
static int nobody(const struct ps_resolve *self, const char *what, struct ps_bytes name,
                  struct ps_error *reterr)
{
    PS_BUF struct ps_buf shown, all;
    bool engine = strcmp(what, "engine") == 0;

    ps_buf_init(&shown, 1024);
    ps_buf_init(&all, 4096);
    ps_utf8_put_visible(&shown, (const char *)name.at, ps_utf8_cut((const char *)name.at, name.len, 64));
    for (size_t i = 0; i < (engine ? self->engines_n : self->profiles_n); i++)
        ps_buf_putf(&all, "%s%s", i ? ", " : "", engine ? self->engines[i].name : self->profiles[i].name);
    return ps_error_set(reterr, PS_ERR_INVALID, "no %s is called \"%s\"; there are: %s", what,
                        ps_buf_text(&shown), ps_buf_text(&all));
}

/* What the plan is to hold: wanted[i] and required[i] stand beside self->engines. */
struct choice {
    bool wanted[PS_SET_ENGINES_N];
    bool required[PS_SET_ENGINES_N];
};

static int choose_named(const struct ps_resolve *self, const struct ps_ingest_file *file,
                        struct choice *choice, struct ps_error *reterr)
{
    for (size_t i = 0; i < file->engines_n; i++) {
        const struct engine *engine =
            find_engine(self, (const char *)file->engines[i].at, file->engines[i].len);

        if (!engine)
            return nobody(self, "engine", file->engines[i], reterr);
        choice->wanted[engine - self->engines] = true;
        choice->required[engine - self->engines] = engine->judges;
    }
    return 0;
}

static int choose_profile(const struct ps_resolve *self, const struct profile *profile, struct choice *choice,
                          struct ps_error *reterr)
{
    for (size_t i = 0; profile->every && i < self->engines_n; i++)
        choice->wanted[i] = self->engines[i].enabled;
    for (size_t i = 0; i < profile->engines.n + profile->required.n; i++) {
        bool required = i >= profile->engines.n;
        const char *name = required ? profile->required.at[i - profile->engines.n] : profile->engines.at[i];
        const struct engine *engine = find_engine(self, name, strlen(name));

        if (!engine)
            return nobody(self, "engine", ps_bytes_of(name), reterr);
        choice->wanted[engine - self->engines] = true;
        if (required)
            choice->required[engine - self->engines] = true;
    }
    return 0;
}

static int choose(const struct ps_resolve *self, const struct ps_ingest_file *file, struct choice *choice,
                  const struct profile **ret_profile, struct ps_error *reterr)
{
    struct ps_bytes name = file->profile.len      ? file->profile
                           : file->engines_n != 0 ? PS_BYTES_LIT("custom")
                                                  : PS_BYTES_LIT("full");
    const struct profile *profile = find_profile(self, name);

    if (!profile)
        return nobody(self, "profile", name, reterr);
    *ret_profile = profile;
    memset(choice, 0, sizeof(*choice));
    return file->engines_n ? choose_named(self, file, choice, reterr)
                           : choose_profile(self, profile, choice, reterr);
}

/* Finds the set's row or makes it. */
static int set_in_database(struct ps_pg *pg, const struct ps_plan *plan, int32_t *ret_id,
                           struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array engines, required;
    PS_PG_PARAMS struct ps_pg_params params;
    struct ps_pg_step steps[] = {{.query = PS_Q_INGEST_SET_NEW, .params = &params},
                                 {.query = PS_Q_INGEST_SET_ID, .params = &params}};
    int code;

    ps_pg_array_init(&engines, PS_PG_INT2);
    ps_pg_array_init(&required, PS_PG_BOOL);
    ps_pg_params_init(&params);
    for (int i = 0; i < plan->engines_n; i++) {
        ps_pg_array_i16(&engines, plan->engines[i]);
        ps_pg_array_bool(&required, plan->required[i]);
    }
    ps_pg_put_array(&params, &engines);
    ps_pg_put_array(&params, &required);
    if ((code = ps_pg_run(pg, steps, PS_ARRAY_N(steps), true, NULL, reterr)) != 0)
        return code;
    if (ps_row_n(steps[1].result) != 1)
        code = ps_error_set(reterr, PS_ERR_AGAIN, "database: an engine set came and went");
    else
        *ret_id = (int32_t)ps_row_i64(steps[1].result, 0, 0);
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    return code;
}

static int set_id(struct ps_resolve *self, struct ps_pg *pg, struct ps_plan *plan, struct ps_error *reterr)
{
    struct set *set = NULL;
    int code;

    ps_buf_clear(&self->key);
    ps_buf_put(&self->key, plan->engines, (size_t)plan->engines_n * sizeof(plan->engines[0]));
    ps_buf_put(&self->key, plan->required, (size_t)plan->engines_n * sizeof(plan->required[0]));
    HASH_FIND(hh, self->sets, self->key.data, self->key.len, set);
    if (set) {
        plan->set_id = set->id;
        return 0;
    }
    if ((code = set_in_database(pg, plan, &plan->set_id, reterr)) != 0)
        return code;
    if (HASH_COUNT(self->sets) >= SETS_N)
        forget_sets(self);
    if ((set = ps_alloc(1, sizeof(*set) + self->key.len)) !=
        NULL) { /* without memory it is only asked again */
        set->id = plan->set_id;
        set->key_len = self->key.len;
        memcpy(set->key, self->key.data, self->key.len);
        HASH_ADD(hh, self->sets, key, set->key_len, set);
    }
    return 0;
}

static int make_plan(struct ps_resolve *self, struct ps_pg *pg, const struct ps_ingest_file *file,
                     struct ps_plan *plan, struct ps_error *reterr)
{
    const struct profile *profile = NULL;
    struct choice choice;
    int code;

    if (self->engines_n > PS_SET_ENGINES_N)
        return ps_error_set(reterr, PS_ERR_LIMIT, "there are more than %d engines", PS_SET_ENGINES_N);
    if ((code = choose(self, file, &choice, &profile, reterr)) != 0)
        return code;
    assert(profile); /* chosen, or we had returned */
    memset(plan, 0, sizeof(*plan));
    plan->profile_id = profile->id;
    plan->deadline_ms = profile->deadline_ms;
    for (size_t i = 0; i < self->engines_n; i++) {
        if (choice.wanted[i]) {
            plan->engines[plan->engines_n] = self->engines[i].id;
            plan->required[plan->engines_n++] = choice.required[i];
        }
    }
    if (plan->engines_n == 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "profile %s has no engine that is enabled",
                            profile->name);
    return set_id(self, pg, plan, reterr);
}

static void put_key(struct ps_buf *key, const struct ps_ingest_file *file)
{
    ps_buf_clear(key);
    ps_buf_put(key, file->profile.at, file->profile.len);
    ps_buf_put(key, "", 1);
    for (size_t i = 0; i < file->engines_n; i++) {
        ps_buf_put(key, file->engines[i].at, file->engines[i].len);
        ps_buf_put(key, "", 1);
    }
}

/* What is not known may be new: what is kept is up to a second old. One look for all that a group asks for, so that
 * nobody makes us read for every name that he invents. */
static int make_plan_looking_again(struct ps_resolve *self, struct ps_pg *pg,
                                   const struct ps_ingest_file *file, struct ps_plan *plan,
                                   struct ps_error *reterr)
{
    struct ps_error why = {0};
    int code = make_plan(self, pg, file, plan, &why);

    if (code == PS_ERR_INVALID && !self->looked_again) {
        self->looked_again = true;
        if ((code = read_tables(self, pg, reterr)) != 0)
            return code;
        code = make_plan(self, pg, file, plan, &why);
    }
    if (code && reterr)
        *reterr = why;
    return code;
}

int ps_resolve_file(struct ps_resolve *self, struct ps_pg *pg, const struct ps_ingest_file *file,
                    const struct ps_plan **ret_plan, struct ps_error *reterr)
{
    struct wish *wish = NULL;
    size_t key_len;
    int code;

    put_key(&self->key, file);
    HASH_FIND(hh, self->wishes, self->key.data, self->key.len, wish);
    if (wish) {
        *ret_plan = &wish->plan;
        return 0;
    }
    key_len = self->key.len;
    if (!(wish = ps_alloc(1, sizeof(*wish) + key_len)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "profiles: out of memory");
    wish->key_len = key_len;
    memcpy(wish->key, self->key.data, key_len);
    if ((code = make_plan_looking_again(self, pg, file, &wish->plan, reterr)) != 0) {
        free(wish);
        return code;
    }
    HASH_ADD(hh, self->wishes, key, wish->key_len, wish);
    *ret_plan = &wish->plan;
    return 0;
}
