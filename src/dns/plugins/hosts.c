/* `hosts [FILE [ZONES...]] { ... }`: answers from a hosts(5) file and lines in the Corefile. */
#include "dns/plugins/hosts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ROOM_LEAST    ((size_t)1 << 20) /* bytes that must be had to read the file, */
#define ROOM_TIMES    8                 /* and so many a byte of it, for text and tables */
#define HOSTS_TTL     3600
#define HOSTS_TTL_MAX 65535
#define RELOAD_NS     5000000000LL

/* One value for all blocks that name the same file, as the metric has no other label. */
struct hosts_gauge {
    struct hosts_gauge *next;
    char *path;
    unsigned users;
    _Atomic uint64_t entries;
};

struct hosts {
    const char *path;
    struct zone_set *zones, *fallthrough; /* fallthrough may be NULL */
    bool reverse, fallthrough_unsupported;
    uint32_t ttl;
    long long reload_ns;
    struct strbuf inline_lines;
    const char *inline_name; /* where they stand */
    uv_loop_t *loop;
    uv_timer_t *timer; /* on the heap: it outlives us until the loop has closed it */
    struct hosts_gauge *gauge;
    struct timespec mtime;
    off_t size;
    ino_t inode;
    _Atomic(struct hosts_table *) table;
};

/* ---- metrics (control thread; the values are read while scraping) ---- */

static struct hosts_gauge *gauges;
static _Atomic int64_t reloaded_ns;
static unsigned instances;

static double read_entries(void *ctx)
{
    struct hosts_gauge *g = ctx;
    return (double)atomic_load_explicit(&g->entries, memory_order_relaxed);
}

static double read_reloaded(void *ctx)
{
    _Atomic int64_t *ns = ctx;
    return (double)atomic_load_explicit(ns, memory_order_relaxed) / 1e9;
}

static struct hosts_gauge *gauge_get(const char *path)
{
    struct hosts_gauge *g = gauges;
    struct strbuf labels = { 0 };
    while (g && strcmp(g->path, path) != 0)
        g = g->next;
    if (!instances++)
        metric_gauge("coredns_hosts_reload_timestamp_seconds",
                     "Modification time of the hosts file that was read last.", "", read_reloaded,
                     &reloaded_ns);
    if (g) {
        g->users++;
        return g;
    }
    g = xcalloc(1, sizeof *g);
    g->path = xstrdup(path);
    g->users = 1;
    g->next = gauges;
    gauges = g;
    metric_label(&labels, "hostsfile", path);
    metric_gauge("coredns_hosts_entries", "Entries of the hosts file and the Corefile's lines.",
                 labels.p, read_entries, g);
    strbuf_done(&labels);
    return g;
}

static void gauge_put(struct hosts_gauge *g)
{
    if (!--instances)
        metric_gauge_drop(&reloaded_ns);
    if (--g->users)
        return;
    metric_gauge_drop(g);
    struct hosts_gauge **at = &gauges;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    free(g->path);
    free(g);
}

/* ---- reading ---- */

/* The file's bytes, or NULL; what is wrong is logged. */
static char *read_file(int fd, const char *path, size_t size, size_t *ret_len)
{
    if (size > HOSTS_FILE_MAX) {
        log_error("plugin/hosts: %s has %zu bytes; more than %d are not read", path, size,
                  HOSTS_FILE_MAX);
        return NULL;
    }
    char *text;
    int code = file_read(fd, size, &text, ret_len);
    if (code < 0) {
        log_error("plugin/hosts: read %s: %s", path, strerror(-code));
        return NULL;
    }
    return text;
}

static bool is_unchanged(const struct hosts *h, const struct stat *st)
{
    return h->mtime.tv_sec == st->st_mtim.tv_sec && h->mtime.tv_nsec == st->st_mtim.tv_nsec &&
           h->size == st->st_size && h->inode == st->st_ino;
}

static void publish(struct hosts *h, const char *text, size_t len)
{
    const struct hosts_source sources[] = {
        { h->path, text, len }, { h->inline_name, h->inline_lines.p, h->inline_lines.len }
    };
    struct hosts_rules rules = { .zones = h->zones, .reverse = h->reverse };
    struct hosts_table *t = hosts_table_new(sources, ARRAY_SIZE(sources), &rules);
    struct hosts_table *old = atomic_load(&h->table);
    rcu_publish(&h->table, t);
    atomic_store_explicit(&h->gauge->entries, t->entries, memory_order_relaxed);
    if (old)
        rcu_retire(old, hosts_table_free);
}

/* Reads the file when it has changed. A file that cannot be read leaves what there was. */
static bool update(struct hosts *h)
{
    struct stat st;
    cleanup_close int fd = open(h->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || is_unchanged(h, &st))
        return false;
    if (!mem_has_room(ROOM_LEAST + (size_t)MIN(st.st_size, HOSTS_FILE_MAX) * ROOM_TIMES)) {
        log_error("plugin/hosts: %s not read because memory is short", h->path);
        return false; /* the next look is for the same change */
    }
    h->mtime = st.st_mtim;
    h->size = st.st_size;
    h->inode = st.st_ino;
    size_t len = 0;
    char *text = read_file(fd, h->path, (size_t)st.st_size, &len);
    if (!text)
        return false;
    publish(h, text, len);
    atomic_store_explicit(&reloaded_ns, st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec,
                          memory_order_relaxed);
    free(text);
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    (void)update(timer->data);
}

static int check_file(const struct hosts *h, const struct dispenser *d, struct err *e)
{
    struct stat st;
    if (stat(h->path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            log_warning("plugin/hosts: %s is not a file", h->path);
    } else if (errno == ENOENT) {
        log_warning("plugin/hosts: File does not exist: %s", h->path);
    } else {
        return dispenser_err(d, e, "unable to access hosts file '%s': %s", h->path,
                             strerror(errno));
    }
    return 0;
}

/* ---- the step ---- */

static const struct hosts_name *find_name(const struct hosts_table *t, const struct question *q)
{
    const struct name *n = &q->name;
    const struct hosts_name *found = ht_get(&t->names, q->lower, n->len);
    if (found || !t->wildcards || n->n_labels == 0)
        return found;
    uint8_t wire[2 + NAME_MAX_WIRE] = { 1, '*' };
    size_t rest = n->len - n->off[1]; /* all but the first label: a star stands for one */
    memcpy(wire + 2, q->lower + n->off[1], rest);
    return ht_get(&t->names, wire, 2 + rest);
}

/* Owners are told in lower case. */
static const uint8_t *owner(const struct query *q)
{
    const struct question *question = &q->msg.q;
    return memcmp(question->lower, question->name.wire, question->name.len) ? question->lower
                                                                            : NULL;
}

/* The table may be replaced while the query waits for nobody: what is added lives until the batch
 * ends, and the chain copies it before it waits. */
static enum step answer(struct query *q, const struct hosts *h, uint16_t type, const uint8_t *rdata,
                        uint16_t n, uint16_t rdlen)
{
    q->reply.flags |= FLAG_AA;
    if (n)
        query_add(q, SECTION_ANSWER,
                  (struct rrset){ .owner = owner(q),
                                  .rdata = rdata,
                                  .ttl = h->ttl,
                                  .type = type,
                                  .class = CLASS_IN,
                                  .count = n,
                                  .rdlen = rdlen });
    return STEP_DONE;
}

static enum step hosts_in(struct query *q, void *conf)
{
    const struct hosts *h = conf;
    const struct hosts_table *t = rcu_load(&((struct hosts *)conf)->table);
    const struct question *question = &q->msg.q;
    struct ip ip = { 0 };
    if (question->type == RR_PTR) { /* in whatever zone */
        const struct hosts_addr *a = NULL;
        if (name_to_ip(question->lower, &ip) == 0)
            a = ht_get(&t->addrs, &ip, sizeof ip);
        return a ? answer(q, h, RR_PTR, a->names, a->n, 0) : STEP_NEXT;
    }
    if (!zone_set_covers(h->zones, question))
        return STEP_NEXT;
    const struct hosts_name *n = find_name(t, question);
    bool covered = zone_set_covers(h->fallthrough, question);
    if (!n && covered)
        return STEP_NEXT;
    if (!n) /* "no such name" would need an SOA, and there is none */
        return query_fail(q, RCODE_SERVFAIL, NULL);
    if (question->type == RR_A)
        return answer(q, h, RR_A, n->v4, n->n4, 4);
    if (question->type == RR_AAAA)
        return answer(q, h, RR_AAAA, n->v6, n->n6, 16);
    return h->fallthrough_unsupported && covered ? STEP_NEXT : answer(q, h, 0, NULL, 0, 0);
}

/* ---- options ---- */

static int opt_ttl(struct hosts *h, struct dispenser *d, struct err *e)
{
    long ttl;
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "ttl needs a time in second");
    int code = str_to_long(dispenser_val(d), 1, HOSTS_TTL_MAX, &ttl);
    if (code == ERR_PARSE)
        return dispenser_err(d, e, "ttl needs a number of second: %s", dispenser_val(d));
    if (code < 0)
        return dispenser_err(d, e, "ttl provided is invalid: %s is not 1 to %d", dispenser_val(d),
                             HOSTS_TTL_MAX);
    h->ttl = (uint32_t)ttl;
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int opt_reload(struct hosts *h, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "reload needs a duration (zero seconds to disable)");
    if (str_to_duration(dispenser_val(d), &h->reload_ns) < 0)
        return dispenser_err(d, e, "invalid duration for reload '%s'", dispenser_val(d));
    if (h->reload_ns < 0)
        return dispenser_err(d, e, "invalid negative duration for reload '%s'", dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int no_args(struct dispenser *d, struct err *e)
{
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

/* Anything that is no option is a line of hosts, up to `fallthrough`. */
static int inline_line(struct hosts *h, struct setup *s, struct dispenser *d, struct err *e)
{
    if (h->fallthrough)
        return dispenser_unknown(d, e);
    if (!h->inline_name)
        h->inline_name = arena_printf(setup_arena(s), "%s:%d, lines of hosts",
                                      dispenser_token(d)->file, dispenser_token(d)->line);
    strbuf_puts(&h->inline_lines, dispenser_val(d));
    while (dispenser_next_arg(d))
        strbuf_printf(&h->inline_lines, " %s", dispenser_val(d));
    strbuf_putc(&h->inline_lines, '\n');
    return 0;
}

static int read_option(struct hosts *h, struct setup *s, struct dispenser *d, struct err *e)
{
    const char *word = dispenser_val(d);
    if (strcmp(word, "ttl") == 0)
        return opt_ttl(h, d, e);
    if (strcmp(word, "reload") == 0)
        return opt_reload(h, d, e);
    if (strcmp(word, "fallthrough") == 0)
        return zone_set_fallthrough(s, d, &h->fallthrough, e);
    if (strcmp(word, "no_reverse") == 0) {
        h->reverse = false;
        return no_args(d, e);
    }
    if (strcmp(word, "fallthrough_unsupported") == 0) {
        h->fallthrough_unsupported = true;
        return no_args(d, e);
    }
    return inline_line(h, s, d, e);
}

static int read_file_and_zones(struct hosts *h, struct setup *s, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    if (dispenser_next_arg(d)) {
        h->path = setup_path(s, dispenser_val(d));
        int code = check_file(h, d, e);
        if (code < 0)
            return code;
    }
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), setup_arena(s), &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(s);
    h->zones = zone_set_new(setup_arena(s), &zones);
    return 0;
}

/* ---- life ---- */

static int hosts_start(void *conf, struct err *e)
{
    struct hosts *h = conf;
    (void)e;
    if (!h->reload_ns)
        return 0;
    uint64_t ms = (uint64_t)MAX(h->reload_ns / 1000000, 1);
    h->timer = xcalloc(1, sizeof *h->timer);
    uv_timer_init(h->loop, h->timer);
    h->timer->data = h;
    uv_timer_start(h->timer, on_timer, ms, ms);
    return 0;
}

static void timer_closed(uv_handle_t *timer)
{
    free(timer);
}

static void hosts_stop(void *conf)
{
    struct hosts *h = conf;
    if (h->timer)
        uv_close((uv_handle_t *)h->timer, timer_closed);
    hosts_table_free(atomic_load(&h->table));
    if (h->gauge)
        gauge_put(h->gauge);
    strbuf_done(&h->inline_lines);
}

static int hosts_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct hosts *h = arena_zalloc(setup_arena(s), sizeof *h);
    h->path = "/etc/hosts";
    h->reverse = true;
    h->ttl = HOSTS_TTL;
    h->reload_ns = RELOAD_NS;
    h->loop = setup_loop(s);
    setup_stop(s, hosts_stop, h);
    dispenser_next_directive(d);
    int ret = read_file_and_zones(h, s, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(h, s, d, e);
    if (ret == 0 && h->fallthrough_unsupported && !h->fallthrough)
        ret = dispenser_err(d, e, "fallthrough_unsupported needs fallthrough");
    if (ret < 0)
        return ret;
    h->gauge = gauge_get(h->path);
    if (!update(h))
        publish(h, "", 0);
    setup_in(s, hosts_in, h);
    setup_start(s, hosts_start, h);
    return 0;
}

/* ---- why ---- */

static void hosts_why_after(struct query *q, void *conf, enum step step, struct why_words *w)
{
    const struct hosts *h = conf;
    const struct hosts_table *t = rcu_load(&((struct hosts *)conf)->table);
    const char *lines = h->inline_lines.len ? " and the lines of the Corefile" : "";
    if (q->msg.q.type == RR_PTR) {
        why_say(w, step == STEP_DONE ? "entry" : "no entry", "of that address in %s%s", h->path,
                lines);
        return;
    }
    const struct hosts_name *n =
        zone_set_covers(h->zones, &q->msg.q) ? find_name(t, &q->msg.q) : NULL;
    if (n)
        why_say(w, "entry", "in %s%s: %u IPv4 and %u IPv6 addresses", h->path, lines, n->n4, n->n6);
    else
        why_say(w, "no entry", "of that name in %s%s", h->path, lines);
}

static const struct plugin_why hosts_why = { .after = hosts_why_after };

const struct plugin plugin_hosts = { .name = "hosts", .setup = hosts_setup, .why = &hosts_why };
