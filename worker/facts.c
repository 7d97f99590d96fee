/* Of a roster: what it knows of engines, and tells. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "worker/roster_in.h"

/* ---- licences ---- */

static uint64_t licence_left_s(const struct ps_roster_engine *engine, uint64_t now_ms)
{
    uint64_t passed_s = engine->current ? (now_ms - engine->current->loaded_ms) / 1000 : 0;
    uint64_t left_s = engine->facts.licence_left_s;

    return left_s > passed_s ? left_s - passed_s : 0;
}

static void licence_day(char ret_day[sizeof("2026-01-01")], uint64_t left_s)
{
    time_t end = time(NULL) + (time_t)left_s;
    struct tm day;

    if (!gmtime_r(&end, &day) || strftime(ret_day, sizeof("2026-01-01"), "%Y-%m-%d", &day) == 0)
        (void)snprintf(ret_day, sizeof("2026-01-01"), "?"); /* a year of five digits */
}

static void end_licence(struct ps_roster *self, struct ps_roster_engine *engine, uint64_t now_ms)
{
    char day[sizeof("2026-01-01")], text[64];

    licence_day(day, 0);
    (void)snprintf(text, sizeof(text), "licence ended on %s", day); /* fits */
    ps_roster_down(self, engine, text, now_ms); /* a new one may be put in: it is tried again */
}

uint64_t ps_roster_licence_due_ms(const struct ps_roster_engine *engine)
{
    return engine->current && engine->facts.licence_left_s > 0
               ? engine->current->loaded_ms + engine->facts.licence_left_s * 1000
               : UINT64_MAX;
}

void ps_roster_end_licences(struct ps_roster *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->n; i++)
        if (ps_roster_licence_due_ms(self->engines[i]) <= now_ms)
            end_licence(self, self->engines[i], now_ms);
}

/* ---- what it knows ---- */

size_t ps_roster_n(const struct ps_roster *self)
{
    return self->n;
}

int ps_roster_find(const struct ps_roster *self, struct ps_bytes name)
{
    for (size_t i = 0; i < self->n; i++)
        if (ps_bytes_is(name, self->engines[i]->facts.name))
            return (int)i;
    return -1;
}

const struct ps_engine_facts *ps_roster_facts(const struct ps_roster *self, unsigned engine)
{
    return &self->engines[engine]->facts;
}

const char *ps_roster_problem(const struct ps_roster *self, unsigned engine)
{
    return self->engines[engine]->problem;
}

bool ps_roster_is_up(const struct ps_roster *self, unsigned engine)
{
    return self->engines[engine]->current != NULL;
}

bool ps_roster_is_on(const struct ps_roster *self, unsigned engine)
{
    return !self->engines[engine]->off;
}

bool ps_roster_settled(const struct ps_roster *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (!self->engines[i]->tried && !self->engines[i]->removed)
            return false;
    return true;
}

uint64_t ps_roster_licence_left_s(const struct ps_roster *self, unsigned engine, uint64_t now_ms)
{
    return licence_left_s(self->engines[engine], now_ms);
}

uint64_t ps_roster_age_s(const struct ps_roster *self, unsigned number, uint64_t now_ms)
{
    const struct ps_roster_engine *engine = self->engines[number];
    uint64_t since_s = engine->current ? (now_ms - engine->current->loaded_ms) / 1000 : 0;

    return engine->facts.age_s > 0 ? engine->facts.age_s + since_s : 0;
}

/* Texts are joined as far as they fit: the first is the most pressing. */
static void write_note(const struct ps_roster_engine *engine, uint64_t now_ms, char ret_note[PS_TEXT_MAX + 1])
{
    char licence[64] = "", day[sizeof("2026-01-01")];
    char all[2 * PS_TEXT_MAX + sizeof(licence) + 8];
    uint64_t left_s = licence_left_s(engine, now_ms);

    if (left_s > 0 && left_s <= PS_ROSTER_LICENCE_S) {
        licence_day(day, left_s);
        (void)snprintf(licence, sizeof(licence), "licence ends on %s", day); /* fits */
    }
    (void)snprintf(all, sizeof(all), "%s%s%s%s%s", licence, licence[0] && engine->stale[0] ? "; " : "",
                   engine->stale, (licence[0] || engine->stale[0]) && engine->facts.note[0] ? "; " : "",
                   engine->facts.note); /* fits */
    ps_crew_text(ret_note, PS_TEXT_MAX, all);
}

const char *ps_roster_note(const struct ps_roster *self, unsigned engine, uint64_t now_ms)
{
    struct ps_roster_engine *of = self->engines[engine];

    of->said[0] = '\0';
    if (of->current)
        write_note(of, now_ms, of->said);
    return of->said;
}

size_t ps_roster_offers(const struct ps_roster *self, uint64_t now_ms, struct ps_part_offer *ret_offers)
{
    size_t n = 0;

    for (unsigned i = 0; i < self->n; i++) {
        const struct ps_roster_engine *engine = self->engines[i];
        const struct ps_engine_facts *facts = &engine->facts;

        if (engine->removed)
            continue;
        ret_offers[n++] = (struct ps_part_offer){
            .name = ps_bytes_of(facts->name),
            .kind = facts->kind,
            .version = ps_bytes_of(facts->version),
            .definitions = ps_bytes_of(facts->definitions),
            .origin = ps_bytes_of(facts->origin),
            .signatures = facts->signatures,
            .age_s = ps_roster_age_s(self, i, now_ms),
            .run_ms = facts->run_ms,
            .types = ps_bytes_of(facts->types),
            .problem = ps_bytes_of(engine->problem),
            .note = ps_bytes_of(ps_roster_note(self, i, now_ms)),
            .at_once = facts->at_once,
            .licence_scans = facts->licence_scans,
            .licence_left_s = licence_left_s(engine, now_ms),
        };
    }
    return n;
}

const char *ps_roster_walls(const struct ps_roster *self)
{
    const char *walls = "";

    for (size_t i = 0; i < self->n; i++) {
        const char *own = self->engines[i]->facts.walls;
        if (own[0] && strcmp(own, "full") != 0)
            return own;
        if (own[0])
            walls = own;
    }
    return walls;
}
