#include "dns/table.h"

#include "base/mem.h"

#include <stdlib.h>

#define TABLE_MIN 64

static struct table_slots *slots_new(size_t capacity)
{
    struct table_slots *s =
        xcalloc(1, sizeof *s + capacity * sizeof(_Atomic(struct table_entry *)));
    s->mask = capacity - 1;
    return s;
}

void table_init(struct table *t, table_equal_fn *equal)
{
    *t = (struct table){ .equal = equal };
    rcu_publish(&t->slots, slots_new(TABLE_MIN));
}

static bool is_entry(const struct table_entry *e)
{
    return e && e != TABLE_DELETED;
}

void table_done(struct table *t, void (*each)(struct table_entry *e))
{
    struct table_slots *s = rcu_load(&t->slots);
    for (size_t i = 0; s && i <= s->mask; i++)
        if (is_entry(s->slot[i]))
            each(s->slot[i]);
    free(s);
    rcu_publish(&t->slots, NULL);
}

static void place(struct table_slots *s, struct table_entry *e)
{
    size_t i = e->hash & s->mask;
    while (s->slot[i])
        i = (i + 1) & s->mask;
    rcu_publish(&s->slot[i], e);
}

/* A new array without the deleted places; readers of the old one finish there. */
static void rebuild(struct table *t)
{
    struct table_slots *old = rcu_load(&t->slots);
    size_t capacity = TABLE_MIN;
    while (capacity < 2 * (t->n + 1))
        capacity *= 2;
    struct table_slots *s = slots_new(capacity);
    for (size_t i = 0; i <= old->mask; i++)
        if (is_entry(old->slot[i]))
            place(s, old->slot[i]);
    t->used = t->n;
    rcu_publish(&t->slots, s);
    rcu_retire(old, free);
}

struct table_entry *table_put(struct table *t, struct table_entry *e, const void *key, size_t len)
{
    struct table_slots *s = rcu_load(&t->slots);
    for (size_t i = e->hash & s->mask; s->slot[i]; i = (i + 1) & s->mask) {
        struct table_entry *old = rcu_load(&s->slot[i]);
        if (old == TABLE_DELETED || old->hash != e->hash || !t->equal(old, key, len))
            continue;
        rcu_publish(&s->slot[i], e);
        return old;
    }
    if (3 * (t->used + 1) > 2 * (s->mask + 1)) {
        rebuild(t);
        s = rcu_load(&t->slots);
    }
    place(s, e);
    t->n++;
    t->used++;
    return NULL;
}

struct table_entry *table_del(struct table *t, uint64_t hash, const void *key, size_t len)
{
    struct table_slots *s = rcu_load(&t->slots);
    for (size_t i = hash & s->mask; s->slot[i]; i = (i + 1) & s->mask) {
        struct table_entry *old = rcu_load(&s->slot[i]);
        if (old == TABLE_DELETED || old->hash != hash || !t->equal(old, key, len))
            continue;
        rcu_publish(&s->slot[i], TABLE_DELETED);
        t->n--;
        return old;
    }
    return NULL;
}
