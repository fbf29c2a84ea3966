/* A hash table for one writer and any number of lock-free readers (RCU).
 *
 * Entries are immutable and begin with `struct rcu_table_entry`; the writer replaces them whole and
 * retires the old one. A reader finds an entry with one hash and usually one cache miss, and may
 * use it until its next quiescent state. The cost of a change does not depend on how many entries
 * there are (growing copies pointers, amortised over the insertions that made it necessary). */
#pragma once

#include "base/rcu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rcu_table_entry {
    uint32_t hash; /* the low bits of what is looked up with */
};

struct rcu_table_slots {
    size_t mask;
    _Atomic(struct rcu_table_entry *) slot[];
};

typedef bool rcu_table_equal_fn(const struct rcu_table_entry *e, const void *key, size_t len);

struct rcu_table {
    _Atomic(struct rcu_table_slots *) slots;
    size_t n;    /* entries */
    size_t used; /* places taken, deleted ones included */
    rcu_table_equal_fn *equal;
};

/* A place whose entry was deleted; never dereferenced. */
#define RCU_TABLE_DELETED ((struct rcu_table_entry *)(uintptr_t)1)

void rcu_table_init(struct rcu_table *t, rcu_table_equal_fn *equal);
/* Frees the slots; each(entry), if any, is called with every entry first. No readers any more. */
void rcu_table_done(struct rcu_table *t, void (*each)(struct rcu_table_entry *e));

/* Writer. Returns the entry that was there before (to be retired), or NULL. */
struct rcu_table_entry *rcu_table_put(struct rcu_table *t, struct rcu_table_entry *e,
                                      const void *key, size_t len);
struct rcu_table_entry *rcu_table_del(struct rcu_table *t, uint64_t hash, const void *key,
                                      size_t len);

/* Look-ahead of a reader: first the place, later the entry that stands in it. */
static inline void rcu_table_prefetch_place(const struct rcu_table *t, uint64_t hash)
{
    const struct rcu_table_slots *s = rcu_load(&t->slots);
    __builtin_prefetch((const void *)&s->slot[(uint32_t)hash & s->mask]);
}

static inline void rcu_table_prefetch_entry(const struct rcu_table *t, uint64_t hash)
{
    const struct rcu_table_slots *s = rcu_load(&t->slots);
    const char *e = (const char *)rcu_load(&s->slot[(uint32_t)hash & s->mask]);
    for (int line = 0; line < 3; line++)
        __builtin_prefetch(e + 64 * line);
}

/* Reader (and writer). */
static inline struct rcu_table_entry *rcu_table_find(const struct rcu_table *t, uint64_t hash,
                                                     const void *key, size_t len)
{
    const struct rcu_table_slots *s = rcu_load(&t->slots);
    for (size_t i = (uint32_t)hash & s->mask;; i = (i + 1) & s->mask) {
        struct rcu_table_entry *e = rcu_load(&s->slot[i]);
        if (!e)
            return NULL;
        if (e != RCU_TABLE_DELETED && e->hash == (uint32_t)hash && t->equal(e, key, len))
            return e;
    }
}

/* ---- tables where several entries may have one key, told apart by their own address ---- */

/* Writer. False: `max` entries of this key are there already. */
bool rcu_table_add(struct rcu_table *t, struct rcu_table_entry *e, const void *key, size_t len,
                   unsigned max);
/* Puts another entry of the same key in an entry's place; NULL: nothing. False: it was not there.
 */
bool rcu_table_exchange(struct rcu_table *t, const struct rcu_table_entry *old,
                        struct rcu_table_entry *new);

/* Reader: a walk over the entries of a key, which lasts no longer than the reader's batch. */
struct rcu_table_walk {
    const struct rcu_table *table;
    const struct rcu_table_slots *slots;
    uint32_t hash;
    size_t i;
};

static inline struct rcu_table_walk rcu_table_walk(const struct rcu_table *t, uint64_t hash)
{
    const struct rcu_table_slots *s = rcu_load(&t->slots);
    return (struct rcu_table_walk){ t, s, (uint32_t)hash, (uint32_t)hash & s->mask };
}

static inline struct rcu_table_entry *rcu_table_next(struct rcu_table_walk *w, const void *key,
                                                     size_t len)
{
    for (struct rcu_table_entry *e; (e = rcu_load(&w->slots->slot[w->i]));) {
        w->i = (w->i + 1) & w->slots->mask;
        if (e != RCU_TABLE_DELETED && e->hash == w->hash && w->table->equal(e, key, len))
            return e;
    }
    return NULL;
}
