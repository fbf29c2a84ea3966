/* A catalog's zones come and go. A zone that is there already stays whose it is, unless its catalog
 * says with `coo` that this one may have it (RFC 9432 section 5.4). */
#include "dns/plugins/secondary.h"

#include "base/log.h"

#include <string.h>

static bool same_label(const uint8_t *a, const uint8_t *b)
{
    return a[0] == b[0] && memcmp(a + 1, b + 1, a[0]) == 0;
}

static void take_over(struct replica *r, struct replica *catalog, const struct member *m)
{
    r->member_of = catalog;
    r->source = catalog->source;
    r->counts = catalog->counts;
    memcpy(r->id, m->id, 1u + m->id[0]);
}

static void add(struct replica *catalog, const struct member *m)
{
    struct secondary *s = catalog->s;
    struct replica *r = replica_new(s, m->zone, catalog->source);
    take_over(r, catalog, m);
    vec_push(&s->arriving, r);
    (void)ht_put(&s->by_name, r->origin, r->len, r);
    log_info("plugin/secondary: Added catalog member zone %s from catalog %s", r->text,
             catalog->text);
}

static void drop(struct replica *r)
{
    (void)ht_del(&r->s->by_name, r->origin, r->len);
    vec_push(&r->s->leaving, r);
}

/* Another member under the same name: what there is of it does not count any more. */
static void reset(struct replica *r, struct replica *catalog, const struct member *m)
{
    log_info("plugin/secondary: catalog %s has the zone %s as another member now: starting it anew",
             catalog->text, r->text);
    drop(r);
    add(catalog, m);
}

/* The zone is another catalog's. */
static void migrate(struct replica *r, struct replica *catalog, const struct member *m)
{
    const struct member *theirs = catalog_find(r->member_of->catalog, m->zone);
    if (!theirs || !theirs->coo || !name_equal(theirs->coo, catalog->origin)) {
        log_warning(
            "plugin/secondary: Skipping catalog member zone %s from %s: zone already exists",
            r->text, catalog->text);
        return;
    }
    if (!same_label(r->id, theirs->id) || !same_label(theirs->id, m->id)) {
        reset(r, catalog, m);
        return;
    }
    log_info("plugin/secondary: Migrated catalog member zone %s from catalog %s to %s", r->text,
             r->member_of->text, catalog->text);
    take_over(r, catalog, m);
    replica_load(r);
}

static void apply_one(struct replica *catalog, const struct member *m)
{
    struct replica *r = secondary_get(catalog->s, m->zone);
    if (!r)
        add(catalog, m);
    else if (!r->member_of)
        log_warning(
            "plugin/secondary: Skipping catalog member zone %s from %s: zone already exists",
            r->text, catalog->text);
    else if (r->member_of != catalog)
        migrate(r, catalog, m);
    else if (!same_label(r->id, m->id))
        reset(r, catalog, m);
}

static bool is_allowed(const struct source *source, const struct member *m)
{
    struct question q;
    if (!source->members)
        return true;
    name_from_wire(m->zone, &q.name);
    name_lower(q.lower, q.name.wire, q.name.len);
    return zone_set_covers(source->members, &q);
}

/* Members that the new catalog does not list. */
static void drop_others(struct replica *catalog, const struct catalog *new)
{
    VEC(struct replica *) others = { 0 };
    ht_each (entry, &catalog->s->by_name) {
        struct replica *r = entry->value;
        if (r->member_of == catalog && !catalog_find(new, r->origin))
            vec_push(&others, r);
    }
    vec_each (r, &others) {
        log_info("plugin/secondary: Removed catalog member zone %s from catalog %s", (*r)->text,
                 catalog->text);
        drop(*r);
    }
    vec_done(&others);
}

/* Workers are told first: then what leaves may go, and what comes may ask. */
static void settle(struct secondary *s)
{
    if (s->arriving.n || s->leaving.n)
        secondary_publish(s);
    vec_each (r, &s->leaving)
        replica_end(*r);
    vec_each (r, &s->arriving)
        replica_load(*r);
    vec_clear(&s->leaving);
    vec_clear(&s->arriving);
}

void members_apply(struct replica *catalog, struct catalog *new)
{
    size_t skipped = 0;
    vec_each (m, &new->members) {
        if (is_allowed(catalog->source, m))
            apply_one(catalog, m);
        else
            skipped++;
    }
    drop_others(catalog, new);
    catalog_free(catalog->catalog);
    catalog->catalog = new;
    if (skipped)
        log_warning(
            "plugin/secondary: Skipped %zu member zones from catalog %s: outside configured "
            "member zones",
            skipped, catalog->text);
    log_info("plugin/secondary: Parsed catalog zone %s with %zu member zones", catalog->text,
             new->members.n - skipped);
    settle(catalog->s);
}
