#include "source/claims.h"

#include <string.h>

struct loser_list {
    VEC(const struct claimant *) list;
};

static void loser_list_free(struct loser_list *l)
{
    vec_done(&l->list);
    free(l);
}

void claims_done(struct claims *c)
{
    ht_each (e, &c->losers)
        loser_list_free(e->value);
    ht_done(&c->losers);
    ht_done(&c->owners);
}

int claimant_compare(const struct claimant *a, const struct claimant *b)
{
    if (a->root != b->root)
        return a->root < b->root ? -1 : 1;
    return strcmp(a->path, b->path);
}

static void add_loser(struct claims *c, const char *key, const struct claimant *who)
{
    struct loser_list *l = ht_get_str(&c->losers, key);
    if (!l) {
        l = xcalloc(1, sizeof *l);
        ht_put_str(&c->losers, key, l);
    }
    vec_each (it, &l->list)
        if (*it == who)
            return;
    vec_push(&l->list, who);
}

static void remove_loser(struct claims *c, const char *key, const struct claimant *who)
{
    struct loser_list *l = ht_get_str(&c->losers, key);
    for (size_t i = 0; l && i < l->list.n; i++) {
        if (l->list.items[i] != who)
            continue;
        vec_swap_remove(&l->list, i);
        break;
    }
    if (l && !l->list.n)
        loser_list_free(ht_del_str(&c->losers, key));
}

const struct claimant *claims_add(struct claims *c, const char *key, const struct claimant *who,
                                  const struct claimant **ret_beaten)
{
    const struct claimant *owner = ht_get_str(&c->owners, key);
    *ret_beaten = NULL;
    if (owner == who)
        return who;
    if (owner && claimant_compare(owner, who) < 0) {
        add_loser(c, key, who);
        return owner;
    }
    if (owner) {
        add_loser(c, key, owner);
        remove_loser(c, key, who);
        *ret_beaten = owner;
    }
    /* The table never writes through its values. */
    ht_put_str(&c->owners, key, (void *)(uintptr_t)who);
    return who;
}

static const struct claimant *first_loser(const struct claims *c, const char *key)
{
    const struct loser_list *l = ht_get_str(&c->losers, key);
    const struct claimant *first = NULL;
    for (size_t i = 0; l && i < l->list.n; i++)
        if (!first || claimant_compare(l->list.items[i], first) < 0)
            first = l->list.items[i];
    return first;
}

enum claim_end claims_drop(struct claims *c, const char *key, const struct claimant *who,
                           const struct claimant **ret_heir)
{
    *ret_heir = NULL;
    if (ht_get_str(&c->owners, key) != who) {
        remove_loser(c, key, who);
        return CLAIM_LOSER;
    }
    const struct claimant *heir = first_loser(c, key);
    if (!heir) {
        ht_del_str(&c->owners, key);
        return CLAIM_LAST;
    }
    ht_put_str(&c->owners, key, (void *)(uintptr_t)heir);
    remove_loser(c, key, heir);
    *ret_heir = heir;
    return CLAIM_INHERITED;
}
