/* Any message as a reply that the cache takes: what comes out says the same. */
#include "dns/cache.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cache_limits limits = { .max_ttl = { 3600, 1800 },
                                            .servfail_ns = 5000000000LL };

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void same_section(const struct rrset_list *a, const struct rrset_list *b,
                         const struct question *q)
{
    require(a->n == b->n);
    for (uint16_t i = 0; i < a->n; i++) {
        const struct rrset *x = &a->items[i], *y = &b->items[i];
        const uint8_t *owner = y->owner ? y->owner : q->name.wire;
        require(x->type == y->type && x->class == y->class && x->count == y->count);
        require(name_equal(x->owner, owner));
        require(rrset_bytes(x) == rrset_bytes(y));
        require(memcmp(x->rdata, y->rdata, rrset_bytes(x)) == 0);
    }
}

static void keep(const struct msg *m, bool do_bit, struct arena *a)
{
    struct reply r = { .id = m->id, .flags = m->flags, .rcode = m->rcode, .q = &m->q };
    struct reply back = { .q = &m->q };
    struct cache_verdict v;
    struct cache_key k;
    memcpy(r.section, m->section, sizeof r.section);
    cache_judge(&limits, &r, do_bit, 1700000000, &v);
    if (!v.store)
        return;
    require(v.life_ns > 0 && v.ttl <= 3600);
    cache_key_init(&k, &m->q, do_bit, false);
    struct cache_entry *e = cache_entry_new(&k, &r, &v, 1);
    require(e && cache_entry_is(e, &k) && cache_is_fresh(e, 1));
    cache_entry_fill(e, cache_ttl_left(e, 1), a, &back);
    require(back.rcode == m->rcode);
    for (int s = 0; s < SECTION_COUNT; s++)
        same_section(&r.section[s], &back.section[s], &m->q);
    free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct msg m;
    arena_init(&a, 4096);
    if (msg_parse(data, size, &a, &m) == 0 && m.has_question) {
        keep(&m, false, &a);
        keep(&m, true, &a);
    }
    arena_done(&a);
    return 0;
}
