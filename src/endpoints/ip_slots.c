#include "endpoints/ip_slots.h"

#include "base/hash.h"
#include "base/str.h"

#include <string.h>

#define HOST_BITS_MAX 32 /* of larger ranges only the first addresses are used */

#define PAGE_SLOTS 256

/* How many Services name each of these addresses. Most addresses of a large cluster are given by
 * hand (that is, by an API server), so they get no struct slot each. */
struct page {
    uint32_t used; /* counts that are not 0 */
    uint32_t count[PAGE_SLOTS];
};

struct slot {
    struct slot_claim *claims; /* those who prefer it */
    struct slot_claim *holder; /* one of them, or a loser that came by */
};

void ip_slots_init(struct ip_slots *s, const struct ip_prefix *range)
{
    unsigned host_bits = (unsigned)(8 * ip_len(&range->ip)) - range->bits;
    uint64_t size = 1ULL << MIN(host_bits, HOST_BITS_MAX);
    uint64_t reserve = size <= 16 ? 0 : MIN(MAX(16, size / 16), 256);
    *s = (struct ip_slots){ .prefix = *range, .low = 1, .first = 1 + reserve };
    /* The network's own address is none for a Service, nor is IPv4's broadcast address. */
    uint64_t none = range->ip.family == 4 ? 2 : 1;
    s->last = size > none ? size - none : 0;
}

void ip_slots_done(struct ip_slots *s)
{
    ht_each (e, &s->slots)
        free(e->value);
    ht_done(&s->slots);
    ht_each (e, &s->reserved)
        free(e->value);
    ht_done(&s->reserved);
    vec_done(&s->losers);
    vec_done(&s->moved);
}

struct ip ip_slots_ip(const struct ip_slots *s, uint64_t slot)
{
    struct ip ip = s->prefix.ip;
    for (size_t i = ip_len(&ip); i-- > 0 && slot; slot >>= 8)
        ip.bytes[i] |= (uint8_t)slot; /* host bits are zero: no carry */
    return ip;
}

/* The slot of an address, or 0 when it is none. */
static uint64_t slot_of_ip(const struct ip_slots *s, const struct ip *ip)
{
    uint64_t slot = 0;
    if (!ip_prefix_contains(&s->prefix, ip))
        return 0;
    for (size_t i = 0; i < ip_len(ip); i++) {
        if (slot >> 56)
            return 0;
        slot = slot << 8 | (ip->bytes[i] ^ s->prefix.ip.bytes[i]);
    }
    return slot <= s->last ? slot : 0;
}

static struct slot *find(const struct ip_slots *s, uint64_t at)
{
    return ht_get(&s->slots, &at, sizeof at);
}

static struct slot *find_or_add(struct ip_slots *s, uint64_t at)
{
    struct slot *slot = find(s, at);
    if (!slot) {
        slot = xcalloc(1, sizeof *slot);
        ht_put(&s->slots, &at, sizeof at, slot);
    }
    return slot;
}

static struct page *page_of(const struct ip_slots *s, uint64_t at)
{
    at /= PAGE_SLOTS;
    return ht_get(&s->reserved, &at, sizeof at);
}

static bool is_reserved(const struct ip_slots *s, uint64_t at)
{
    const struct page *p = page_of(s, at);
    return p && p->count[at % PAGE_SLOTS];
}

static void forget_if_free(struct ip_slots *s, uint64_t at)
{
    struct slot *slot = find(s, at);
    if (slot && !slot->claims && !slot->holder)
        free(ht_del(&s->slots, &at, sizeof at));
}

static int compare(const struct slot_claim *a, const struct slot_claim *b)
{
    int r = strcmp(a->ns, b->ns);
    return r ? r : strcmp(a->name, b->name);
}

static size_t loser_place(const struct ip_slots *s, const struct slot_claim *c)
{
    size_t low = 0, high = s->losers.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare(s->losers.items[mid], c) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void add_loser(struct ip_slots *s, struct slot_claim *c)
{
    size_t at = loser_place(s, c);
    vec_push(&s->losers, c);
    memmove(&s->losers.items[at + 1], &s->losers.items[at],
            (s->losers.n - 1 - at) * sizeof *s->losers.items);
    s->losers.items[at] = c;
}

static void remove_loser(struct ip_slots *s, const struct slot_claim *c)
{
    size_t at = loser_place(s, c);
    if (at == s->losers.n || s->losers.items[at] != c)
        return;
    memmove(&s->losers.items[at], &s->losers.items[at + 1],
            (s->losers.n - at - 1) * sizeof *s->losers.items);
    s->losers.n--;
}

/* The claim to the slot that counts, or NULL when it is reserved. */
static struct slot_claim *first_claim(const struct ip_slots *s, const struct slot *slot,
                                      uint64_t at)
{
    struct slot_claim *first = is_reserved(s, at) ? NULL : slot->claims;
    for (struct slot_claim *c = first; c; c = c->next)
        if (compare(c, first) < 0)
            first = c;
    return first;
}

static void leave(struct ip_slots *s, struct slot_claim *c)
{
    struct slot *slot = c->slot ? find(s, c->slot) : NULL;
    if (slot && slot->holder == c)
        slot->holder = NULL;
    forget_if_free(s, c->slot);
    c->slot = 0;
}

static void move(struct ip_slots *s, struct slot_claim *c, uint64_t to)
{
    leave(s, c);
    c->slot = to;
    if (to)
        find_or_add(s, to)->holder = c;
}

/* Decides a preferred slot anew. Losers are placed later, by ip_slots_settle(). */
static void decide(struct ip_slots *s, uint64_t at)
{
    const struct slot *slot = find(s, at);
    if (!slot)
        return;
    struct slot_claim *winner = first_claim(s, slot, at), *before = slot->holder;
    if (before == winner)
        return;
    if (before && before->preferred == at)
        add_loser(s, before);
    if (before) {
        leave(s, before);
        vec_push(&s->moved, before);
    }
    if (!winner)
        return;
    remove_loser(s, winner);
    move(s, winner, at);
    vec_push(&s->moved, winner);
}

void ip_slots_claim(struct ip_slots *s, struct slot_claim *c, const char *ns, const char *name)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    *c = (struct slot_claim){ .ns = ns, .name = name };
    if (s->first > s->last) {
        add_loser(s, c);
        return;
    }
    strbuf_printf(&key, "%s/%s", ns, name);
    uint64_t h = hash_stable(key.p, key.len);
    c->preferred = s->first + (h ^ h >> 32) % (s->last - s->first + 1);
    struct slot *slot = find_or_add(s, c->preferred);
    c->next = slot->claims;
    slot->claims = c;
    add_loser(s, c);
    decide(s, c->preferred);
}

void ip_slots_drop(struct ip_slots *s, struct slot_claim *c)
{
    remove_loser(s, c);
    leave(s, c);
    if (c->preferred) {
        struct slot *slot = find(s, c->preferred);
        struct slot_claim **at = &slot->claims;
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        decide(s, c->preferred);
        forget_if_free(s, c->preferred);
    }
    for (size_t i = 0; i < s->moved.n; i++)
        if (s->moved.items[i] == c)
            vec_swap_remove(&s->moved, i--);
}

unsigned ip_slots_reserve(struct ip_slots *s, const struct ip *ip)
{
    uint64_t at = slot_of_ip(s, ip), page = at / PAGE_SLOTS;
    if (!at)
        return 0;
    struct page *p = page_of(s, at);
    if (!p) {
        p = xcalloc(1, sizeof *p);
        ht_put(&s->reserved, &page, sizeof page, p);
    }
    unsigned n = ++p->count[at % PAGE_SLOTS];
    p->used += n == 1;
    decide(s, at);
    return n;
}

void ip_slots_release(struct ip_slots *s, const struct ip *ip)
{
    uint64_t at = slot_of_ip(s, ip), page = at / PAGE_SLOTS;
    if (!at)
        return;
    struct page *p = page_of(s, at);
    if (--p->count[at % PAGE_SLOTS] == 0)
        p->used--;
    if (!p->used)
        free(ht_del(&s->reserved, &page, sizeof page));
    decide(s, at);
}

static bool is_free(const struct ip_slots *s, uint64_t at)
{
    const struct slot *slot = find(s, at);
    return (!slot || !slot->holder) && !is_reserved(s, at);
}

/* The next free slot behind the preferred one, around the dynamic part, then in the reserve; 0:
 * none. */
static uint64_t probe(const struct ip_slots *s, uint64_t preferred)
{
    for (uint64_t at = preferred + 1; preferred && at <= s->last; at++)
        if (is_free(s, at))
            return at;
    for (uint64_t at = s->first; at < preferred; at++)
        if (is_free(s, at))
            return at;
    for (uint64_t at = s->low; at < s->first && at <= s->last; at++)
        if (is_free(s, at))
            return at;
    return 0;
}

/* All losers are placed anew, or the outcome would depend on who came when. */
void ip_slots_settle(struct ip_slots *s)
{
    uint64_t *before = xcalloc(s->losers.n + 1, sizeof *before);
    bool full = false;
    for (size_t i = 0; i < s->losers.n; i++) {
        before[i] = s->losers.items[i]->slot;
        leave(s, s->losers.items[i]);
    }
    for (size_t i = 0; i < s->losers.n; i++) {
        struct slot_claim *c = s->losers.items[i];
        uint64_t to = full ? 0 : probe(s, c->preferred);
        full |= !to;
        move(s, c, to);
    }
    for (size_t i = 0; i < s->losers.n; i++) {
        if (before[i] != s->losers.items[i]->slot)
            vec_push(&s->moved, s->losers.items[i]);
    }
    free(before);
}
