#include "proxy/applier.h"

#include "base/log.h"
#include "base/vec.h"
#include "kernel/nft_elements.h"
#include "proxy/found.h"
#include "proxy/kept.h"

#include <errno.h>
#include <stdio.h>

void applier_init(struct applier *a, const struct nft_backend *backend, const struct model *model,
                  const struct surroundings *around, const struct ruleset_options *o)
{
    *a = (struct applier){
        .backend = backend, .options = *o, .model = model, .around = around, .full_needed = true
    };
}

void applier_done(struct applier *a)
{
    ruleset_free(a->rules);
    a->rules = NULL;
}

struct keeper {
    const struct nft_backend *backend;
    int code;
    unsigned made;
};

static void add_keep(void *ctx, uint32_t seconds)
{
    struct keeper *k = ctx;
    char chain[32];
    (void)snprintf(chain, sizeof chain, "keep-%u", seconds);
    int ret = k->backend->add_keep_rule(k->backend->ctx, &(struct nft_keep_rule){
                                                             .table = RULESET_TABLE,
                                                             .chain = chain,
                                                             .set = map_name(SET_AFFINITY),
                                                             .map = RULESET_AFFINITY_MAP,
                                                             .seconds = seconds,
                                                         });
    k->code = ret < 0 ? ret : k->code;
    k->made += ret == 0;
}

/* IPv6's rules of the packet path that nft cannot write. Without them clients are not kept, but all
 * else works: that is told, and no reason to stop. */
static void add_keeps(struct applier *a, const struct ruleset *rules, struct applied *r)
{
    struct keeper k = { a->backend, 0, 0 };
    if (a->options.family != 6 || !a->backend->add_keep_rule)
        return;
    ruleset_new_keeps(rules, add_keep, &k);
    r->transactions += k.made;
    r->generations += k.made;
    if (k.code < 0)
        log_error("IPv6 clients with session affinity are not kept: %s", err_str(k.code));
}

static void count_transaction(struct applied *r)
{
    r->transactions++;
    r->generations++;
}

/* Without the seal the next process makes the table anew, which is no harm. */
static void seal(struct applier *a, struct applied *r)
{
    if (!a->backend->survey)
        return;
    int ret = found_seal(a->backend, &a->options);
    if (ret == 0)
        count_transaction(r);
    else
        log_debug("the table is not sealed: %s", err_str(ret));
}

/* A transaction that the kernel took. */
static void settle(struct applier *a, struct ruleset *rules, size_t written, size_t bytes,
                   bool full, struct applied *r)
{
    bool drops = ruleset_drops_affinity(rules), chains = full || ruleset_needs_chains(rules);
    add_keeps(a, rules, r);
    ruleset_commit(rules);
    if (chains)
        seal(a, r);
    if (bytes > 0)
        count_transaction(r);
    r->elements += written;
    r->bytes += bytes;
    if (drops)
        r->forgotten += kept_forget(a->backend, rules, a->options.family);
}

/* As text. One transaction; with check, only the question whether the kernel would take it. */
static int transact_text(struct applier *a, struct ruleset *rules, const struct portal_change *list,
                         size_t n, bool full, bool check, struct applied *r)
{
    struct strbuf text = { 0 };
    if (full)
        ruleset_skeleton(rules, &text);
    size_t written = ruleset_stage(rules, list, n, a->around, &text);
    if (full && !check)
        r->carried = kept_carry_over(a->backend, rules, a->options.family, &text);
    int ret = text.len ? a->backend->apply(a->backend->ctx, text.p, text.len, check, &r->err) : 0;
    if (ret == 0 && !check)
        settle(a, rules, written, text.len, full, r);
    else
        ruleset_discard(rules);
    strbuf_done(&text);
    return ret;
}

/* New chains come first, in a transaction of their own: nothing leads to them yet. */
static int make_chains(struct applier *a, struct ruleset *rules, struct applied *r)
{
    struct strbuf text = { 0 };
    if (!ruleset_needs_chains(rules))
        return 0;
    ruleset_print_chains(rules, &text);
    int ret = a->backend->apply(a->backend->ctx, text.p, text.len, false, &r->err);
    if (ret == 0) {
        count_transaction(r);
        r->bytes += text.len;
        add_keeps(a, rules, r);
        ruleset_commit_chains(rules);
        seal(a, r);
    }
    strbuf_done(&text);
    return ret;
}

/* What is staged, to the kernel without nft. Commits or discards. */
static int write_staged(struct applier *a, struct ruleset *rules, size_t written, bool check,
                        struct applied *r)
{
    struct nft_elements t;
    int ret = check ? 0 : make_chains(a, rules, r);
    nft_elements_init(&t, a->options.family, RULESET_TABLE);
    ruleset_put(rules, &t);
    if (ret == 0 && t.n > 0)
        ret = a->backend->write(a->backend->ctx, &t, check, &r->err);
    if (ret == 0 && !check)
        settle(a, rules, written, t.n > 0 ? t.len : 0, false, r);
    else
        ruleset_discard(rules);
    nft_elements_done(&t);
    return ret;
}

/* Where there are elements only, they need no nft. Whether the kernel would take elements that lead
 * to new chains is another matter: that is asked as text. */
static int transact(struct applier *a, struct ruleset *rules, const struct portal_change *list,
                    size_t n, bool full, bool check, struct applied *r)
{
    if (full || !a->backend->write)
        return transact_text(a, rules, list, n, full, check, r);
    size_t written = ruleset_stage(rules, list, n, a->around, NULL);
    if (!check || !ruleset_needs_chains(rules))
        return write_staged(a, rules, written, check, r);
    ruleset_discard(rules);
    return transact_text(a, rules, list, n, false, true, r);
}

/* Up to the end of a line, at most APPLIER_PIECE_BYTES or one line. */
static size_t piece_of(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len) {
        size_t line = (size_t)(strchr(text + n, '\n') - (text + n)) + 1;
        if (n > 0 && n + line > APPLIER_PIECE_BYTES)
            break;
        n += line;
    }
    return n;
}

/* One portal that is too large for a transaction: line by line. What fails in the middle leaves a
 * table that is neither old nor new, to be made anew. */
static int apply_pieces(struct applier *a, struct ruleset *rules, const struct portal_change *one,
                        bool full, struct applied *r)
{
    struct strbuf text = { 0 };
    if (full)
        ruleset_skeleton(rules, &text);
    size_t at = 0, first = text.len; /* the table is no line by line matter */
    size_t written = ruleset_stage(rules, one, 1, a->around, &text);
    int ret = 0;
    while (at < text.len && ret == 0) {
        size_t skip = at < first ? first : 0;
        size_t n = skip + piece_of(text.p + at + skip, text.len - at - skip);
        ret = a->backend->apply(a->backend->ctx, text.p + at, n, false, &r->err);
        at += n;
        if (ret == 0 && at < text.len) /* the last is counted below */
            count_transaction(r);
    }
    if (ret == 0)
        settle(a, rules, written, text.len, full, r);
    else
        ruleset_discard(rules);
    a->full_needed |= ret != 0;
    strbuf_done(&text);
    return ret;
}

static int apply_list(struct applier *a, struct ruleset *rules, const struct portal_change *list,
                      size_t n, bool full, struct applied *r)
{
    int ret = transact(a, rules, list, n, full, false, r);
    if (ret == -EMSGSIZE && n == 1)
        return apply_pieces(a, rules, list, full, r);
    if (ret != -EMSGSIZE || n == 0)
        return ret;
    ret = apply_list(a, rules, list, n / 2, full, r);
    if (ret == 0)
        ret = apply_list(a, rules, list + n / 2, n - n / 2, false, r);
    return ret;
}

static bool is_table_there(const struct applier *a)
{
    const struct nft_backend *b = a->backend;
    size_t rules;
    return !b->count_rules ||
           b->count_rules(b->ctx, a->options.family, RULESET_TABLE, &rules) != -ENOENT;
}

/* How many portals of the list make a transaction of a bounded size. */
static size_t part_of(const struct portal_change *list, size_t n)
{
    size_t i = 0;
    for (size_t count = 0; i < n && count < APPLIER_PART_ELEMENTS; i++)
        count += list[i].new->n_backends + list[i].new->n_fronts + 2;
    return i;
}

/* What replaces a table goes in one transaction. Where there is none, parts will do: the first
 * Services answer sooner, and nothing needs memory for all of them at once. */
static int apply_table(struct applier *a, struct ruleset *rules, const struct portal_change *list,
                       size_t n, struct applied *r)
{
    bool whole = is_table_there(a), first = true;
    int ret;
    do {
        size_t some = whole ? n : first && a->backend->write ? 0 : part_of(list, n);
        ret = apply_list(a, rules, list, some, first, r);
        list += some;
        n -= some;
        first = false;
    } while (ret == 0 && n > 0);
    return ret;
}

/* ---- who is to blame */

struct question {
    struct applier *applier;
    struct ruleset *rules;
    bool full, broken; /* nft does not work: what needs it is guilty */
    struct applied *ret;
};

/* Would even a transaction that changes nothing be refused? */
static bool is_nft_broken(struct applier *a)
{
    struct strbuf text = { 0 };
    struct err e;
    strbuf_printf(&text, "add table %s " RULESET_TABLE "\n", family_word(a->options.family));
    int ret = a->backend->apply(a->backend->ctx, text.p, text.len, true, &e);
    strbuf_done(&text);
    return ret != 0;
}

static bool needs_nft(struct question *q, const struct portal_change *list, size_t n)
{
    (void)ruleset_stage(q->rules, list, n, q->applier->around, NULL);
    bool needs = ruleset_needs_chains(q->rules);
    ruleset_discard(q->rules);
    return needs;
}

static bool kernel_would_take(void *ctx, const struct portal_change *list, size_t n)
{
    struct question *q = ctx;
    if (q->broken && needs_nft(q, list, n))
        return false;
    return transact(q->applier, q->rules, list, n, q->full, true, q->ret) == 0;
}

/* Applies all but the culprits. */
static int apply_innocent(struct applier *a, struct ruleset *rules,
                          const struct portal_change *list, size_t n, bool full, struct applied *r)
{
    bool broken = !full && a->backend->write && is_nft_broken(a);
    struct question q = { a, rules, full, broken, r };
    struct hunt h = { .taken = kernel_would_take, .ctx = &q, .tries_left = HUNT_TRIES_MAX };
    hunt_run(&h, list, n);
    struct err why = r->err;
    int ret = apply_list(a, rules, h.good.items, h.good.n, full, r);
    if (ret == 0)
        r->err = why;
    applied_fail(r, h.bad.items, h.bad.n);
    if (ret != 0)
        applied_fail(r, h.good.items, h.good.n);
    hunt_done(&h);
    return ret;
}

/* No Service is to blame for these: the fixed part alone is refused, or nft does not run. */
static bool is_hopeless(struct applier *a, struct ruleset *rules, bool full, int code,
                        struct applied *r)
{
    if (code != ERR_REFUSED && code != -EMSGSIZE)
        return true;
    if (full)
        return transact(a, rules, NULL, 0, true, true, r) != 0;
    return !a->backend->write && is_nft_broken(a);
}

/* Takes a table of ours over by writing what is wrong with it. False: it must be made anew. */
static bool adopt(struct applier *a, struct ruleset *rules, const struct portal_change *all,
                  size_t n, struct applied *r)
{
    struct found found;
    struct err e = { .code = 0 };
    int ret = found_read(a->backend, &a->options, &found, &e);
    if (ret == ERR_INVALID)
        log_info("nftables' table %s " RULESET_TABLE " is made anew: %s",
                 family_word(a->options.family), e.text);
    if (ret < 0)
        return false;
    ruleset_take_over(rules, &found);
    size_t written = ruleset_stage(rules, all, n, a->around, NULL);
    ret = write_staged(a, rules, written, false, r);
    r->found = ret == 0 ? found.n : 0;
    found_done(&found);
    /* The process before may have been killed before it came to that. */
    if (ret == 0 && ruleset_has_affinity(rules))
        r->forgotten += kept_forget(a->backend, rules, a->options.family);
    return ret == 0;
}

static void run_full(struct applier *a, struct applied *r)
{
    struct ruleset *fresh = ruleset_new(&a->options);
    struct portal_change *all;
    size_t n = model_all(a->model, a->options.family, &all);
    int ret = 0;
    r->full = true;
    if (!adopt(a, fresh, all, n, r)) {
        ruleset_free(fresh);
        fresh = ruleset_new(&a->options);
        ret = apply_table(a, fresh, all, n, r);
    }
    if (ret != 0) { /* a part of it may have been taken */
        ruleset_free(fresh);
        fresh = ruleset_new(&a->options);
    }
    if (ret != 0 && !is_hopeless(a, fresh, true, ret, r))
        ret = apply_innocent(a, fresh, all, n, true, r);
    else if (ret != 0)
        applied_fail(r, all, n);
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
    const struct nft_backend *b = a->backend;
    if (a->full_needed)
        return false;
    struct ruleset_counts want = ruleset_counts(a->rules);
    size_t rules;
    int ret = b->count_rules ? b->count_rules(b->ctx, a->options.family, RULESET_TABLE, &rules)
                             : -EOPNOTSUPP;
    /* When the kernel does not say, there is no reason to tear everything down. */
    a->full_needed = ret == -ENOENT || (ret == 0 && rules != want.rules);
    return !a->full_needed;
}

/* The kernel's elements are not those of our picture: somebody else has been at them. */
static bool has_drifted(const struct applied *r)
{
    return strstr(r->err.text, "No such file or directory") || strstr(r->err.text, "File exists");
}

static void run_changes(struct applier *a, const struct portal_change *list, size_t n,
                        struct applied *r)
{
    r->code = apply_list(a, a->rules, list, n, false, r);
    if (r->code == 0)
        return;
    if (is_hopeless(a, a->rules, false, r->code, r))
        applied_fail(r, list, n);
    else if (!has_drifted(r) && applier_probe(a))
        r->code = apply_innocent(a, a->rules, list, n, false, r);
    else
        run_full(a, r);
}

void applier_run(struct applier *a, const struct portal_change *list, size_t n, struct applied *ret)
{
    change_list ours = { 0 };
    *ret = (struct applied){ 0 };
    change_list_of_family(list, n, a->options.family, &ours);
    if (a->full_needed)
        run_full(a, ret);
    else
        run_changes(a, ours.items, ours.n, ret);
    vec_done(&ours);
}
