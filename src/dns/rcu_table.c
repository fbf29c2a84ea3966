#include "dns/rcu_table.h"

#include "base/mem.h"

#include <stdlib.h>

#define RCU_TABLE_MIN 64

static struct rcu_table_slots *slots_new(size_t capacity)
{
    struct rcu_table_slots *s =
        xcalloc(1, sizeof *s + capacity * sizeof(_Atomic(struct rcu_table_entry *)));
    s->mask = capacity - 1;
    return s;
}

void rcu_table_init(struct rcu_table *t, rcu_table_equal_fn *equal)
{
    *t = (struct rcu_table){ .equal = equal };
    rcu_publish(&t->slots, slots_new(RCU_TABLE_MIN));
}

static bool is_entry(const struct rcu_table_entry *e)
{
    return e && e != RCU_TABLE_DELETED;
}

void rcu_table_done(struct rcu_table *t, void (*each)(struct rcu_table_entry *e))
{
    struct rcu_table_slots *s = rcu_load(&t->slots);
    for (size_t i = 0; s && each && i <= s->mask; i++)
        if (is_entry(s->slot[i]))
            each(s->slot[i]);
    free(s);
    rcu_publish(&t->slots, NULL);
}

static void place(struct rcu_table_slots *s, struct rcu_table_entry *e)
{
    size_t i = e->hash & s->mask;
    while (s->slot[i])
        i = (i + 1) & s->mask;
    rcu_publish(&s->slot[i], e);
}

/* A new array without the deleted places; readers of the old one finish there. */
static void rebuild(struct rcu_table *t)
{
    struct rcu_table_slots *old = rcu_load(&t->slots);
    size_t capacity = RCU_TABLE_MIN;
    while (capacity < 2 * (t->n + 1))
        capacity *= 2;
    struct rcu_table_slots *s = slots_new(capacity);
    for (size_t i = 0; i <= old->mask; i++)
        if (is_entry(old->slot[i]))
            place(s, old->slot[i]);
    t->used = t->n;
    rcu_publish(&t->slots, s);
    rcu_retire(old, free);
}

static void insert(struct rcu_table *t, struct rcu_table_entry *e)
{
    struct rcu_table_slots *s = rcu_load(&t->slots);
    if (3 * (t->used + 1) > 2 * (s->mask + 1)) {
        rebuild(t);
        s = rcu_load(&t->slots);
    }
    place(s, e);
    t->n++;
    t->used++;
}

struct rcu_table_entry *rcu_table_put(struct rcu_table *t, struct rcu_table_entry *e,
                                      const void *key, size_t len)
{
    struct rcu_table_slots *s = rcu_load(&t->slots);
    for (size_t i = e->hash & s->mask; s->slot[i]; i = (i + 1) & s->mask) {
        struct rcu_table_entry *old = rcu_load(&s->slot[i]);
        if (old == RCU_TABLE_DELETED || old->hash != e->hash || !t->equal(old, key, len))
            continue;
        rcu_publish(&s->slot[i], e);
        return old;
    }
    insert(t, e);
    return NULL;
}

struct rcu_table_entry *rcu_table_del(struct rcu_table *t, uint64_t hash, const void *key,
                                      size_t len)
{
    struct rcu_table_slots *s = rcu_load(&t->slots);
    for (size_t i = (uint32_t)hash & s->mask; s->slot[i]; i = (i + 1) & s->mask) {
        struct rcu_table_entry *old = rcu_load(&s->slot[i]);
        if (old == RCU_TABLE_DELETED || old->hash != (uint32_t)hash || !t->equal(old, key, len))
            continue;
        rcu_publish(&s->slot[i], RCU_TABLE_DELETED);
        t->n--;
        return old;
    }
    return NULL;
}

bool rcu_table_add(struct rcu_table *t, struct rcu_table_entry *e, const void *key, size_t len,
                   unsigned max)
{
    struct rcu_table_walk w = rcu_table_walk(t, e->hash);
    unsigned n = 0;
    while (n < max && rcu_table_next(&w, key, len))
        n++;
    if (n == max)
        return false;
    insert(t, e);
    return true;
}

bool rcu_table_exchange(struct rcu_table *t, const struct rcu_table_entry *old,
                        struct rcu_table_entry *new)
{
    struct rcu_table_slots *s = rcu_load(&t->slots);
    for (size_t i = old->hash & s->mask; s->slot[i]; i = (i + 1) & s->mask) {
        if (rcu_load(&s->slot[i]) != old)
            continue;
        rcu_publish(&s->slot[i], new ? new : RCU_TABLE_DELETED);
        t->n -= !new;
        return true;
    }
    return false;
}
