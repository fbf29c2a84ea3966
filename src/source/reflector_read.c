/* What an API server sends: lists and watch events, as protocol buffers or as JSON. */
#include "base/hash.h"
#include "kube/proto.h"
#include "source/reflector_impl.h"

#include <string.h>

#define INITIAL_END "k8s.io/initial-events-end" /* annotation of the bookmark behind them */

/* ---- objects ---- */

/* 64 bits of a keyed hash: that two keys meet, which would keep an object that is gone, will not
 * happen. */
static uint64_t hash_of(const char *ns, const char *name)
{
    const uint64_t both[] = { hash_bytes(ns, strlen(ns)), hash_bytes(name, strlen(name)) };
    return hash_bytes(both, sizeof both);
}

static void set_revision(struct reflector *r, const struct tree *t)
{
    const char *revision = tree_str(t, "metadata.resourceVersion");
    if (!revision || !*revision)
        return;
    strbuf_reset(&r->revision);
    strbuf_puts(&r->revision, revision);
}

/* What a list says about itself: its revision, and where it goes on if this is only a page of it.
 */
static void set_list(struct reflector *r, const struct tree *list)
{
    const char *next = tree_str(list, "metadata.continue");
    if (next)
        strbuf_puts(&r->page, next);
    if (!r->revision.len)
        set_revision(r, list);
}

static void put(struct reflector *r, const struct tree *t)
{
    struct object *o = NULL;
    struct err e;
    if (decoder_read(r->decoder, t, r->o->api_version, r->o->name, &o, &e) < 0)
        r->sink.problem(r->sink.ctx, e.text); /* the last good one stays */
    else if (o && o->kind == r->o->kind)
        r->sink.put(r->sink.ctx, o);
    else
        object_free(o);
}

static void put_listed(struct reflector *r, const struct tree *t)
{
    const char *name = tree_str(t, "metadata.name");
    if (name)
        vec_push(&r->seen, hash_of(decode_namespace_of(r->o->kind, t), name));
    put(r, t);
}

/* Drops what has been read from the front. */
static void consumed(struct reflector *r, size_t n)
{
    if (n)
        memmove(r->in.p, r->in.p + n, r->in.len - n);
    r->in.len -= n;
}

/* ---- lists ---- */

/* The envelope in front of the list's own message: magic, type, and the head of the field that
 * holds it. */
static int read_head(struct reflector *r, struct err *e)
{
    struct proto_head h;
    size_t at = 4;
    if (r->in.len < at)
        return 0;
    if (memcmp(r->in.p, "k8s", 4) != 0)
        return err_set(e, ERR_PARSE, "the list is neither protocol buffers nor JSON");
    for (int more; (more = proto_head(r->in.p + at, r->in.len - at, &h, e)) != 0;
         at += h.head + h.len) {
        if (more < 0)
            return more;
        if (h.number == 2) {
            r->raw_left = h.len;
            r->part = LIST_ITEMS;
            consumed(r, at + h.head);
            return 1;
        }
        if (h.len > r->in.len - at - h.head)
            break;
    }
    return r->in.len > REFLECTOR_OBJECT_MAX ? err_set(e, ERR_LIMIT, "the list's head is too long")
                                            : 0;
}

static int read_item(struct reflector *r, const struct proto_head *h, const char *p, struct err *e)
{
    const struct tree *t;
    int code = 0;
    arena_reset(&r->arena);
    if (h->number == 1 && h->has_bytes) {
        code = proto_tree(proto_message_find("List"), 0, p, h->head + h->len, &r->arena, &t, e);
        if (code == 0)
            set_list(r, t);
    } else if (h->number == 2 && h->has_bytes) {
        code = proto_tree(proto_message_find(r->o->name), r->o->without, p + h->head, h->len,
                          &r->arena, &t, e);
        if (code == 0)
            put_listed(r, t);
    }
    return code;
}

static int read_items(struct reflector *r, struct err *e)
{
    struct proto_head h;
    size_t at = 0;
    int code = 0;
    while (code == 0 && r->raw_left) {
        const char *p = r->in.p + at;
        int more = proto_head(p, r->in.len - at, &h, e);
        if (more <= 0) {
            code = more;
            break;
        }
        if (h.len > REFLECTOR_OBJECT_MAX || h.head + h.len > r->raw_left)
            code = err_set(e, ERR_LIMIT, "an object of %zu bytes", h.len);
        else if (h.head + h.len > r->in.len - at)
            break;
        else
            code = read_item(r, &h, p, e);
        at += h.head + h.len;
        r->raw_left -= code == 0 ? h.head + h.len : 0;
    }
    if (code == 0)
        consumed(r, r->raw_left ? at : r->in.len);
    return code;
}

int reflector_read_list(struct reflector *r, struct err *e)
{
    int code = 1;
    if (r->part == LIST_HEAD && r->in.len && *r->in.p == '{')
        r->part = LIST_JSON;
    if (r->part == LIST_JSON)
        return r->in.len > REFLECTOR_OBJECT_MAX
                   ? err_set(e, ERR_LIMIT, "a page of the list is too long")
                   : 0;
    if (r->part == LIST_HEAD)
        code = read_head(r, e);
    return code == 1 && r->part == LIST_ITEMS ? read_items(r, e) : code < 0 ? code : 0;
}

static int read_json_page(struct reflector *r, struct err *e)
{
    struct tree_doc doc;
    arena_reset(&r->arena);
    int code = tree_parse(r->in.p, r->in.len, "list", &r->arena, &doc, e);
    if (code < 0)
        return code;
    const struct tree *list = doc.n == 1 ? doc.documents[0] : NULL,
                      *items = tree_get(list, "items");
    if (!list || !tree_get(list, "metadata"))
        return err_set(e, ERR_PARSE, "the reply is no list");
    set_list(r, list);
    for (const struct tree *t = items ? items->child : NULL; t; t = t->next)
        put_listed(r, t);
    return 0;
}

int reflector_list_end(struct reflector *r, struct err *e)
{
    if (r->part == LIST_JSON)
        return read_json_page(r, e);
    if (r->part != LIST_ITEMS || r->raw_left)
        return err_set(e, ERR_PARSE, "the list broke off");
    return r->revision.len ? 0 : err_set(e, ERR_PARSE, "the list has no resourceVersion");
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool was_seen(void *list, const char *ns, const char *name)
{
    const struct reflector *r = list;
    uint64_t h = hash_of(ns, name);
    return r->seen.n && bsearch(&h, r->seen.items, r->seen.n, sizeof h, by_value);
}

void reflector_sweep(struct reflector *r)
{
    if (r->seen.n)
        qsort(r->seen.items, r->seen.n, sizeof *r->seen.items, by_value);
    r->sink.sweep(r->sink.ctx, r->o, was_seen, r);
    vec_done(&r->seen);
}

/* ---- watches ---- */

static int take_error(struct reflector *r, const struct tree *t, struct err *e)
{
    const char *message = tree_str(t, "message"), *reason = tree_str(t, "reason");
    r->refused = true;
    r->gone =
        str_eq(tree_str(t, "code"), "410") || str_eq(reason, "Expired") || str_eq(reason, "Gone");
    return err_set(e, ERR_REFUSED, "the watch ended: %s",
                   message  ? message
                   : reason ? reason
                            : "no reason given");
}

/* The decimal numbers that revisions are, by their size; false also where one is none. */
static bool is_older(const char *a, const char *b)
{
    size_t m = strspn(a, "0123456789"), n = strspn(b, "0123456789");
    if (a[m] || b[n] || !m || !n || *a == '0' || *b == '0')
        return false;
    return m != n ? m < n : strcmp(a, b) < 0;
}

/* Revisions only grow within a watch. A server that goes back is behind the one that we had before,
 * or restored from a backup: either way only a list from its store says what holds. */
static int check_order(struct reflector *r, const struct tree *t, struct err *e)
{
    const char *revision = tree_str(t, "metadata.resourceVersion");
    if (!revision || !r->revision.len || !is_older(revision, r->revision.p))
        return 0;
    r->gone = true;
    return err_set(e, ERR_REFUSED, "the watch went back from revision %s to %s", r->revision.p,
                   revision);
}

static bool ends_initial(const struct tree *t)
{
    return str_eq(tree_text(tree_get(tree_path(t, "metadata.annotations"), INITIAL_END)), "true");
}

static int take_initial(struct reflector *r, const char *type, const struct tree *t, struct err *e)
{
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        put_listed(r, t);
    } else if (strcmp(type, "BOOKMARK") == 0 && ends_initial(t)) {
        set_revision(r, t);
        if (!r->revision.len)
            return err_set(e, ERR_PARSE, "the initial events end without a resourceVersion");
        reflector_sweep(r);
        r->initial = false;
    } else if (strcmp(type, "BOOKMARK") != 0) {
        return err_set(e, ERR_PARSE, "an initial event of type \"%.40s\"", type);
    }
    return 0;
}

static int take_change(struct reflector *r, const char *type, const struct tree *t, struct err *e)
{
    const char *name = tree_str(t, "metadata.name");
    int code = check_order(r, t, e);
    if (code < 0)
        return code;
    atomic_fetch_add_explicit(&r->status.events, 1, memory_order_relaxed);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        put(r, t);
    else if (strcmp(type, "DELETED") == 0 && name)
        r->sink.del(r->sink.ctx, r->o->kind, decode_namespace_of(r->o->kind, t), name);
    else if (strcmp(type, "BOOKMARK") != 0)
        return err_set(e, ERR_PARSE, "an event of unknown type \"%.40s\"", type);
    set_revision(r, t);
    return 0;
}

static int take_event(struct reflector *r, const char *type, const struct tree *t, struct err *e)
{
    if (!t)
        return err_set(e, ERR_PARSE, "an event without its object");
    if (strcmp(type, "ERROR") == 0)
        return take_error(r, t, e);
    return r->initial ? take_initial(r, type, t, e) : take_change(r, type, t, e);
}

static int read_proto_event(struct reflector *r, const char *p, size_t n, struct err *e)
{
    struct proto_object o = { .kind = "" };
    const char *type;
    const uint8_t *object;
    const struct tree *t;
    size_t len;
    arena_reset(&r->arena);
    int code = proto_event(p, n, &r->arena, &type, &object, &len, e);
    if (code == 0)
        code = proto_unwrap(object, len, &r->arena, &o, e);
    if (code < 0)
        return code;
    const struct proto_message *m =
        proto_message_find(strcmp(type, "ERROR") == 0 ? "Status" : r->o->name);
    code = proto_tree(m, r->o->without, o.raw, o.len, &r->arena, &t, e);
    return code < 0 ? code : take_event(r, type, t, e);
}

static int read_json_event(struct reflector *r, const char *p, size_t n, struct err *e)
{
    struct tree_doc doc;
    arena_reset(&r->arena);
    int code = tree_parse(p, n, "event", &r->arena, &doc, e);
    if (code < 0 || !doc.n)
        return code;
    const char *type = tree_str(doc.documents[0], "type");
    return take_event(r, type ? type : "", tree_get(doc.documents[0], "object"), e);
}

/* How long the next event is with its frame, and where it begins; 0: it is not there yet. A frame's
 * length has four octets, so that none that is taken looks like a brace. */
static size_t next_event(const char *p, size_t n, size_t *ret_skip, bool *ret_json)
{
    *ret_json = n && (*p == '{' || *p == '\n');
    *ret_skip = *ret_json ? 0 : 4;
    if (*ret_json) {
        const char *end = memchr(p, '\n', n);
        return end ? (size_t)(end - p) + 1 : 0;
    }
    if (n < 4)
        return 0;
    size_t len = get_u32((const uint8_t *)p);
    return len <= REFLECTOR_OBJECT_MAX && len > n - 4 ? 0 : 4 + len;
}

int reflector_read_watch(struct reflector *r, struct err *e)
{
    size_t at = 0, skip, len;
    bool json;
    int code = 0;
    while (code == 0 && (len = next_event(r->in.p + at, r->in.len - at, &skip, &json))) {
        const char *p = r->in.p + at + skip;
        if (len - skip > REFLECTOR_OBJECT_MAX)
            return err_set(e, ERR_LIMIT, "an event of %zu bytes", len);
        code = json ? read_json_event(r, p, len, e) : read_proto_event(r, p, len - skip, e);
        at += len;
    }
    if (code == 0)
        consumed(r, at);
    return code == 0 && r->in.len > REFLECTOR_OBJECT_MAX
               ? err_set(e, ERR_LIMIT, "an event is too long")
               : code;
}
