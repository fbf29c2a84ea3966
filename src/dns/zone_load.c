#include "dns/zone_load.h"

#include "base/hash.h"
#include "base/log.h"

#include <string.h>

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool is_unchanged(const struct zone_slot *s)
{
    if (s->files.n == 0)
        return false;
    vec_each (f, &s->files) {
        struct stat st;
        if (stat(f->path, &st) < 0 || !is_same(&st, &f->st))
            return false;
    }
    return true;
}

static void forget_files(struct zone_slot *s)
{
    vec_each (f, &s->files)
        free(f->path);
    vec_done(&s->files);
}

/* What was read stands for the zone from now on, whether it is published or not. */
static void keep_files(struct zone_slot *s, struct zone_sink *sink)
{
    forget_files(s);
    vec_each (f, &sink->files)
        vec_push(&s->files, *f);
    vec_clear(&sink->files);
}

static int read_zone(const struct zone_slot *s, struct zone_sink *sink, struct zone_data **ret,
                     struct err *e)
{
    struct zone_builder *b = zone_builder_new(s->origin);
    sink->record = zone_builder_add;
    sink->ctx = b;
    int code = zone_file_parse(sink, s->path, s->origin, e);
    if (code < 0) {
        zone_builder_free(b);
        return code;
    }
    code = zone_builder_end(b, ret, e);
    return code < 0 ? err_wrap(e, "%s", s->path) : 0;
}

int zone_slot_load(struct zone_slot *s, struct err *e)
{
    struct zone_sink sink = { 0 };
    struct zone_data *new = NULL, *old = atomic_load(&s->zone);
    if (is_unchanged(s))
        return ZONE_UNCHANGED;
    int code = read_zone(s, &sink, &new, e);
    if (code == 0)
        keep_files(s, &sink);
    zone_sink_done(&sink);
    if (code < 0)
        return code;
    if (old && !s->by_mtime && old->serial == new->serial) {
        zone_data_free(new);
        return ZONE_UNCHANGED;
    }
    if (new->n_outside)
        log_warning("plugin/%s: %s: %zu records lie outside the zone and were left out", s->plugin,
                    s->path, new->n_outside);
    rcu_publish(&s->zone, new);
    if (old)
        rcu_retire(old, zone_data_free);
    return ZONE_PUBLISHED;
}

static uint64_t hash_of(const char *error)
{
    return hash_bytes(error, strlen(error)) | 1;
}

void zone_slot_told(struct zone_slot *s, const char *error)
{
    s->told = hash_of(error);
}

/* A file that is read while it is written fails twice, for two reasons: both are told. */
static void tell_failure(struct zone_slot *s, const char *error)
{
    if (hash_of(error) != s->told)
        log_error("plugin/%s: %s; the zone stays as it was", s->plugin, error);
    zone_slot_told(s, error);
}

bool zone_slot_reload(struct zone_slot *s)
{
    struct err e = { 0 };
    char text[NAME_TEXT_MAX];
    int code = zone_slot_load(s, &e);
    if (code < 0)
        tell_failure(s, e.text);
    else
        s->told = 0;
    if (code != ZONE_PUBLISHED)
        return false;
    log_info("plugin/%s: Successfully reloaded zone \"%s\" in \"%s\" with %u SOA serial", s->plugin,
             name_to_text(s->origin, text), s->path, atomic_load(&s->zone)->serial);
    return true;
}

void zone_slot_done(struct zone_slot *s)
{
    forget_files(s);
    zone_data_free(atomic_load(&s->zone));
}
