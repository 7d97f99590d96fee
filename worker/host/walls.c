#include "worker/host/walls.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct wall {
    uint32_t bit;
    const char *word;
    const char *missing;
};

static const struct wall walls[] = {
#define X(name, bit, word, missing) {1u << (bit), word, missing},
    PS_WALLS(X)
#undef X
};

int ps_wall_find(const char *word, uint32_t *ret_wall)
{
    for (size_t i = 0; i < PS_ARRAY_N(walls); i++)
        if (strcmp(walls[i].word, word) == 0) {
            *ret_wall = walls[i].bit;
            return 0;
        }
    return PS_ERR_NOTFOUND;
}

const char *ps_wall_word(uint32_t wall)
{
    for (size_t i = 0; i < PS_ARRAY_N(walls); i++)
        if (walls[i].bit == wall)
            return walls[i].word;
    return "?";
}

struct words {
    char *at;
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) put(struct words *words, const char *fmt, ...)
{
    const char *before = words->len == 0 ? "weaker: " : ", ";
    int n = snprintf(words->at + words->len, PS_WALLS_WORDS_MAX - words->len, "%s", before);
    va_list ap;

    words->len = PS_MIN(words->len + (size_t)n, (size_t)PS_WALLS_WORDS_MAX - 1);
    va_start(ap, fmt);
    n = vsnprintf(words->at + words->len, PS_WALLS_WORDS_MAX - words->len, fmt, ap);
    va_end(ap);
    words->len = PS_MIN(words->len + (size_t)n, (size_t)PS_WALLS_WORDS_MAX - 1);
}

const char *ps_walls_words(char buf[PS_WALLS_WORDS_MAX], uint32_t have, int landlock_abi, bool own_account)
{
    struct words words = {buf, 0};

    for (size_t i = 0; i < PS_ARRAY_N(walls); i++)
        if (!(have & walls[i].bit))
            put(&words, "%s", walls[i].missing);
    if ((have & PS_WALL_LANDLOCK) && landlock_abi < PS_LANDLOCK_FULL)
        put(&words, "Landlock ABI %d of %d", landlock_abi, PS_LANDLOCK_FULL);
    if (!own_account)
        put(&words, "engines run under your own account");
    if (words.len == 0)
        (void)snprintf(buf, PS_WALLS_WORDS_MAX, "full"); /* fits */
    return buf;
}
