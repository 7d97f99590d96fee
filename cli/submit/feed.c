#include "cli/submit/feed.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/submit/walk.h"

struct ps_feed {
    struct ps_feed_settings settings;
    char *cwd;            /* with its slash; "" when it can't be told */
    struct ps_walk *walk; /* NULL without paths */
    bool stdin_due;       /* standard input was not read yet */
    bool walked;          /* no more files */
    char *path;           /* owned: of the file in hand */
    struct ps_walk_file file;
    bool held;          /* the file in hand did not fit into the pack before */
    unsigned planned_n; /* earlier packs under way */
    uint64_t again_n;   /* files they brought, which the walk will meet */
    unsigned packs_n;   /* made: part of their keys */
    pthread_t counter;
    bool counting;
};

/* ---- counting ahead ---- */

static void *count_files(void *arg)
{
    struct ps_feed *self = arg;
    const struct ps_feed_settings *settings = &self->settings;
    struct ps_walk *walk = NULL;
    struct ps_walk_file file;
    int r = ps_walk_new(&walk, settings->paths, settings->exclude, settings->one_file_system, NULL);

    while (r == 0 && !*settings->stop) {
        r = ps_walk_next(walk, &file, NULL);
        if (r == 0)
            break;
        if (r == 1) {
            settings->show->total_n++;
            settings->show->total_bytes += file.size;
        }
        r = 0; /* a path that can't be looked at is the walk's to tell */
    }
    settings->show->total_known = true;
    ps_walk_free(&walk);
    return NULL;
}

/* ---- birth and end ---- */

int ps_feed_new(struct ps_feed **ret_self, const struct ps_feed_settings *settings, struct ps_error *reterr)
{
    PS_CLEANUP(ps_feed_free) struct ps_feed *self = PS_NEW(struct ps_feed);
    PS_FREE char *cwd = getcwd(NULL, 0);
    int r = 0;

    if (!self || !(self->cwd = ps_strf("%s%s", cwd ? cwd : "", cwd && strcmp(cwd, "/") != 0 ? "/" : "")))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->settings = *settings;
    self->stdin_due = settings->stdin_name != NULL;
    self->walked = settings->paths_n == 0;
    settings->show->total_known = self->walked;
    settings->show->total_n = self->stdin_due;
    if (!self->walked)
        r = ps_walk_new(&self->walk, settings->paths, settings->exclude, settings->one_file_system, reterr);
    if (r)
        return r;
    if (!self->walked) /* without it progress does not know the whole */
        self->counting = pthread_create(&self->counter, NULL, count_files, self) == 0;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_feed_free(struct ps_feed **self_p)
{
    struct ps_feed *self = *self_p;

    if (!self)
        return;
    if (self->counting)
        (void)pthread_join(self->counter, NULL); /* it is there and not detached */
    ps_walk_free(&self->walk);
    free(self->path);
    free(self->cwd);
    free(self);
    *self_p = NULL;
}

/* ---- notes in the state file ---- */

static void complain_of_state(struct ps_feed *self, const struct ps_error *why)
{
    ps_show_error(self->settings.show, NULL, *why->text ? why->text : "the state file can't be written");
}

static void sync_state(struct ps_feed *self, int r)
{
    struct ps_error why = {0};

    if (r || ps_seen_sync(self->settings.seen, &why) != 0)
        complain_of_state(self, &why);
}

/* Before a pack goes out for the first time. */
static void note_plan(struct ps_feed *self, const struct ps_pack *pack)
{
    struct ps_seen *seen = self->settings.seen;
    int r = ps_seen_plan(seen, pack->key);

    for (size_t i = 0; !r && i < pack->n; i++)
        r = ps_seen_plan_file(seen, pack->files[i].key, pack->files[i].path);
    sync_state(self, r);
}

static void add_seen(struct ps_feed *self, const uint8_t key[PS_SEEN_KEY])
{
    struct ps_error why = {0};

    if (ps_seen_add(self->settings.seen, key) != 0)
        complain_of_state(self, &why);
}

void ps_feed_acknowledged(struct ps_feed *self, const struct ps_pack *pack, const struct ps_pack_file *file)
{
    if (!self->settings.seen || pack->spooled)
        return;
    add_seen(self, file->key);
    if (pack->plan && ps_seen_note(self->settings.seen, file->key) == 0)
        self->again_n++;
}

static int look_at(const char *path, struct ps_walk_file *ret_file)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return PS_ERR_NOTFOUND;
    *ret_file =
        (struct ps_walk_file){.path = path, .size = (uint64_t)st.st_size, .mtime_ns = ps_walk_mtime_ns(&st)};
    return 0;
}

bool ps_feed_conflict(struct ps_feed *self, const struct ps_pack *pack)
{
    struct ps_walk_file now;
    uint8_t key[PS_SEEN_KEY];

    for (size_t i = 0; pack->plan && i < pack->plan->n; i++) {
        const struct ps_seen_file *file = &pack->plan->files[i];

        if (look_at(file->path, &now) != 0)
            continue;
        ps_seen_key(key, file->path, now.size, now.mtime_ns);
        if (memcmp(key, file->key, sizeof(key)) != 0)
            continue;
        add_seen(self, key);
        (void)ps_seen_note(self->settings.seen, key); /* without memory it is sent again */
    }
    return pack->plan != NULL;
}

void ps_feed_opened(struct ps_feed *self, const struct ps_pack *pack)
{
    if (self->settings.seen && !pack->spooled)
        sync_state(self, ps_seen_upload(self->settings.seen, pack->key, pack->upload));
}

void ps_feed_settled(struct ps_feed *self, const struct ps_pack *pack)
{
    if (self->settings.seen && !pack->spooled)
        sync_state(self, ps_seen_settled(self->settings.seen, pack->key));
    self->planned_n -= pack->plan != NULL;
}

/* ---- packs ---- */

static struct ps_pack *new_pack(struct ps_feed *self)
{
    char key[PS_SEEN_PACK_KEY_MAX + 1];

    (void)snprintf(key, sizeof(key), "%s-%08x%08x", self->settings.pack->batch, randombytes_random(),
                   self->packs_n++);
    return ps_pack_new(key);
}

/* Takes a file in hand, under its whole path: a sweep may go on from another directory. */
static int take_in_hand(struct ps_feed *self, const struct ps_walk_file *file)
{
    const char *path = !strncmp(file->path, "./", 2) ? file->path + 2 : file->path;

    free(self->path);
    self->path = ps_strf("%s%s", *path == '/' ? "" : self->cwd, path);
    self->file = *file;
    self->file.path = self->path;
    return self->path ? 0 : PS_ERR_NOMEM;
}

/* Takes the next file of the walk in hand that is not known from an earlier run. 1, 0 at the end. */
static int next_file(struct ps_feed *self)
{
    struct ps_show *show = self->settings.show;
    uint8_t key[PS_SEEN_KEY];

    while (!self->held) {
        struct ps_error why = {0};
        struct ps_walk_file file;
        int r = ps_walk_next(self->walk, &file, &why);

        if (r == 0 || *self->settings.stop)
            return 0;
        if (r == 1 && take_in_hand(self, &file) != 0)
            r = ps_error_set(&why, PS_ERR_NOMEM, "out of memory");
        if (r < 0) {
            show->failed_n++;
            ps_show_error(show, file.path, why.text);
            continue;
        }
        ps_seen_key(key, self->path, file.size, file.mtime_ns);
        if (!self->settings.seen || !ps_seen_has(self->settings.seen, key))
            return 1;
        if (self->again_n)
            self->again_n--; /* counted as sent */
        else
            show->skipped_n++;
    }
    self->held = false;
    return 1;
}

/* A pack with what comes next: a batch, or one large file. NULL at the end of the walk. */
static struct ps_pack *fill_pack(struct ps_feed *self)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = new_pack(self);

    while (pack && next_file(self)) {
        struct ps_error why = {0};
        int r = ps_pack_add(pack, self->settings.pack, &self->file, &why);

        if (r == PS_ERR_AGAIN || (r == PS_ERR_LIMIT && pack->n)) {
            self->held = true;
            return PS_TAKE(pack);
        }
        if (r == PS_ERR_LIMIT && (r = ps_pack_large(pack, &self->file, &why)) == 0)
            return PS_TAKE(pack);
        if (r) {
            self->settings.show->failed_n++;
            ps_show_error(self->settings.show, self->path, why.text);
        }
    }
    self->walked = true;
    return pack && pack->n ? PS_TAKE(pack) : NULL;
}

/* A pack that an earlier run sent without learning what became of it: the same files in the same order under the same
 * key. A file that can't be read any more is the walk's to tell, if it meets it. */
static struct ps_pack *planned_pack(struct ps_feed *self)
{
    PS_CLEANUP(ps_seen_plan_free) struct ps_seen_plan *plan = ps_seen_take_plan(self->settings.seen);
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = ps_pack_new(plan->key);
    struct ps_walk_file file;

    for (size_t i = 0; pack && i < plan->n; i++) {
        int r = look_at(plan->files[i].path, &file);

        if (!r)
            r = ps_pack_add(pack, self->settings.pack, &file, NULL);
        if (r == PS_ERR_LIMIT && plan->n == 1)
            (void)ps_pack_large(pack, &file, NULL);
    }
    if (!pack || pack->n == 0) { /* nothing is left of it */
        sync_state(self, ps_seen_settled(self->settings.seen, plan->key));
        return NULL;
    }
    if (pack->large && *plan->upload && !memcmp(pack->files[0].key, plan->files[0].key, PS_SEEN_KEY))
        pack->upload = ps_strf("%s", plan->upload); /* without memory it begins anew */
    pack->plan = PS_TAKE(plan);
    self->planned_n++;
    return PS_TAKE(pack);
}

static struct ps_pack *stdin_pack(struct ps_feed *self)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = new_pack(self);
    struct ps_error why = {0};
    int r = pack ? ps_pack_spool(pack, self->settings.pack, self->settings.stdin_name, STDIN_FILENO,
                                 self->settings.stdin_max, &why)
                 : ps_error_set(&why, PS_ERR_NOMEM, "out of memory");

    self->stdin_due = false;
    if (!r)
        return PS_TAKE(pack);
    if (r != PS_ERR_CANCELLED) {
        self->settings.show->failed_n++;
        ps_show_error(self->settings.show, self->settings.stdin_name, why.text);
    }
    return NULL;
}

static bool has_plan(const struct ps_feed *self)
{
    return self->settings.seen && ps_seen_has_plan(self->settings.seen);
}

bool ps_feed_more(const struct ps_feed *self)
{
    return has_plan(self) || self->stdin_due || !self->walked;
}

struct ps_pack *ps_feed_next(struct ps_feed *self)
{
    struct ps_pack *pack = NULL;

    if (has_plan(self))
        return planned_pack(self);
    if (self->stdin_due)
        return stdin_pack(self);
    if (self->planned_n == 0 && !self->walked)
        pack = fill_pack(self);
    if (pack && self->settings.seen)
        note_plan(self, pack);
    return pack;
}
