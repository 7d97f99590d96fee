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

/* "3 days", "5 hours"; what is younger is "new". */
static void put_age(struct ps_buf *line, uint64_t age_s)
{
    uint64_t hours = age_s / 3600, n = hours < 48 ? hours : hours / 24;

    if (hours == 0)
        ps_buf_put_text(line, ", less than an hour old");
    else
        ps_buf_putf(line, ", %" PRIu64 " %s%s old", n, hours < 48 ? "hour" : "day", n == 1 ? "" : "s");
}

static void put_definitions(struct ps_buf *line, const struct ps_engine_facts *facts)
{
    ps_buf_put_text(line, "\n    definitions: ");
    if (!facts->definitions[0] && facts->signatures == 0) {
        ps_buf_put_text(line, facts->origin[0] ? "none: it can find nothing" : "it needs none");
        return;
    }
    ps_utf8_put_visible(line, facts->definitions, strlen(facts->definitions));
    ps_buf_putf(line, "%s%" PRIu64 " signature%s", facts->definitions[0] ? ", " : "", facts->signatures,
                facts->signatures == 1 ? "" : "s");
    put_visible(line, ", of the set: ", facts->origin);
    if (facts->age_s > 0)
        put_age(line, facts->age_s);
    else
        ps_buf_put_text(line, ", of unknown age");
}

static void put_licence(struct ps_buf *line, const struct ps_engine_facts *facts)
{
    ps_buf_put_text(line, "\n    licence: ");
    if (facts->licence_scans == 0 && facts->licence_left_s == 0) {
        ps_buf_put_text(line, "without limit or end");
        return;
    }
    if (facts->licence_scans > 0)
        ps_buf_putf(line, "%" PRIu32 " scan%s at once in the whole fleet", facts->licence_scans,
                    facts->licence_scans == 1 ? "" : "s");
    if (facts->licence_left_s > 0)
        ps_buf_putf(line, "%sends in %" PRIu64 " days", facts->licence_scans > 0 ? ", " : "",
                    facts->licence_left_s / 86400);
}

static void put_loaded(struct ps_buf *line, const struct ps_roster *roster, unsigned engine)
{
    const struct ps_engine_facts *facts = ps_roster_facts(roster, engine);

    ps_buf_put_text(line, "can be used\n    installed: ");
    ps_buf_put_text(line, facts->kind == PS_KIND_EVILNESS ? "judges files" : "describes files");
    put_visible(line, ", version ", facts->version);
    put_licence(line, facts);
    put_definitions(line, facts);
    if (facts->at_once > 0)
        ps_buf_putf(line, "\n    at once: %" PRIu32 " here", facts->at_once);
    put_visible(line, "\n    takes only: ", facts->types);
    put_visible(line, "\n    note: ", ps_roster_note(roster, engine, ps_clock_mono_ms()));
    put_visible(line, "\n    walls: ", facts->walls);
}

/* What people read when a wall is missing (worker/host/walls.h), and what that means for them. */
static const struct {
    const char *missing, *meaning;
} meanings[] = {
    {"engines run under your own account",
     "what breaks out of an engine has your own rights: start the worker as root, it then gives them up"},
    {"no system call filter", "an engine that was taken over may ask anything of the kernel"},
    {"no Landlock", "only the root directory of its own keeps an engine from files"},
    {"Landlock ABI",
     "this kernel can't keep an engine from all that a newer one can: the other walls have to"},
    {"no user namespace",
     "the kernel, or this container, allows no user namespaces: those below are missing with them"},
    {"no mount namespace", "an engine sees the machine's file system: Landlock alone keeps it from files"},
    {"no root directory", "an engine could fill the disk with temporary files"},
    {"no network namespace", "the system call filter alone keeps an engine from the network"},
    {"no IPC namespace", "an engine could reach shared memory of others of its account"},
    {"no pid namespace",
     "what an engine starts is looked for and killed, which a clever one may outrun for moments"},
    {"no resource limits", "an engine can use up memory, processors and descriptors"},
    {"rights can be gained by exec", "an engine might gain rights from a set-user-id program"},
    {"its memory can be read",
     "other processes of its account can read an engine's memory, samples included"},
    {"capabilities are kept", "an engine keeps rights that only root should have"},
};

static void put_isolation(struct ps_buf *line, const char *walls)
{
    ps_buf_put_text(line, "\nIsolation: ");
    ps_utf8_put_visible(line, walls, strlen(walls));
    if (strcmp(walls, "full") == 0)
        ps_buf_put_text(
            line, "\n  an engine that a sample takes over reaches no file, no network, no other process\n"
                  "  and no more memory, disk and time than it was given");
    for (size_t i = 0; i < PS_ARRAY_N(meanings); i++)
        if (strstr(walls, meanings[i].missing))
            ps_buf_putf(line, "\n  %s: %s", meanings[i].missing, meanings[i].meaning);
}

static void put_line(FILE *to, struct ps_buf *line)
{
    (void)fprintf(to, "%s\n", ps_buf_text(line)); /* a broken pipe is the reader's wish */
}

int ps_probe_run(struct ps_roster *roster, FILE *to)
{
    PS_BUF struct ps_buf isolation;
    int usable = 0;

    wait_settled(roster);
    for (unsigned i = 0; i < ps_roster_n(roster); i++) {
        PS_BUF struct ps_buf line;
        bool up = ps_roster_is_up(roster, i);
        ps_buf_init(&line, LINE_MAX_BYTES);
        ps_buf_putf(&line, "%s: ", ps_roster_facts(roster, i)->name);
        if (up)
            put_loaded(&line, roster, i);
        else
            put_visible(&line, "can't be used: ", ps_roster_problem(roster, i));
        put_line(to, &line);
        usable += up;
    }
    ps_buf_init(&isolation, LINE_MAX_BYTES);
    put_isolation(&isolation, usable > 0 ? ps_roster_walls(roster) : "unknown, no engine could be loaded");
    put_line(to, &isolation);
    return usable;
}
