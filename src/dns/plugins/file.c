/* `file DBFILE [ZONES...] { reload, reload_by_mtime, fallthrough }`: answers from zone files. */
#include "dns/zone_answer.h"
#include "dns/zone_load.h"
#include "dns/zone_transfer.h"

#include <errno.h>
#include <string.h>

#define RELOAD_NS 60000000000LL

/* One zone of one file. */
struct file_zone {
    struct zone_slot slot;
    struct file *file;
    uint64_t reload_ms; /* 0: never */
    uv_timer_t *timer;  /* on the heap: it outlives us until the loop has closed it */
    const struct token *token;
};

/* All zone files of a server block. */
struct file {
    struct zone_set *zones;
    struct zone_list names; /* as many as items, in the same order */
    struct file_zone **items;
    size_t n;
    struct zone_set *fallthrough; /* the last one of the block counts, as in the reference */
    struct transfers *transfers;
    uv_loop_t *loop;
};

/* ---- the step ---- */

static const struct zone_data *find_zone(const struct file *f, const struct question *q, int *ret_i)
{
    *ret_i = zone_set_find(f->zones, q);
    return *ret_i < 0 ? NULL : rcu_load(&f->items[*ret_i]->slot.zone);
}

static enum step looked_up(struct query *q, void *conf, void *data)
{
    int i;
    return zone_answer_looked_up(q, find_zone(conf, &q->msg.q, &i), data);
}

static enum step file_in(struct query *q, void *conf)
{
    struct file *f = conf;
    int i;
    const struct zone_data *z = find_zone(f, &q->msg.q, &i);
    if (i < 0 && query_is_last(q)) /* an authoritative server is asked for others' names */
        return query_fail(q, RCODE_REFUSED, NULL);
    if (i < 0)
        return STEP_NEXT;
    if (!z)
        return query_fail(q, RCODE_SERVFAIL, "%s has not been read yet", f->items[i]->slot.path);
    return zone_step(q, z, f->fallthrough, looked_up, f);
}

/* ---- reloading ---- */

static void notify(struct file_zone *z)
{
    if (atomic_load(&z->slot.zone))
        transfers_notify(z->file->transfers, z->slot.origin);
}

static void on_timer(uv_timer_t *timer)
{
    struct file_zone *z = timer->data;
    if (zone_slot_reload(&z->slot))
        notify(z);
}

static int file_start(void *conf, struct err *e)
{
    struct file *f = conf;
    (void)e;
    for (size_t i = 0; i < f->n; i++) {
        struct file_zone *z = f->items[i];
        notify(z);
        if (!z->reload_ms)
            continue;
        z->timer = xcalloc(1, sizeof *z->timer);
        uv_timer_init(f->loop, z->timer);
        z->timer->data = z;
        uv_timer_start(z->timer, on_timer, z->reload_ms, z->reload_ms);
    }
    return 0;
}

static void timer_closed(uv_handle_t *timer)
{
    free(timer);
}

static void file_stop(void *conf)
{
    struct file *f = conf;
    for (size_t i = 0; i < f->n; i++) {
        if (f->items[i]->timer)
            uv_close((uv_handle_t *)f->items[i]->timer, timer_closed);
        zone_slot_done(&f->items[i]->slot);
    }
}

/* ---- transfer ---- */

static int file_transfer(struct query *q, void *conf, transfer_emit *emit, void *ctx)
{
    const struct file *f = conf;
    for (size_t i = 0; i < f->n; i++)
        if (name_equal(f->items[i]->slot.origin, q->msg.q.lower))
            return zone_transfer(rcu_load(&f->items[i]->slot.zone), emit, ctx);
    return ERR_NOT_FOUND;
}

/* ---- set-up ---- */

/* A zone that is named twice belongs to the later file. */
static struct file_zone *get_zone(struct file *f, struct setup *s, const char *text)
{
    struct arena *a = setup_arena(s);
    struct name name;
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->names.items[i], text) == 0)
            return f->items[i];
    if (name_from_text(text, &name) < 0)
        return NULL; /* zone_expand() made it: cannot happen */
    struct file_zone *z = arena_zalloc(a, sizeof *z);
    z->slot.plugin = "file";
    z->file = f;
    z->slot.origin = arena_memdup(a, name.wire, name.len);
    f->items = xrealloc(f->items, (f->n + 1) * sizeof(struct file_zone *));
    f->names.items = xrealloc(f->names.items, (f->n + 1) * sizeof(char *));
    f->names.items[f->n] = text;
    f->items[f->n++] = z;
    f->names.n = f->n;
    return z;
}

static int opt_reload(struct dispenser *d, long long *ret_ns, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "reload duration value is expected");
    if (str_to_duration(dispenser_val(d), ret_ns) < 0 || *ret_ns < 0)
        return dispenser_err(d, e, "reload: '%s' is not a duration such as 1m or 0",
                             dispenser_val(d));
    return dispenser_end(d, e);
}

struct options {
    long long reload_ns;
    bool by_mtime;
};

static int read_option(struct file *f, struct setup *s, struct dispenser *d, struct options *o,
                       struct err *e)
{
    const char *word = dispenser_val(d);
    if (strcmp(word, "reload") == 0)
        return opt_reload(d, &o->reload_ns, e);
    if (strcmp(word, "fallthrough") == 0)
        return zone_set_fallthrough(s, d, &f->fallthrough, e);
    if (strcmp(word, "reload_by_mtime") == 0) {
        o->by_mtime = true;
        return dispenser_end(d, e);
    }
    return dispenser_unknown(d, e);
}

static int read_directive(struct file *f, struct setup *s, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    struct options o = { .reload_ns = RELOAD_NS };
    const struct token *token = dispenser_token(d);
    int code = 0;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    const char *path = setup_path(s, dispenser_val(d));
    while (code == 0 && dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), setup_arena(s), &zones, e) < 0)
            code = dispenser_err(d, e, "%s", e->text);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(f, s, d, &o, e);
    if (zones.n == 0)
        zones = setup_zones(s);
    for (size_t i = 0; code == 0 && i < zones.n; i++) {
        struct file_zone *z = get_zone(f, s, zones.items[i]);
        z->slot.path = path;
        z->slot.by_mtime = o.by_mtime;
        z->reload_ms = o.reload_ns ? (uint64_t)MAX(o.reload_ns / 1000000, 1) : 0;
        z->token = token;
    }
    return code;
}

/* A file that is not there yet may come; one that is wrong is an error. */
static int load(struct file_zone *z, struct err *e)
{
    int code = zone_slot_load(&z->slot, e);
    if (code == -ENOENT && z->reload_ms) {
        log_warning("plugin/file: %s; trying again every %llu ms", e->text,
                    (unsigned long long)z->reload_ms);
        zone_slot_told(&z->slot, e->text);
        return 0;
    }
    return code < 0 ? err_wrap(e, "%s:%d", z->token->file, z->token->line) : 0;
}

static void free_lists(void *conf)
{
    struct file *f = conf;
    free(f->items);
    free(f->names.items);
}

static int file_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct file *f = arena_zalloc(setup_arena(s), sizeof *f);
    int code = 0;
    f->loop = setup_loop(s);
    f->transfers = transfers_find(s);
    setup_stop(s, free_lists, f);
    setup_stop(s, file_stop, f); /* these run in reverse order */
    while (code == 0 && dispenser_next_directive(d))
        code = read_directive(f, s, d, e);
    for (size_t i = 0; code == 0 && i < f->n; i++)
        code = load(f->items[i], e);
    if (code < 0)
        return code;
    f->zones = zone_set_new(setup_arena(s), &f->names);
    transfers_add(f->transfers, file_transfer, f);
    setup_in(s, file_in, f);
    setup_start(s, file_start, f);
    return 0;
}

const struct plugin plugin_file = { .name = "file", .setup = file_setup, .repeatable = true };
