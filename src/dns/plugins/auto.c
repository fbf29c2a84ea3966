/* `auto [ZONES...] { directory DIR [REGEXP TEMPLATE], reload, fallthrough }`: zone files found in a
 * folder. */
#include "dns/regex.h"
#include "dns/zone_answer.h"
#include "dns/zone_load.h"
#include "dns/zone_transfer.h"

#include "base/ht.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#define RELOAD_NS 60000000000LL
#define ZONES_MAX 10000 /* files of one folder that become zones */
#define PATTERN   "db\\.(.*)"
#define TEMPLATE  "{1}"

struct auto_zone {
    struct zone_slot slot;
    char *path;
    bool seen; /* by the scan that is under way */
    uint8_t len;
    uint8_t origin[NAME_MAX_WIRE];
};

/* What workers read: lower-case name -> struct auto_zone. Made anew when a zone comes or goes. */
struct auto_table {
    struct ht by_name;
};

struct auto_dir {
    struct zone_set *zones, *fallthrough;
    const char *directory, *template;
    struct regex *regex;
    uint64_t reload_ms;
    uv_loop_t *loop;
    uv_timer_t *timer; /* on the heap: it outlives us until the loop has closed it */
    struct transfers *transfers;
    VEC(struct auto_zone *) items;
    bool failing, started;
    _Atomic(struct auto_table *) table;
};

/* ---- the table ---- */

static void table_free(void *table)
{
    struct auto_table *t = table;
    if (!t)
        return;
    ht_done(&t->by_name);
    free(t);
}

static void publish(struct auto_dir *a)
{
    struct auto_table *t = xcalloc(1, sizeof *t), *old = atomic_load(&a->table);
    vec_each (z, &a->items)
        (void)ht_put(&t->by_name, (*z)->origin, (*z)->len, *z);
    rcu_publish(&a->table, t);
    if (old)
        rcu_retire(old, table_free);
}

/* Readers may still have it from the table before. */
static void zone_free(void *zone)
{
    struct auto_zone *z = zone;
    zone_slot_done(&z->slot);
    free(z->path);
    free(z);
}

/* The longest zone that the question lies in. */
static const struct auto_zone *find(struct auto_dir *a, const struct question *q)
{
    const struct auto_table *t = rcu_load(&a->table);
    for (unsigned i = 0; t && i <= q->name.n_labels; i++) {
        uint8_t off = q->name.off[i];
        const struct auto_zone *z =
            ht_get(&t->by_name, q->lower + off, (size_t)(q->name.len - off));
        if (z)
            return z;
    }
    return NULL;
}

/* ---- the step ---- */

static const struct zone_data *find_data(struct auto_dir *a, const struct question *q)
{
    const struct auto_zone *z = find(a, q);
    return z ? rcu_load(&((struct auto_zone *)(uintptr_t)z)->slot.zone) : NULL;
}

static enum step looked_up(struct query *q, void *conf, void *data)
{
    return zone_answer_looked_up(q, find_data(conf, &q->msg.q), data);
}

static enum step auto_in(struct query *q, void *conf)
{
    struct auto_dir *a = conf;
    const struct zone_data *z = find_data(a, &q->msg.q);
    if (!z)
        return STEP_NEXT;
    return zone_step(q, z, a->fallthrough, looked_up, a);
}

static int auto_transfer(struct query *q, void *conf, transfer_emit *emit, void *ctx)
{
    struct auto_dir *a = conf;
    const struct auto_zone *z = find(a, &q->msg.q);
    return z && z->len == q->msg.q.name.len ? zone_transfer(find_data(a, &q->msg.q), emit, ctx)
                                            : ERR_NOT_FOUND;
}

/* ---- the folder ---- */

/* "{1}" in the template is what the first group matched. */
static bool make_origin(const struct auto_dir *a, const char *file, struct name *ret)
{
    struct regex_match m;
    struct strbuf text = { 0 };
    if (!regex_match(a->regex, file, strlen(file), &m))
        return false;
    for (const char *p = a->template; *p; p++) {
        if (*p == '{' && p[1] >= '0' && p[1] <= '9' && p[2] == '}') {
            size_t n;
            const char *group = regex_text(&m, (unsigned)(p[1] - '0'), &n);
            strbuf_add(&text, group, n);
            p += 2;
        } else {
            strbuf_putc(&text, *p);
        }
    }
    bool ok = text.len && name_from_text(text.p, ret) == 0;
    strbuf_done(&text);
    if (ok)
        name_lower(ret->wire, ret->wire, ret->len);
    return ok;
}

static bool is_covered(const struct auto_dir *a, const struct name *origin)
{
    struct question q;
    q.name = *origin;
    memcpy(q.lower, origin->wire, origin->len);
    return zone_set_covers(a->zones, &q);
}

static struct auto_zone *zone_of(struct auto_dir *a, const struct name *origin)
{
    vec_each (z, &a->items)
        if ((*z)->len == origin->len && memcmp((*z)->origin, origin->wire, origin->len) == 0)
            return *z;
    return NULL;
}

static void log_new(const struct auto_zone *z)
{
    char text[NAME_TEXT_MAX];
    log_info("plugin/auto: Inserting zone \"%s\" from: %s", name_to_text(z->origin, text), z->path);
}

/* A file that names a zone. Returns whether a zone came. */
static bool see_file(struct auto_dir *a, const char *file)
{
    struct name origin;
    struct err e = { 0 };
    if (!make_origin(a, file, &origin) || !is_covered(a, &origin))
        return false;
    struct auto_zone *z = zone_of(a, &origin);
    if (z) {
        z->seen = true;
        if (zone_slot_reload(&z->slot))
            transfers_notify(a->transfers, z->origin);
        return false;
    }
    if (a->items.n >= ZONES_MAX) {
        log_error("plugin/auto: %s: more than %d zones; %s is left out", a->directory, ZONES_MAX,
                  file);
        return false;
    }
    z = xcalloc(1, sizeof *z);
    z->len = origin.len;
    memcpy(z->origin, origin.wire, origin.len);
    if (asprintf(&z->path, "%s/%s", a->directory, file) < 0)
        abort();
    z->slot.plugin = "auto";
    z->slot.path = z->path;
    z->slot.origin = z->origin;
    z->seen = true;
    if (zone_slot_load(&z->slot, &e) < 0) { /* tried again with the next scan */
        log_warning("plugin/auto: %s; the file is left out", e.text);
        zone_free(z);
        return false;
    }
    vec_push(&a->items, z);
    log_new(z);
    return true;
}

/* Zones whose file is gone. Returns how many were taken out of the list, into `gone`. */
static size_t drop_unseen(struct auto_dir *a, struct auto_zone **gone)
{
    size_t n = 0;
    char text[NAME_TEXT_MAX];
    for (size_t i = 0; i < a->items.n;) {
        struct auto_zone *z = a->items.items[i];
        if (z->seen) {
            i++;
            continue;
        }
        log_info("plugin/auto: Deleting zone \"%s\"", name_to_text(z->origin, text));
        gone[n++] = z;
        vec_swap_remove(&a->items, i);
    }
    return n;
}

static void scan(struct auto_dir *a)
{
    DIR *dir = opendir(a->directory);
    bool changed = false;
    if (!dir && !a->failing)
        log_warning("plugin/auto: open %s: %s; trying again", a->directory, strerror(errno));
    a->failing = !dir;
    if (!dir)
        return;
    size_t before = a->items.n;
    vec_each (z, &a->items)
        (*z)->seen = false;
    for (const struct dirent *f; (f = readdir(dir));)
        changed |= f->d_name[0] != '.' && see_file(a, f->d_name);
    closedir(dir);
    struct auto_zone **gone = xcalloc(a->items.n + 1, sizeof(struct auto_zone *));
    size_t first_new = before, n_gone = drop_unseen(a, gone);
    if (changed || n_gone)
        publish(a);
    for (size_t i = 0; i < n_gone; i++)
        rcu_retire(gone[i], zone_free);
    for (size_t i = first_new; a->started && !n_gone && i < a->items.n; i++)
        transfers_notify(a->transfers, a->items.items[i]->origin);
    free(gone);
}

static void on_timer(uv_timer_t *timer)
{
    scan(timer->data);
}

/* ---- life ---- */

static int auto_start(void *conf, struct err *e)
{
    struct auto_dir *a = conf;
    (void)e;
    a->started = true;
    vec_each (z, &a->items)
        transfers_notify(a->transfers, (*z)->origin);
    if (!a->reload_ms)
        return 0;
    a->timer = xcalloc(1, sizeof *a->timer);
    uv_timer_init(a->loop, a->timer);
    a->timer->data = a;
    uv_timer_start(a->timer, on_timer, a->reload_ms, a->reload_ms);
    return 0;
}

static void timer_closed(uv_handle_t *timer)
{
    free(timer);
}

static void auto_stop(void *conf)
{
    struct auto_dir *a = conf;
    if (a->timer)
        uv_close((uv_handle_t *)a->timer, timer_closed);
    table_free(atomic_load(&a->table));
    vec_each (z, &a->items)
        zone_free(*z);
    vec_done(&a->items);
    regex_free(a->regex);
}

/* ---- set-up ---- */

/* "{N}" must be a group that the expression has. */
static int check_template(const struct auto_dir *a, const struct dispenser *d, struct err *e)
{
    for (const char *p = a->template; *p; p++)
        if (*p == '{' && (p[1] < '0' || p[1] > '9' || p[2] != '}' ||
                          (unsigned)(p[1] - '0') > regex_groups(a->regex)))
            return dispenser_err(d, e,
                                 "the template '%s' has '{' without the number of a group of the "
                                 "expression and '}'",
                                 a->template);
    return 0;
}

static int opt_directory(struct auto_dir *a, struct setup *s, struct dispenser *d, struct err *e)
{
    const char *pattern = PATTERN;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    a->directory = setup_path(s, dispenser_val(d));
    a->template = TEMPLATE;
    if (dispenser_next_arg(d)) {
        pattern = dispenser_val(d);
        if (!dispenser_next_arg(d))
            return dispenser_err(
                d, e, "'directory' takes a folder, or a folder, an expression and a template");
        a->template = arena_strdup(setup_arena(s), dispenser_val(d));
    }
    regex_free(a->regex);
    a->regex = NULL;
    if (regex_compile(pattern, &a->regex, e) < 0)
        return dispenser_err(d, e, "%s", e->text);
    if (regex_groups(a->regex) == 0)
        return dispenser_err(d, e, "Need at least one sub expression");
    int code = check_template(a, d, e);
    return code < 0 ? code : dispenser_end(d, e);
}

static int opt_reload(struct auto_dir *a, struct dispenser *d, struct err *e)
{
    long long ns;
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "reload duration value is expected");
    if (str_to_duration(dispenser_val(d), &ns) < 0 || ns < 0)
        return dispenser_err(d, e, "reload: '%s' is not a duration such as 1m or 0",
                             dispenser_val(d));
    a->reload_ms = ns ? (uint64_t)MAX(ns / 1000000, 1) : 0;
    return dispenser_end(d, e);
}

static int read_option(struct auto_dir *a, struct setup *s, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "directory") == 0)
        return opt_directory(a, s, d, e);
    if (strcmp(dispenser_val(d), "reload") == 0)
        return opt_reload(a, d, e);
    if (strcmp(dispenser_val(d), "fallthrough") == 0)
        return zone_set_fallthrough(s, d, &a->fallthrough, e);
    return dispenser_unknown(d, e);
}

static int auto_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct auto_dir *a = arena_zalloc(setup_arena(s), sizeof *a);
    struct zone_list zones = { 0 };
    int code = 0;
    a->reload_ms = RELOAD_NS / 1000000;
    a->loop = setup_loop(s);
    a->transfers = transfers_find(s);
    setup_stop(s, auto_stop, a);
    dispenser_next_directive(d);
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), setup_arena(s), &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(a, s, d, e);
    if (code == 0 && !a->directory)
        code = dispenser_err(d, e, "'directory' is required");
    if (code < 0)
        return code;
    if (zones.n == 0)
        zones = setup_zones(s);
    a->zones = zone_set_new(setup_arena(s), &zones);
    scan(a);
    transfers_add(a->transfers, auto_transfer, a);
    setup_in(s, auto_in, a);
    setup_start(s, auto_start, a);
    return 0;
}

const struct plugin plugin_auto = { .name = "auto", .setup = auto_setup };
