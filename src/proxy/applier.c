#include "proxy/applier.h"

#include "base/vec.h"

#include <errno.h>

typedef VEC(struct vip_change) changes;

void applier_init(struct applier *a, const struct nft_backend *backend, const struct model *model,
                  const struct ruleset_options *o)
{
    *a = (struct applier){ .backend = backend, .options = *o, .model = model, .full_needed = true };
}

void applier_done(struct applier *a)
{
    ruleset_free(a->rules);
    a->rules = NULL;
}

void applied_done(struct applied *r)
{
    free(r->failed);
    *r = (struct applied){ 0 };
}

/* One transaction; with check, only the question whether the kernel would take it. */
static int transact(struct applier *a, struct ruleset *rules, const struct vip_change *list,
                    size_t n, bool full, bool check, struct applied *r)
{
    struct strbuf text = { 0 };
    if (full)
        ruleset_skeleton(rules, &text);
    size_t elements = ruleset_stage(rules, list, n, &text);
    int ret = text.len ? a->backend->apply(a->backend->ctx, text.p, text.len, check, &r->err) : 0;
    if (ret == 0 && !check) {
        ruleset_commit(rules);
        r->transactions += text.len > 0;
        r->elements += elements;
        r->bytes += text.len;
    } else {
        ruleset_discard(rules);
    }
    strbuf_done(&text);
    return ret;
}

static int apply_list(struct applier *a, struct ruleset *rules, const struct vip_change *list,
                      size_t n, bool full, struct applied *r)
{
    int ret = transact(a, rules, list, n, full, false, r);
    if (ret != -EMSGSIZE || n < 2)
        return ret;
    ret = apply_list(a, rules, list, n / 2, full, r);
    if (ret == 0)
        ret = apply_list(a, rules, list + n / 2, n - n / 2, false, r);
    return ret;
}

/* ---- who is to blame */

static bool kernel_would_take(struct applier *a, struct ruleset *rules,
                              const struct vip_change *list, size_t n, bool full, struct applied *r)
{
    if (a->checks_left == 0)
        return false;
    a->checks_left--;
    return transact(a, rules, list, n, full, true, r) == 0;
}

static void isolate(struct applier *a, struct ruleset *rules, const struct vip_change *list,
                    size_t n, bool full, changes *good, changes *bad, struct applied *r)
{
    if (n == 0)
        return;
    if (kernel_would_take(a, rules, list, n, full, r)) {
        for (size_t i = 0; i < n; i++)
            vec_push(good, list[i]);
    } else if (n == 1 || a->checks_left == 0) {
        for (size_t i = 0; i < n; i++)
            vec_push(bad, list[i]);
    } else {
        isolate(a, rules, list, n / 2, full, good, bad, r);
        isolate(a, rules, list + n / 2, n - n / 2, full, good, bad, r);
    }
}

static void fail(struct applied *r, const struct vip_change *list, size_t n)
{
    r->failed = xrealloc(r->failed, (r->n_failed + n) * sizeof *r->failed);
    for (size_t i = 0; i < n; i++)
        r->failed[r->n_failed++] = list[i].key;
}

/* Applies all but the culprits. */
static int apply_innocent(struct applier *a, struct ruleset *rules, const struct vip_change *list,
                          size_t n, bool full, struct applied *r)
{
    changes good = { 0 }, bad = { 0 };
    a->checks_left = APPLIER_CHECKS_MAX;
    isolate(a, rules, list, n, full, &good, &bad, r);
    struct err why = r->err;
    int ret = apply_list(a, rules, good.items, good.n, full, r);
    if (ret == 0)
        r->err = why;
    fail(r, bad.items, bad.n);
    if (ret != 0)
        fail(r, good.items, good.n);
    vec_done(&good);
    vec_done(&bad);
    return ret;
}

/* No Service is to blame for these: the fixed part alone is refused, or nft does not run. */
static bool is_hopeless(struct applier *a, struct ruleset *rules, bool full, int code,
                        struct applied *r)
{
    if (code != ERR_REFUSED && code != -EMSGSIZE)
        return true;
    return full && transact(a, rules, NULL, 0, true, true, r) != 0;
}

static void run_full(struct applier *a, struct applied *r)
{
    struct ruleset *fresh = ruleset_new(&a->options);
    struct vip_change *all;
    size_t n = model_all(a->model, a->options.family, &all);
    r->full = true;
    int ret = apply_list(a, fresh, all, n, true, r);
    if (ret != 0 && !is_hopeless(a, fresh, true, ret, r))
        ret = apply_innocent(a, fresh, all, n, true, r);
    else if (ret != 0)
        fail(r, all, n);
    free(all);
    r->code = ret;
    a->full_needed = ret != 0;
    if (ret != 0) {
        ruleset_free(fresh);
        return;
    }
    ruleset_free(a->rules);
    a->rules = fresh;
}

bool applier_probe(struct applier *a)
{
    struct strbuf text = { 0 };
    struct err e;
    if (!a->full_needed) {
        ruleset_probe(a->rules, &text);
        a->full_needed = a->backend->apply(a->backend->ctx, text.p, text.len, true, &e) != 0;
    }
    strbuf_done(&text);
    return !a->full_needed;
}

static void keep_ours(const struct applier *a, const struct vip_change *list, size_t n,
                      changes *ours)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].key.family == a->options.family)
            vec_push(ours, list[i]);
}

static void run_changes(struct applier *a, const struct vip_change *list, size_t n,
                        struct applied *r)
{
    r->code = apply_list(a, a->rules, list, n, false, r);
    if (r->code == 0)
        return;
    if (is_hopeless(a, a->rules, false, r->code, r))
        fail(r, list, n);
    else if (applier_probe(a))
        r->code = apply_innocent(a, a->rules, list, n, false, r);
    else
        run_full(a, r);
}

void applier_run(struct applier *a, const struct vip_change *list, size_t n, struct applied *ret)
{
    changes ours = { 0 };
    *ret = (struct applied){ 0 };
    keep_ours(a, list, n, &ours);
    if (a->full_needed)
        run_full(a, ret);
    else if (ours.n > 0)
        run_changes(a, ours.items, ours.n, ret);
    vec_done(&ours);
}
