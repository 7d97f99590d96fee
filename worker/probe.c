#include "worker/probe.h"

#include <inttypes.h>
#include <poll.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "worker/roster.h"

#define LINE_MAX_BYTES 8192 /* of what is said about one engine */

static void step_all(struct ps_roster *roster)
{
    struct ps_roster_event event;

    while (ps_roster_step(roster, ps_clock_mono_ms(), &event))
        ;
}

static void wait_settled(struct ps_roster *roster)
{
    struct pollfd poll_fd = {.fd = ps_roster_fd(roster), .events = POLLIN};

    for (step_all(roster); !ps_roster_settled(roster); step_all(roster)) {
        uint64_t now_ms = ps_clock_mono_ms(), due_ms = ps_roster_due_ms(roster);
        (void)poll(&poll_fd, 1,
                   due_ms <= now_ms ? 0 : (int)PS_MIN(due_ms - now_ms, 60000)); /* step looks anyway */
    }
}

/* Versions and notes are an engine's words: shown, never obeyed. */
static void put_visible(struct ps_buf *line, const char *before, const char *text)
{
    if (!text[0])
        return;
    ps_buf_put_text(line, before);
    ps_utf8_put_visible(line, text, strlen(text));
}

static void put_loaded(struct ps_buf *line, const struct ps_engine_facts *facts)
{
    ps_buf_put_text(line, facts->kind == PS_KIND_EVILNESS ? "judges files" : "describes files");
    put_visible(line, ", version ", facts->version);
    if (facts->signatures > 0 || facts->definitions[0])
        ps_buf_putf(line, "\n    %" PRIu64 " signature%s", facts->signatures,
                    facts->signatures == 1 ? "" : "s");
    put_visible(line, " (", facts->origin);
    ps_buf_put_text(line, facts->origin[0] ? ")" : "");
    put_visible(line, ", definitions ", facts->definitions);
    put_visible(line, "\n    takes only ", facts->types);
    put_visible(line, "\n    walls: ", facts->walls);
    put_visible(line, "\n    note: ", facts->note);
}

int ps_probe_run(struct ps_roster *roster, FILE *to)
{
    int usable = 0;

    wait_settled(roster);
    for (unsigned i = 0; i < ps_roster_n(roster); i++) {
        PS_BUF struct ps_buf line;
        const struct ps_engine_facts *facts = ps_roster_facts(roster, i);
        bool up = ps_roster_is_up(roster, i);
        ps_buf_init(&line, LINE_MAX_BYTES);
        ps_buf_putf(&line, "%s: ", facts->name);
        if (up)
            put_loaded(&line, facts);
        else
            put_visible(&line, "can't be used: ", ps_roster_problem(roster, i));
        (void)fprintf(to, "%s\n", ps_buf_text(&line)); /* a broken pipe is the reader's wish */
        usable += up;
    }
    (void)fprintf(to, "\nIsolation: %s\n",
                  usable > 0 ? ps_roster_walls(roster) : "unknown, no engine could be loaded");
    return usable;
}
