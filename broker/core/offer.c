/* broker/core/offer.c: a session's offers and its place in the engines' ready lists. */
#include <utlist.h>

#include "broker/core/state.h"

/* ---- ready lists ---- */

static void set_ready(struct ps_core *core, struct ps_offer *offer, int tier, bool in)
{
    struct ps_offer **list = &core->engines[offer->engine].ready[tier];

    if (in)
        DL_APPEND(*list, offer);
    else
        DL_DELETE(*list, offer);
    offer->ready = in;
}

static void move_offers(struct ps_core *core, struct ps_session *session, int tier)
{
    for (uint32_t i = 0; i < session->offers_n; i++) {
        struct ps_offer *offer = &session->offers[i];

        if (offer->ready)
            set_ready(core, offer, session->tier, false);
        if (tier >= 0 && ps_engine_set_has(&session->can, offer->engine))
            set_ready(core, offer, tier, true);
        ps_engine_refresh(core, offer->engine);
    }
    session->tier = tier;
}

/* Tier 0 has a free place to run, 1 has a job waiting for each, 2 three, 3 more. */
static int tier_of(const struct ps_session *session)
{
    uint32_t slots = PS_MAX(session->slots, 1u);

    if (!session->ready || !session->peer || session->quiet || session->paused_ms || session->bounce ||
        session->alone_n || session->held_n >= session->window)
        return -1;
    if (session->held_n < slots)
        return 0;
    return session->held_n / 2 < slots ? 1 : session->held_n / 4 < slots ? 2 : 3;
}

void ps_session_refresh(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);
    int tier = session->role == PS_ROLE_WORKER ? tier_of(session) : -1;

    if (tier != session->tier)
        move_offers(core, session, tier);
}

/* ---- offers ---- */

struct ps_offer *ps_session_offer(const struct ps_session *session, uint16_t engine)
{
    for (uint32_t i = 0; i < session->offers_n; i++)
        if (session->offers[i].engine == engine)
            return &session->offers[i];
    return NULL;
}

/* A new list of offers in the making. */
struct making {
    struct ps_offer *offers; /* owned */
    uint32_t n;
    char *texts; /* owned */
    size_t used; /* bytes of texts */
    struct ps_engine_set named, can;
};

static size_t texts_of(const struct ps_part_offer *part)
{
    return part->name.len + part->version.len + part->definitions.len + part->origin.len + part->types.len +
           part->problem.len + part->note.len;
}

static struct ps_bytes copy_text(struct making *making, struct ps_bytes text)
{
    char *at = making->texts + making->used;

    if (text.len)
        memcpy(at, text.at, text.len);
    making->used += text.len;
    return (struct ps_bytes){(const uint8_t *)at, text.len};
}

static int add_offer(struct ps_core *core, struct making *making, uint32_t session, struct ps_part_offer part)
{
    uint16_t engine = ps_engine_get(core, part.name);

    if (!engine)
        return PS_ERR_LIMIT;
    if (ps_engine_set_has(&making->named, engine))
        return 0; /* named twice: the first word counts */
    part.name = copy_text(making, part.name);
    part.version = copy_text(making, part.version);
    part.definitions = copy_text(making, part.definitions);
    part.origin = copy_text(making, part.origin);
    part.types = copy_text(making, part.types);
    part.problem = copy_text(making, part.problem);
    part.note = copy_text(making, part.note);
    making->offers[making->n++] = (struct ps_offer){.part = part, .session = session, .engine = engine};
    ps_engine_set_put(&making->named, engine, true);
    core->engines[engine].offers_n++; /* at once: now it can't make room for the next */
    if (!part.problem.len) {
        ps_engine_set_put(&making->can, engine, true);
        ps_engine_offered(core, engine, true);
    }
    return 0;
}

static void forget_offers(struct ps_core *core, struct ps_offer *offers, uint32_t n,
                          const struct ps_engine_set *can)
{
    for (uint32_t i = 0; i < n; i++) {
        core->engines[offers[i].engine].offers_n--;
        if (ps_engine_set_has(can, offers[i].engine))
            ps_engine_offered(core, offers[i].engine, false);
        ps_engine_refresh(core, offers[i].engine);
    }
    free(offers);
}

static int read_offers(struct ps_core *core, struct making *making, uint32_t session,
                       struct ps_list_offer list, struct ps_bytes isolation, struct ps_bytes *ret_isolation)
{
    struct ps_list_offer cursor = list;
    struct ps_part_offer part;
    size_t bytes = isolation.len;
    int r = 0;

    while (ps_offer_next(&cursor, &part))
        bytes += texts_of(&part);
    making->offers = ps_alloc(list.n, sizeof(*making->offers));
    making->texts = ps_alloc(bytes, 1);
    if (!making->offers || !making->texts)
        return PS_ERR_NOMEM;
    *ret_isolation = copy_text(making, isolation);
    while (r == 0 && ps_offer_next(&list, &part))
        r = add_offer(core, making, session, part);
    return r;
}

static void mind_licences(struct ps_core *core, const struct ps_engine_set *named, bool spoken)
{
    for (uint16_t i = 1; i <= PS_ENGINES_MAX && (spoken || core->licences); i++)
        if (ps_engine_set_has(named, i))
            ps_licence_offered(core, i);
}

static bool speak_of_licences(const struct ps_offer *offers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (offers[i].part.licence_scans)
            return true;
    return false;
}

void ps_session_offers_clear(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);
    struct ps_engine_set named = {0};

    for (uint32_t i = 0; i < session->offers_n; i++)
        ps_engine_set_put(&named, session->offers[i].engine, true);
    move_offers(core, session, -1);
    forget_offers(core, session->offers, session->offers_n, &session->can);
    free(session->texts);
    session->offers = NULL;
    session->offers_n = 0;
    session->can = (struct ps_engine_set){0};
    session->texts = NULL;
    session->isolation = (struct ps_bytes){NULL, 0};
    mind_licences(core, &named, false);
}

int ps_session_offers(struct ps_core *core, uint32_t number, struct ps_list_offer list,
                      struct ps_bytes isolation)
{
    struct ps_session *session = ps_session_at(core, number);
    struct making making = {0};
    struct ps_bytes copied;
    int r = read_offers(core, &making, number, list, isolation, &copied);

    if (r) {
        forget_offers(core, making.offers, making.n, &making.can);
        free(making.texts);
        return r;
    }
    /* The old ones go after the new ones came: an engine that is in both was never absent. */
    ps_session_offers_clear(core, number);
    session->offers = making.offers;
    session->offers_n = making.n;
    session->can = making.can;
    session->texts = making.texts;
    session->isolation = copied;
    mind_licences(core, &making.named, speak_of_licences(session->offers, session->offers_n));
    ps_session_refresh(core, number);
    core->fleet.changed = true;
    return 0;
}
