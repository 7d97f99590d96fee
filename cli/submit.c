/* phagescan submit: files and folders in, verdicts out. */
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/submit/feed.h"
#include "cli/submit/pack.h"
#include "cli/submit/seen.h"
#include "cli/submit/send.h"
#include "cli/submit/show.h"
#include "cli/submit/verdicts.h"
#include "cli/submit/wishes.h"
#include "cli/text.h"

#define STALL_MS   10000        /* all sent, no event for so long: ask the server for what is left */
#define SAMPLE_MAX (2ULL << 30) /* bytes of standard input, when the server does not tell its limit */

struct run {
    struct ps_wishes wishes;
    char **paths; /* NULL-ended; of main's argv */
    size_t paths_n;
    bool has_stdin;
    char batch[PS_SEEN_BATCH_MAX + 1];
    struct ps_pack_options pack_options;
    struct ps_api *api;
    struct ps_seen *seen; /* NULL without --resume */
    struct ps_feed *feed;
    struct ps_send *send;
    struct ps_verdicts *verdicts; /* NULL when nobody waits */
    struct ps_show show;
    uint64_t looked_ms; /* monotonic: when the server was asked for what is left */
    bool look_due;      /* verdicts may have come before this run: ask without waiting */
    bool adopted;       /* what earlier runs left open is waited for */
};

static atomic_int interrupted; /* a signal sets it, and the counting thread reads it */

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* Without SA_RESTART: reading standard input ends, too. */
static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_interrupt};

    (void)sigaction(SIGINT, &action, NULL); /* can't fail for these two */
    (void)sigaction(SIGTERM, &action, NULL);
}

/* ---- hooks of send ---- */

static void on_file(void *arg, const struct ps_pack *pack, const struct ps_pack_file *file,
                    const json_t *line, const char *why)
{
    struct run *run = arg;

    if (!line) {
        run->show.failed_n++;
        ps_show_error(&run->show, file->path, why);
        return;
    }
    ps_feed_acknowledged(run->feed, pack, file);
    ps_show_sent(&run->show, file->path, file->size, line);
    if (run->verdicts && ps_verdicts_expect(run->verdicts, ps_number_of(line, "submission")) != 0)
        ps_show_error(&run->show, file->path, "out of memory: its verdict is not waited for");
    run->look_due |= pack->plan != NULL;
    if (pack->large && ps_pack_changed(pack))
        ps_show_error(&run->show, file->path,
                      "it changed while it was read: what was scanned is the file as it was read");
}

static bool on_conflict(void *arg, const struct ps_pack *pack)
{
    return ps_feed_conflict(((struct run *)arg)->feed, pack);
}

static void on_opened(void *arg, const struct ps_pack *pack)
{
    ps_feed_opened(((struct run *)arg)->feed, pack);
}

static void on_settled(void *arg, const struct ps_pack *pack)
{
    ps_feed_settled(((struct run *)arg)->feed, pack);
}

static void on_event(void *arg, const json_t *event)
{
    ps_verdicts_take(((struct run *)arg)->verdicts, event);
}

/* ---- the run ---- */

/* All is acknowledged: what is left to wait for? */
static bool has_all_verdicts(struct run *run, uint64_t now_ms)
{
    struct ps_error why = {0};

    if (!run->verdicts)
        return true;
    ps_verdicts_all_expected(run->verdicts);
    if (!run->adopted && run->show.skipped_n) {
        if (now_ms - run->looked_ms < PS_SEND_BACKOFF_MS)
            return false;
        run->looked_ms = now_ms;
        if (ps_verdicts_adopt(run->verdicts, &why) != 0)
            return false;
    }
    run->adopted = true;
    if (ps_verdicts_left(run->verdicts) == 0)
        return true;

    uint64_t since_ms = PS_MAX(ps_send_heard_ms(run->send), run->looked_ms);
    if (!run->look_due && now_ms - PS_MIN(since_ms, now_ms) < STALL_MS)
        return false;
    run->look_due = false;
    run->looked_ms = now_ms;
    (void)ps_verdicts_look(run->verdicts, &why); /* a server that is away is send's to tell */
    return ps_verdicts_left(run->verdicts) == 0;
}

static bool finished(struct run *run, uint64_t now_ms)
{
    return !ps_feed_more(run->feed) && ps_send_waiting(run->send) == 0 && has_all_verdicts(run, now_ms);
}

static void loop(struct run *run)
{
    uint64_t now_ms = ps_clock_mono_ms();

    while (!interrupted && !ferror(stdout) && !ps_send_gave_up(run->send) && !finished(run, now_ms)) {
        struct ps_pack *pack =
            ps_send_wants(run->send) && ps_feed_more(run->feed) ? ps_feed_next(run->feed) : NULL;

        if (pack)
            ps_send_give(run->send, pack);
        ps_send_turn(run->send, pack ? 0 : 100);
        now_ms = ps_clock_mono_ms();
        ps_show_progress(&run->show, now_ms, ps_send_note(run->send));
    }
}

/* Says why a run ended before its end. */
static int end_early(struct run *run, int status)
{
    if (interrupted) {
        (void)fputs("interrupted: what was acknowledged goes on being scanned (phagescan report FILE)\n",
                    stderr);
    } else if (ps_send_gave_up(run->send)) {
        PS_FREE char *why = ps_strf("gave up %s", ps_send_note(run->send) ? ps_send_note(run->send) : "");

        (void)ps_text_complain("submit", why ? why : "gave up");
        (void)fprintf(stderr, "%zu files were not acknowledged, %zu verdicts have not come%s\n",
                      ps_send_waiting_files(run->send), run->verdicts ? ps_verdicts_left(run->verdicts) : 0,
                      ps_feed_more(run->feed) ? ", and more files wait" : "");
    } else {
        return status;
    }
    return status == PS_EXIT_FOUND ? status : PS_EXIT_ERROR;
}

/* ---- birth and end ---- */

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
            run->has_stdin = true;
        else if (!*rest->argv[i])
            return ps_error_set(reterr, PS_ERR_INVALID,
                                "an argument is empty: a path, or - for standard input");
        else
            run->paths[run->paths_n++] = rest->argv[i];
    }
    return 0;
}

static int open_batch(struct run *run, struct ps_error *reterr)
{
    uint8_t random[8];

    randombytes_buf(random, sizeof(random));
    (void)memcpy(run->batch, "cli-", 4);
    ps_hex_encode(run->batch + 4, random, sizeof(random));
    if (!run->wishes.resume)
        return 0;
    int r = ps_seen_open(&run->seen, run->wishes.resume, run->batch, reterr);
    if (!r)
        (void)snprintf(run->batch, sizeof(run->batch), "%s", ps_seen_batch(run->seen));
    return r;
}

/* One file alone goes first. */
static bool is_single(const struct run *run)
{
    struct stat st;

    return run->paths_n + run->has_stdin == 1 && !run->seen &&
           (run->has_stdin || (stat(run->paths[0], &st) == 0 && !S_ISDIR(st.st_mode)));
}

static int open_parts(struct run *run, const json_t *status, struct ps_error *reterr)
{
    json_int_t max = ps_number_of(json_object_get(status, "limits"), "max_sample_bytes");
    bool wait = run->show.settings.wait;
    const struct ps_send_settings send = {.options = &run->pack_options,
                                          .give_up_ms = run->wishes.patience_ms,
                                          .follow = wait,
                                          .after = ps_number_of(status, "seq"),
                                          .hooks = {.file = on_file,
                                                    .conflict = on_conflict,
                                                    .opened = on_opened,
                                                    .settled = on_settled,
                                                    .event = on_event,
                                                    .arg = run}};
    const struct ps_feed_settings feed = {.paths = run->paths,
                                          .paths_n = run->paths_n,
                                          .exclude = &run->wishes.exclude,
                                          .one_file_system = run->wishes.one_file_system,
                                          .stdin_name = run->has_stdin ? run->wishes.name : NULL,
                                          .stdin_max = max > 0 ? (uint64_t)max : SAMPLE_MAX,
                                          .pack = &run->pack_options,
                                          .seen = run->seen,
                                          .show = &run->show,
                                          .stop = &interrupted};
    int r = ps_send_new(&run->send, run->api, &send, reterr);

    if (!r && wait && ps_verdicts_new(&run->verdicts, run->api, run->batch, &run->show) != 0)
        r = ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    return r ? r : ps_feed_new(&run->feed, &feed, reterr);
}

static int open_run(struct run *run, struct ps_error *reterr)
{
    json_t *status = NULL;
    int r = open_batch(run, reterr);

    run->pack_options.batch = run->batch;
    if (!r)
        r = ps_wishes_common(&run->wishes, is_single(run), &run->pack_options.common, reterr);
    if (!r)
        r = ps_api_new(&run->api, reterr);
    if (!r)
        r = ps_api_get_json(run->api, "/api/v1/status", &status, reterr);
    if (!r)
        r = ps_wishes_ask(&run->wishes, run->api, reterr);
    if (!r)
        r = open_parts(run, status, reterr);
    json_decref(status);
    return r;
}

static void close_run(struct run *run)
{
    interrupted = 1; /* the counting thread need not go on */
    ps_send_free(&run->send);
    ps_feed_free(&run->feed);
    ps_verdicts_free(&run->verdicts);
    ps_api_free(&run->api);
    ps_seen_close(&run->seen);
    ps_show_fini(&run->show);
    json_decref(run->pack_options.common);
    free(run->paths);
}

static int go(struct run *run, const struct ps_opts_args *rest)
{
    const struct ps_wishes *wishes = &run->wishes;
    bool wait = wishes->wait || wishes->table || (!wishes->no_wait && isatty(STDOUT_FILENO));
    const struct ps_show_settings show = {
        .json = wishes->json, .table = wishes->table, .quiet = wishes->quiet, .wait = wait};
    struct ps_error why = {0};
    int r = sodium_init() < 0 ? ps_error_set(&why, PS_ERR_UNSUPPORTED, "libsodium did not start") : 0;

    ps_show_init(&run->show, &show, ps_clock_mono_ms());
    if (!r)
        r = ps_wishes_check(wishes, &why);
    if (!r)
        r = read_paths(run, rest, &why);
    if (!r)
        r = open_run(run, &why);
    if (r)
        return ps_text_complain("submit", why.text);

    catch_signals();
    loop(run);
    bool whole = !interrupted && !ps_send_gave_up(run->send);
    if (whole && run->verdicts && run->show.skipped_n && ps_verdicts_earlier(run->verdicts, &why) != 0)
        ps_show_error(&run->show, NULL, why.text);
    return end_early(run, ps_show_end(&run->show, ps_clock_mono_ms()));
}

int ps_cmd_submit(int argc, char **argv)
{
    struct run run = {0};
    struct ps_opts_args rest = {0};
    int status =
        ps_text_options(ps_wishes_options, &run.wishes, argc, argv, "submit [OPTION...] PATH...",
                        "Scans files and folders (- is standard input). Exit status: 0 nothing found, 1 "
                        "something found, else 2.",
                        &rest);

    if (status < 0)
        status = go(&run, &rest);
    close_run(&run);
    ps_opts_fini(ps_wishes_options, &run.wishes);
    return status;
}
