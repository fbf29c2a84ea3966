#include "proxy/restorer.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

void restorer_init(struct restorer *r, const struct iptables_backend *backend,
                   const struct model *model, const struct surroundings *around,
                   const struct chain_options *o)
{
    *r = (struct restorer){
        .backend = backend, .options = *o, .model = model, .around = around, .full_needed = true
    };
}

void restorer_done(struct restorer *r)
{
    chainset_free(r->chains);
    r->chains = NULL;
}

/* ---- texts that are too long ---- */

static const char *next_line(const char *p)
{
    return p + strcspn(p, "\n") + 1;
}

/* Tables in which something changes; a canary that is there already changes nothing. */
static unsigned count_tables(const char *text)
{
    unsigned n = 0;
    for (; text && (text = strstr(text, "\n-")); text = strstr(text, "\nCOMMIT\n"))
        n++;
    return n;
}

/* From p on, whole lines, one at least; returns where the next piece begins. */
static const char *cut_piece(const char *p, const char *end, size_t max, struct strbuf *out)
{
    const char *from = p;
    while (p < end && !str_starts(p, "COMMIT\n") && (p == from || (size_t)(p - from) < max))
        p = next_line(p);
    strbuf_add(out, from, (size_t)(p - from));
    return str_starts(p, "COMMIT\n") ? end : p;
}

/* One table of a text, from "*nat" behind its "COMMIT", in pieces of whole lines. How long a
 * message a line becomes depends on its rule: a piece that is too long still is halved. */
static int restore_pieces(struct restorer *r, const char *table, const char *end,
                          unsigned *ret_commits, struct err *e)
{
    const char *head_end = next_line(table), *p = head_end;
    struct strbuf piece = { 0 };
    size_t max = RESTORER_PIECE_BYTES;
    int ret = 0;
    while (p < end && ret == 0) {
        strbuf_reset(&piece);
        strbuf_add(&piece, table, (size_t)(head_end - table));
        const char *next = cut_piece(p, end, max, &piece);
        strbuf_puts(&piece, "COMMIT\n");
        ret = r->backend->restore(r->backend->ctx, r->options.rules.family, piece.p, piece.len, e);
        if (ret == -EMSGSIZE && max > 0) {
            max /= 2;
            ret = 0;
        } else {
            *ret_commits += ret == 0 ? count_tables(piece.p) : 0;
            p = next;
        }
    }
    strbuf_done(&piece);
    return ret;
}

/* ret_commits: the number of tables, each a transaction by itself, is added. */
static int restore_text(struct restorer *r, const struct strbuf *text, unsigned *ret_commits,
                        struct err *e)
{
    uint8_t family = r->options.rules.family;
    int ret = r->backend->restore(r->backend->ctx, family, text->p, text->len, e);
    if (ret == 0)
        *ret_commits += count_tables(text->p);
    if (ret != -EMSGSIZE)
        return ret;
    ret = 0;
    for (const char *p = text->p; *p && ret == 0;) {
        const char *commit = strstr(p, "\nCOMMIT\n"), *end = next_line(commit + 1);
        ret = restore_pieces(r, p, end, ret_commits, e);
        p = end;
    }
    return ret;
}

/* ---- one restore ---- */

static int transact(struct restorer *r, struct chainset *c, const struct portal_change *list,
                    size_t n, enum stage_parts parts, const struct chainset_saved *saved,
                    struct applied *ret)
{
    struct strbuf text = { 0 };
    size_t rules = chainset_stage(c, list, n, parts, r->around, saved, &text);
    int code = text.len ? restore_text(r, &text, &ret->generations, &ret->err) : 0;
    if (code == 0) {
        chainset_commit(c);
        ret->transactions += text.len > 0;
        ret->elements += rules;
        ret->bytes += text.len;
    } else {
        chainset_discard(c);
        chainset_doubt(c, list, n);
    }
    strbuf_done(&text);
    return code;
}

/* How many portals of the list make a part. */
static size_t part_of(const struct portal_change *list, size_t n)
{
    size_t i = 0;
    for (size_t chains = 0; i < n && chains < RESTORER_PART_CHAINS; i++)
        chains += list[i].new ? list[i].new->n_backends + CHAIN_SEP : 0;
    return i;
}

/* The portals' own chains ahead of what leads to them, where they are many. */
static int write_ahead(struct restorer *r, struct chainset *c, const struct portal_change *list,
                       size_t n, struct applied *ret)
{
    int code = 0;
    for (bool many = part_of(list, n) < n; many && n > 0 && code == 0;) {
        size_t some = part_of(list, n);
        code = transact(r, c, list, some, STAGE_OWN, NULL, ret);
        list += some;
        n -= some;
    }
    return code;
}

/* ---- who is to blame ---- */

/* Would even a restore that changes nothing be refused? */
static bool is_broken(struct restorer *r)
{
    static const char nothing[] = "*nat\nCOMMIT\n";
    struct err e;
    return r->backend->restore(r->backend->ctx, r->options.rules.family, nothing,
                               sizeof nothing - 1, &e) != 0;
}

/* There is no asking without doing: what is taken is written. */
struct attempt {
    struct restorer *restorer;
    struct chainset *chains;
    enum stage_parts parts;
    struct applied *ret;
};

static bool was_written(void *ctx, const struct portal_change *list, size_t n)
{
    struct attempt *a = ctx;
    return transact(a->restorer, a->chains, list, n, a->parts, NULL, a->ret) == 0;
}

static struct hunt hunt_by(struct attempt *a)
{
    return (struct hunt){ .taken = was_written, .ctx = a, .tries_left = HUNT_TRIES_MAX };
}

/* ---- everything ---- */

static int read_saved(struct restorer *r, struct strbuf out[RULE_TABLES], struct err *e)
{
    int ret = 0;
    for (unsigned t = 0; t < RULE_TABLES && ret == 0; t++)
        ret = r->backend->save(r->backend->ctx, r->options.rules.family, rule_table_names[t],
                               &out[t], e);
    return ret;
}

static int write_everything(struct restorer *r, struct chainset *c,
                            const struct portal_change *list, size_t n, struct applied *ret)
{
    struct strbuf texts[RULE_TABLES] = { 0 };
    int code = read_saved(r, texts, &ret->err);
    if (code == 0)
        code = write_ahead(r, c, list, n, ret);
    if (code == 0) {
        struct chainset_saved saved = { .text = { texts[0].p, texts[1].p } };
        code = transact(r, c, list, n, STAGE_ALL, &saved, ret);
    }
    for (unsigned t = 0; t < RULE_TABLES; t++)
        strbuf_done(&texts[t]);
    return code;
}

/* What was refused once more, without the culprits. */
static int write_innocent(struct restorer *r, struct chainset *c, const struct portal_change *all,
                          size_t n, struct applied *ret)
{
    struct attempt a = { r, c, STAGE_OWN, ret };
    struct hunt h = hunt_by(&a);
    hunt_run(&h, all, n);
    struct err why = ret->err;
    int code = write_everything(r, c, h.good.items, h.good.n, ret);
    if (code == 0)
        ret->err = why;
    applied_fail(ret, h.bad.items, h.bad.n);
    if (code != 0)
        applied_fail(ret, h.good.items, h.good.n);
    hunt_done(&h);
    return code;
}

static struct chainset *fresh_chains(struct restorer *r, const struct portal_change *all, size_t n)
{
    struct chainset *c = chainset_new(&r->options);
    if (chainset_turns_comments(c, all, n))
        chainset_turn_comments(c);
    return c;
}

static void run_full(struct restorer *r, struct applied *ret)
{
    struct portal_change *all;
    size_t n = model_all(r->model, r->options.rules.family, &all);
    struct chainset *fresh = fresh_chains(r, all, n);
    ret->full = true;
    int code = write_everything(r, fresh, all, n, ret);
    if (code != 0)
        r->full_failures++;
    if (code == ERR_REFUSED && n > 0 && !is_broken(r)) {
        chainset_free(fresh);
        fresh = fresh_chains(r, all, n);
        code = write_innocent(r, fresh, all, n, ret);
    } else if (code != 0) {
        applied_fail(ret, all, n);
    }
    free(all);
    ret->code = code;
    r->full_needed = code != 0;
    if (code != 0) {
        chainset_free(fresh);
        return;
    }
    chainset_free(r->chains);
    r->chains = fresh;
    r->last_full = clock_ns();
}

/* ---- changes ---- */

static int compare_changes(const void *a, const void *b)
{
    return portal_change_compare(a, b);
}

/* All portals, and those that go: the comments of all rules come or go. */
static void add_all(struct restorer *r, change_list *ours)
{
    struct portal_change *all;
    size_t n = model_all(r->model, r->options.rules.family, &all), w = 0;
    for (size_t i = 0; i < ours->n; i++)
        if (!ours->items[i].new)
            ours->items[w++] = ours->items[i];
    ours->n = w;
    for (size_t i = 0; i < n; i++)
        vec_push(ours, all[i]);
    qsort(ours->items, ours->n, sizeof *ours->items, compare_changes);
    free(all);
}

static void run_changes(struct restorer *r, change_list *ours, struct applied *ret)
{
    if (chainset_turns_comments(r->chains, ours->items, ours->n)) {
        chainset_turn_comments(r->chains);
        add_all(r, ours);
    }
    ret->code = write_ahead(r, r->chains, ours->items, ours->n, ret);
    if (ret->code == 0)
        ret->code = transact(r, r->chains, ours->items, ours->n, STAGE_ALL, NULL, ret);
    if (ret->code == 0)
        return;
    r->partial_failures++;
    if (ret->code != ERR_REFUSED || is_broken(r)) {
        applied_fail(ret, ours->items, ours->n);
        r->full_needed = true;
    } else if (ours->n == 0 || !restorer_probe(r)) {
        run_full(r, ret);
    } else {
        struct attempt a = { r, r->chains, STAGE_ALL, ret };
        struct hunt h = hunt_by(&a);
        hunt_run(&h, ours->items, ours->n);
        applied_fail(ret, h.bad.items, h.bad.n);
        ret->code = 0;
        hunt_done(&h);
    }
}

void restorer_run(struct restorer *r, const struct portal_change *list, size_t n,
                  struct applied *ret)
{
    change_list ours = { 0 };
    *ret = (struct applied){ 0 };
    change_list_of_family(list, n, r->options.rules.family, &ours);
    if (r->full_needed)
        run_full(r, ret);
    else
        run_changes(r, &ours, ret);
    vec_done(&ours);
}

/* ---- is it all there? ---- */

/* Can the chain be listed, with a rule in it when it must have one? */
static bool is_there(struct restorer *r, const char *table, const char *chain,
                     const struct frame_hook *hook)
{
    struct strbuf listed = { 0 };
    struct err e;
    int ret = r->backend->list(r->backend->ctx, r->options.rules.family, table, chain, &listed, &e);
    /* When it cannot be asked, there is no reason to make everything anew. */
    bool there = ret != ERR_NOT_FOUND && (ret != 0 || !hook || frame_hook_is_whole(hook, listed.p));
    strbuf_done(&listed);
    return there;
}

static void note_probe(struct restorer *r, bool whole)
{
    if (!whole)
        log_warning(RESTORER_LOSS, r->options.rules.family == 4 ? "IPv4" : "IPv6");
    r->full_needed = !whole || clock_ns() - r->last_full > RESTORER_FULL_NS;
}

bool restorer_probe(struct restorer *r)
{
    if (r->full_needed)
        return false;
    bool whole = true;
    for (unsigned i = 0; i < FRAME_TABLES; i++)
        whole = whole && is_there(r, frame_tables[i], FRAME_CANARY, NULL);
    for (unsigned i = 0; frame_hook(i); i++)
        whole = whole && is_there(r, rule_table_names[frame_hook(i)->table], frame_hook(i)->chain,
                                  frame_hook(i));
    note_probe(r, whole);
    return !r->full_needed;
}

bool restorer_recount(struct restorer *r)
{
    struct strbuf texts[RULE_TABLES] = { 0 };
    struct err e;
    if (!restorer_probe(r))
        return false;
    bool read = read_saved(r, texts, &e) == 0, whole = true;
    struct chainset_counts c = chainset_counts(r->chains);
    for (unsigned t = 0; t < RULE_TABLES; t++) {
        whole = whole && (!read || frame_count_rules(texts[t].p) >= c.rules[t]);
        strbuf_done(&texts[t]);
    }
    note_probe(r, whole);
    return !r->full_needed;
}

/* ---- taking it all away ---- */

static void save_family(const struct iptables_backend *b, uint8_t family, const char *table,
                        struct strbuf *out)
{
    struct err e;
    strbuf_puts(out, "");
    (void)b->save(b->ctx, family, table, out, &e); /* a table that is not there is empty */
}

static bool has_kubelet(const struct iptables_backend *b, uint8_t family)
{
    struct strbuf saved = { 0 };
    save_family(b, family, "mangle", &saved);
    bool has =
        strstr(saved.p, "\n:KUBE-KUBELET-CANARY ") || strstr(saved.p, "\n:KUBE-IPTABLES-HINT ");
    strbuf_done(&saved);
    return has;
}

static void removal(const struct iptables_backend *b, uint8_t family, struct strbuf *out)
{
    bool kubelet = has_kubelet(b, family);
    strbuf_puts(out, "");
    for (unsigned t = 0; t < FRAME_TABLES; t++) {
        struct strbuf saved = { 0 };
        save_family(b, family, frame_tables[t], &saved);
        frame_remove(frame_tables[t], saved.p, !kubelet, out);
        strbuf_done(&saved);
    }
}

int restorer_remove(const struct iptables_backend *backend, struct err *e)
{
    int code = 0;
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct restorer r = { .backend = backend, .options.rules.family = family };
        struct strbuf text = { 0 };
        struct err why;
        removal(backend, family, &text);
        unsigned commits = 0;
        int ret = text.len ? restore_text(&r, &text, &commits, &why) : 0;
        if (ret != 0 && code == 0)
            code = err_set(e, ret, "%s", why.text);
        strbuf_done(&text);
    }
    return code;
}

bool restorer_finds(const struct iptables_backend *backend)
{
    bool found = false;
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct strbuf text = { 0 };
        removal(backend, family, &text);
        found |= text.len > 0;
        strbuf_done(&text);
    }
    return found;
}
