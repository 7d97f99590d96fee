/* phagescan submit: files and folders in, verdicts out. */
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/outcome.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/submit/pack.h"
#include "cli/submit/seen.h"
#include "cli/submit/send.h"
#include "cli/submit/show.h"
#include "cli/submit/walk.h"

struct settings {
    bool wait, no_wait, json, table, quiet, one_file_system;
    char *profile, *priority, *visibility, *resume, *name;
    struct ps_opt_list engines, exclude, tags;
    uint64_t patience_ms;
};

#define FIELD(f) offsetof(struct settings, f)
static const struct ps_opt options[] = {
    {"wait", 'w', PS_OPT_FLAG, FIELD(wait), 0, 0, NULL, NULL,
     "wait for the verdicts (the default on a terminal)"},
    {"no-wait", 0, PS_OPT_FLAG, FIELD(no_wait), 0, 0, NULL, NULL, "return when everything is acknowledged"},
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

struct run {
    struct settings settings;
    char **paths; /* NULL-ended */
    size_t paths_n;
    char batch[PS_SEEN_BATCH_MAX + 1];
    struct ps_pack_options pack_options;
    struct ps_api *api;
    struct ps_seen *seen; /* NULL without --resume */
    struct ps_walk *walk;
    struct ps_send *send;
    struct ps_show show;
    struct ps_walk_file held; /* a file that did not fit into the pack before */
    char *held_path;          /* owned; NULL: none held */
    bool walked;              /* no more files */
    bool stdin_due;
    unsigned packs; /* made so far: part of their keys */
    uint64_t reconciled_ms;
    pthread_t counter;
    bool counting;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* ---- counting ahead, so that progress knows the whole ---- */

static void *count_files(void *arg)
{
    struct run *run = arg;
    struct ps_walk *walk = NULL;
    struct ps_walk_file file;
    int r = ps_walk_new(&walk, run->paths, &run->settings.exclude, run->settings.one_file_system, NULL);

    while (!r || r == 1) {
        r = ps_walk_next(walk, &file, NULL);
        if (r == 0 || interrupted)
            break;
        if (r == 1) {
            run->show.total_n++;
            run->show.total_bytes += file.size;
        }
        r = 1; /* a path that can't be looked at does not end the count */
    }
    run->show.total_known = true;
    ps_walk_free(&walk);
    return NULL;
}

/* ---- hooks of send ---- */

static void on_file(void *arg, const struct ps_pack *pack, const struct ps_pack_file *file,
                    const json_t *line, const char *why)
{
    struct run *run = arg;

    if (!line) {
        PS_FREE char *text = ps_strf("%s: %s", file->path, why);

        ps_show_error(&run->show, file->path, text ? text : why);
        return;
    }
    if (run->seen && ps_seen_add(run->seen, file->key) != 0)
        ps_show_error(&run->show, file->path, "the state file can't be written");
    ps_show_sent(&run->show, file->path, file->size, line);
    if (pack->large && ps_pack_changed(pack))
        ps_show_error(&run->show, file->path,
                      "it changed while it was read: what was scanned is the file as it was read");
}

static void on_pack(void *arg, const struct ps_pack *pack)
{
    struct run *run = arg;
    struct ps_error why = {0};

    if (run->seen && (ps_seen_done(run->seen, pack->key) != 0 || ps_seen_sync(run->seen, &why) != 0))
        ps_show_error(&run->show, NULL, why.text);
}

/* Before a pack goes out for the first time. */
static void note_plan(struct run *run, const struct ps_pack *pack)
{
    struct ps_error why = {0};
    int r = ps_seen_plan(run->seen, pack->key);

    for (size_t i = 0; !r && i < pack->n; i++)
        r = ps_seen_plan_path(run->seen, pack->files[i].path);
    if (r || ps_seen_sync(run->seen, &why) != 0)
        ps_show_error(&run->show, NULL, *why.text ? why.text : "the state file can't be written");
}

static void on_event(void *arg, const json_t *event)
{
    struct run *run = arg;
    const json_t *submission;
    size_t i;

    if (strcmp(json_string_value(json_object_get(event, "event")) ?: "", "scan") != 0)
        return;
    json_array_foreach (json_object_get(event, "submissions"), i, submission)
        if (!strcmp(json_string_value(json_object_get(submission, "batch")) ?: "", run->batch))
            ps_show_verdict(&run->show, event, submission);
}

/* ---- filling packs ---- */

static struct ps_pack *new_pack(struct run *run)
{
    char key[96];

    (void)snprintf(key, sizeof(key), "%s-%08x%08x", run->batch, randombytes_random(), run->packs++);
    return ps_pack_new(key);
}

/* The next file of the walk that is not known from an earlier run. 1, 0 at the end. */
static int next_file(struct run *run, struct ps_walk_file *ret_file)
{
    if (run->held_path) {
        *ret_file = run->held;
        ret_file->path = run->held_path;
        return 1;
    }
    for (;;) {
        struct ps_error why = {0};
        uint8_t key[PS_SEEN_KEY];
        int r = ps_walk_next(run->walk, ret_file, &why);

        if (r < 0) {
            ps_show_error(&run->show, NULL, why.text);
            continue;
        }
        if (r == 0)
            return 0;
        ps_seen_key(key, ret_file->path, ret_file->size, ret_file->mtime_ns);
        if (!run->seen || !ps_seen_has(run->seen, key))
            return 1;
        run->show.skipped_n++;
    }
}

static void hold(struct run *run, const struct ps_walk_file *file)
{
    if (run->held_path)
        return; /* it is the one held already */
    run->held = *file;
    run->held_path = ps_strf("%s", file->path);
}

static void let_go(struct run *run)
{
    free(run->held_path);
    run->held_path = NULL;
}

/* A pack with what comes next: a batch, or one large file. NULL at the end of the walk. */
static struct ps_pack *fill_pack(struct run *run)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = new_pack(run);
    struct ps_walk_file file;

    while (pack && next_file(run, &file)) {
        struct ps_error why = {0};
        int r = ps_pack_add(pack, &run->pack_options, file.path, file.size, file.mtime_ns, &why);

        if (r == PS_ERR_AGAIN || (r == PS_ERR_LIMIT && pack->n)) {
            hold(run, &file);
            return PS_TAKE(pack);
        }
        if (r == PS_ERR_LIMIT && (r = ps_pack_large(pack, file.path, file.size, file.mtime_ns, &why)) == 0) {
            let_go(run);
            return PS_TAKE(pack);
        }
        if (r)
            ps_show_error(&run->show, file.path, why.text);
        let_go(run);
    }
    run->walked = true;
    return pack && pack->n ? PS_TAKE(pack) : NULL;
}

/* A pack that an earlier run sent without learning what became of it: the same files in the same order under the same
 * key. A file that has changed since makes it another body: the server refuses that key (409), the pack fails, and the
 * files go out anew with a later run. */
static struct ps_pack *planned_pack(struct run *run)
{
    struct ps_seen_plan *plan = ps_seen_take_plan(run->seen);
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = ps_pack_new(plan->key);

    for (size_t i = 0; pack && i < plan->n; i++) {
        struct ps_error why = {0};
        struct stat st;
        int r = stat(plan->paths[i], &st) < 0 ? PS_ERR_NOTFOUND : 0;

        if (!r)
            r = ps_pack_add(pack, &run->pack_options, plan->paths[i], (uint64_t)st.st_size,
                            ps_walk_mtime_ns(&st), &why);
        if (r == PS_ERR_LIMIT && !pack->n)
            r = ps_pack_large(pack, plan->paths[i], (uint64_t)st.st_size, ps_walk_mtime_ns(&st), &why);
        if (r)
            ps_show_error(&run->show, plan->paths[i], *why.text ? why.text : "it has vanished");
        else
            (void)ps_seen_note(run->seen, pack->files[pack->n - 1].key);
    }
    ps_seen_plan_free(&plan);
    return pack && pack->n ? PS_TAKE(pack) : NULL;
}

static struct ps_pack *stdin_pack(struct run *run)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = new_pack(run);
    struct ps_error why = {0};

    run->stdin_due = false;
    run->show.total_n++;
    if (!pack || ps_pack_stdin(pack, &run->pack_options, run->settings.name, &why) != 0) {
        ps_show_error(&run->show, "-", why.text);
        return NULL;
    }
    return PS_TAKE(pack);
}

static struct ps_pack *next_pack(struct run *run)
{
    struct ps_pack *pack;

    if (run->seen && ps_seen_has_plan(run->seen))
        return planned_pack(run);
    pack = run->stdin_due ? stdin_pack(run) : fill_pack(run);
    if (pack && run->seen)
        note_plan(run, pack);
    return pack;
}

/* ---- the run ---- */

/* Every submission has its verdict, though not every event came (a server restored, a long cut): count anew. */
static bool reconcile(struct run *run, uint64_t now_ms)
{
    uint64_t done = 0, all = 0, verdicts[8] = {0};
    int64_t before = 0;

    run->reconciled_ms = now_ms;
    do {
        PS_FREE char *path = before ? ps_strf("/api/v1/submissions?batch=%s&limit=500&before=%lld",
                                              run->batch, (long long)before)
                                    : ps_strf("/api/v1/submissions?batch=%s&limit=500", run->batch);
        json_t *page = NULL;
        const json_t *item;
        size_t i;

        if (!path || ps_api_get_json(run->api, path, &page, NULL) != 0)
            return false;
        json_array_foreach (json_object_get(page, "items"), i, item) {
            const json_t *scan = json_object_get(item, "scan");
            const char *verdict = json_string_value(json_object_get(scan, "verdict"));

            all++;
            done += verdict != NULL;
            for (unsigned v = PS_VERDICT_MALICIOUS; verdict && v <= PS_VERDICT_INCONCLUSIVE; v++)
                verdicts[v] += !strcmp(verdict, ps_verdict_word(v));
        }
        before = json_integer_value(json_object_get(page, "next"));
        json_decref(page);
    } while (before && !interrupted);
    if (done < all || all < run->show.sent_n)
        return false;
    run->show.done_n = run->show.sent_n;
    memcpy(run->show.verdicts, verdicts, sizeof(verdicts));
    return true;
}

static bool has_more(const struct run *run)
{
    return run->stdin_due || !run->walked || (run->seen && ps_seen_has_plan(run->seen));
}

static bool finished(struct run *run, uint64_t now_ms)
{
    if (has_more(run) || ps_send_waiting(run->send))
        return false;
    if (!run->show.settings.wait || run->show.done_n >= run->show.sent_n)
        return true;
    uint64_t since = PS_MAX(ps_send_heard_ms(run->send), run->reconciled_ms);
    return now_ms - since >= PS_SEND_STALL_MS && reconcile(run, now_ms);
}

static void loop(struct run *run)
{
    uint64_t now_ms = ps_clock_mono_ms();

    while (!interrupted && !finished(run, now_ms)) {
        bool more = ps_send_wants(run->send) && has_more(run);

        if (more) {
            struct ps_pack *pack = next_pack(run);

            if (pack)
                ps_send_give(run->send, pack);
        }
        ps_send_turn(run->send, more ? 0 : 100);
        now_ms = ps_clock_mono_ms();
        ps_show_progress(&run->show, now_ms, ps_send_note(run->send));
    }
}

static int read_common(struct run *run, struct ps_error *reterr)
{
    const struct settings *s = &run->settings;
    json_t *common = json_object();
    size_t n = run->paths_n + run->stdin_due;
    const char *priority = s->priority ? s->priority : n == 1 && !run->settings.resume ? NULL : "batch";

    run->pack_options = (struct ps_pack_options){.batch = run->batch, .common = common};
    if (s->profile)
        (void)json_object_set_new(common, "profile", json_string(s->profile));
    if (priority)
        (void)json_object_set_new(common, "priority", json_string(priority));
    if (s->visibility)
        (void)json_object_set_new(common, "visibility", json_string(s->visibility));
    const struct {
        const char *key;
        const struct ps_opt_list *list;
    } lists[] = {{"engines", &s->engines}, {"tags", &s->tags}};
    for (size_t l = 0; l < PS_ARRAY_N(lists); l++) {
        json_t *array = lists[l].list->n ? json_array() : NULL;

        for (size_t i = 0; i < lists[l].list->n; i++)
            if (json_array_append_new(array, json_string(lists[l].list->at[i])) != 0)
                return ps_error_set(reterr, PS_ERR_INVALID, "--%s is not valid UTF-8", lists[l].key);
        if (array)
            (void)json_object_set_new(common, lists[l].key, array);
    }
    return 0;
}

/* Takes "-" out of the arguments: it is standard input. */
static int read_paths(struct run *run, const struct ps_opts_args *rest, struct ps_error *reterr)
{
    if (rest->argc == 0)
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "what is to be scanned? Name files or folders, or - for standard input");
    run->paths = ps_alloc((size_t)rest->argc + 1, sizeof(*run->paths));
    if (!run->paths)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    for (int i = 0; i < rest->argc; i++) {
        if (!strcmp(rest->argv[i], "-"))
            run->stdin_due = true;
        else
            run->paths[run->paths_n++] = rest->argv[i];
    }
    run->walked = run->paths_n == 0;
    return 0;
}

static int open_run(struct run *run, struct ps_error *reterr)
{
    uint8_t random[8];
    json_t *status = NULL;
    int64_t after = 0;

    randombytes_buf(random, sizeof(random));
    (void)memcpy(run->batch, "cli-", 4);
    ps_hex_encode(run->batch + 4, random, sizeof(random));
    if (run->settings.resume) {
        int r = ps_seen_open(&run->seen, run->settings.resume, run->batch, reterr);

        if (r)
            return r;
        (void)snprintf(run->batch, sizeof(run->batch), "%s", ps_seen_batch(run->seen));
    }
    int r = read_common(run, reterr);
    if (!r)
        r = ps_api_new(&run->api, reterr);
    if (!r)
        r = ps_api_get_json(run->api, "/api/v1/status", &status, reterr);
    if (r)
        return r;
    after = json_integer_value(json_object_get(status, "seq"));
    json_decref(status);

    const struct ps_send_hooks hooks = {.file = on_file, .pack = on_pack, .event = on_event, .arg = run};
    r = ps_send_new(&run->send, run->api, &run->pack_options, run->show.settings.wait, after,
                    run->settings.patience_ms, &hooks, reterr);
    if (!r && run->paths_n)
        r = ps_walk_new(&run->walk, run->paths, &run->settings.exclude, run->settings.one_file_system,
                        reterr);
    if (!r && run->paths_n)
        run->counting = pthread_create(&run->counter, NULL, count_files, run) == 0;
    return r;
}

static void close_run(struct run *run)
{
    if (run->counting)
        (void)pthread_join(run->counter, NULL);
    ps_send_free(&run->send);
    ps_walk_free(&run->walk);
    ps_api_free(&run->api);
    ps_seen_close(&run->seen);
    ps_show_fini(&run->show);
    json_decref(run->pack_options.common);
    free(run->held_path);
    free(run->paths);
    ps_opts_fini(options, &run->settings);
}

/* Counts a resumed sweep as a whole: what earlier runs found is found. */
static void add_earlier(struct run *run)
{
    static const unsigned bad[] = {PS_VERDICT_MALICIOUS, PS_VERDICT_SUSPICIOUS};

    for (size_t i = 0; run->seen && run->show.skipped_n && i < PS_ARRAY_N(bad); i++) {
        PS_FREE char *path =
            ps_strf("/api/v1/submissions?batch=%s&limit=1&verdict=%s", run->batch, ps_verdict_word(bad[i]));
        json_t *page = NULL;

        if (run->show.verdicts[bad[i]] || !path || ps_api_get_json(run->api, path, &page, NULL) != 0)
            continue;
        run->show.verdicts[bad[i]] += json_array_size(json_object_get(page, "items"));
        json_decref(page);
    }
}

static int complain(const struct ps_error *why)
{
    (void)fprintf(stderr, "phagescan submit: %s\n", why->text);
    return PS_EXIT_ERROR;
}

int ps_cmd_submit(int argc, char **argv)
{
    struct run run = {0};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    int status = PS_EXIT_ERROR;
    int r = sodium_init() < 0 ? ps_error_set(&why, PS_ERR_UNSUPPORTED, "libsodium did not start") : 0;

    if (!r)
        r = ps_opts_defaults(options, &run.settings, &why);
    if (!r)
        r = ps_opts_argv(options, &run.settings, argc, argv, false, &rest, &why);
    if (r == PS_ERR_CANCELLED) {
        (void)puts("usage: phagescan submit [OPTION...] PATH...\n"
                   "Scans files and folders (- is standard input). Exit status: 0 nothing found, 1 something "
                   "found, else 2.\n");
        ps_opts_help(options, stdout);
        ps_opts_fini(options, &run.settings);
        return PS_EXIT_OK;
    }
    if (!r)
        r = read_paths(&run, &rest, &why);

    bool wait = run.settings.wait || run.settings.table || (!run.settings.no_wait && isatty(STDOUT_FILENO));
    const struct ps_show_settings show = {
        .json = run.settings.json, .table = run.settings.table, .quiet = run.settings.quiet, .wait = wait};
    ps_show_init(&run.show, &show, ps_clock_mono_ms());
    if (!r)
        r = open_run(&run, &why);
    if (r) {
        status = complain(&why);
    } else {
        (void)signal(SIGINT, on_interrupt);
        (void)signal(SIGTERM, on_interrupt);
        loop(&run);
        add_earlier(&run);
        status = ps_show_end(&run.show, ps_clock_mono_ms());
        if (interrupted) {
            (void)fputs("interrupted: what was acknowledged goes on being scanned (phagescan report FILE)\n",
                        stderr);
            status = status == PS_EXIT_FOUND ? status : PS_EXIT_ERROR;
        }
    }
    close_run(&run);
    return status;
}
