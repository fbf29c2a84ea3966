#include "endpoints/members.h"

#include "base/str.h"

#include <string.h>

struct member_list {
    VEC(struct member_set *) sets;
};

static void set_free(struct member_set *set)
{
    vec_done(&set->pods);
    free(set);
}

static void list_free(struct member_list *l)
{
    vec_done(&l->sets);
    free(l);
}

void members_done(struct members *m)
{
    ht_each (e, &m->index)
        list_free(e->value);
    ht_done(&m->index);
    ht_each (e, &m->sets)
        set_free(e->value);
    ht_done(&m->sets);
}

bool service_selects(const struct service *s)
{
    return s->n_selector > 0 && s->type != SERVICE_EXTERNAL_NAME;
}

static void set_key(struct strbuf *b, const char *ns, const char *service)
{
    strbuf_reset(b);
    strbuf_printf(b, "%s/%s", ns, service);
}

static void index_key(struct strbuf *b, const char *ns, const struct label *l)
{
    strbuf_reset(b);
    strbuf_puts(b, ns);
    strbuf_putc(b, ' ');
    strbuf_puts(b, l->key);
    strbuf_putc(b, '=');
    strbuf_puts(b, l->value);
}

struct member_set *members_find(const struct members *m, const char *ns, const char *service)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    set_key(&key, ns, service);
    return ht_get(&m->sets, key.p, key.len);
}

struct member_set *members_add_service(struct members *m, const struct service *s)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    struct member_set *set = xcalloc(1, sizeof *set);
    const struct meta *meta = &s->object.meta;
    set->service = s;
    set_key(&key, meta->namespace, meta->name);
    ht_put(&m->sets, key.p, key.len, set);
    index_key(&key, meta->namespace, &s->selector[0]);
    struct member_list *l = ht_get(&m->index, key.p, key.len);
    if (!l) {
        l = xcalloc(1, sizeof *l);
        ht_put(&m->index, key.p, key.len, l);
    }
    vec_push(&l->sets, set);
    return set;
}

void members_remove_service(struct members *m, const struct service *s)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    const struct meta *meta = &s->object.meta;
    set_key(&key, meta->namespace, meta->name);
    struct member_set *set = ht_del(&m->sets, key.p, key.len);
    if (!set)
        return;
    index_key(&key, meta->namespace, &s->selector[0]);
    struct member_list *l = ht_get(&m->index, key.p, key.len);
    for (size_t i = 0; i < l->sets.n; i++) {
        if (l->sets.items[i] != set)
            continue;
        vec_swap_remove(&l->sets, i);
        break;
    }
    if (!l->sets.n)
        list_free(ht_del(&m->index, key.p, key.len));
    set_free(set);
}

void members_replace_service(struct members *m, const struct service *s)
{
    struct member_set *set = members_find(m, s->object.meta.namespace, s->object.meta.name);
    if (set)
        set->service = s;
}

void members_each(const struct members *m, const struct pod *pod,
                  void (*fn)(void *ctx, struct member_set *set, const struct pod *pod), void *ctx)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    const struct meta *meta = &pod->object.meta;
    for (uint16_t i = 0; i < meta->n_labels; i++) {
        index_key(&key, meta->namespace, &meta->labels[i]);
        const struct member_list *l = ht_get(&m->index, key.p, key.len);
        for (size_t k = 0; l && k < l->sets.n; k++) {
            struct member_set *set = l->sets.items[k];
            if (labels_match(meta, set->service->selector, set->service->n_selector))
                fn(ctx, set, pod);
        }
    }
}

/* Where a Pod of that name is, or belongs. */
static size_t place_of(const struct member_set *set, const struct pod *pod)
{
    size_t low = 0, high = set->pods.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(set->pods.items[mid]->object.meta.name, pod->object.meta.name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct member_set *set, size_t at, const struct pod *pod)
{
    return at < set->pods.n &&
           strcmp(set->pods.items[at]->object.meta.name, pod->object.meta.name) == 0;
}

void member_set_add(struct member_set *set, const struct pod *pod)
{
    size_t at = place_of(set, pod);
    if (!is_at(set, at, pod)) {
        vec_push(&set->pods, pod);
        memmove(&set->pods.items[at + 1], &set->pods.items[at],
                (set->pods.n - 1 - at) * sizeof *set->pods.items);
    }
    set->pods.items[at] = pod;
}

void member_set_remove(struct member_set *set, const struct pod *pod)
{
    size_t at = place_of(set, pod);
    if (!is_at(set, at, pod))
        return;
    memmove(&set->pods.items[at], &set->pods.items[at + 1],
            (set->pods.n - at - 1) * sizeof *set->pods.items);
    set->pods.n--;
}
