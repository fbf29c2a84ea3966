#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dns/setup.h"

#include <string.h>

#define WAIT_TELL_NS 500000000LL

static size_t count_plugins(void)
{
    size_t n = 0;
    while (plugins[n])
        n++;
    return n;
}

const struct plugin *plugin_find(const char *name)
{
    for (size_t i = 0; plugins[i]; i++)
        if (strcmp(plugins[i]->name, name) == 0)
            return plugins[i];
    return NULL;
}

/* ---- set-up ---- */

static const struct directive *block_directive(const struct block *b, const char *name)
{
    for (size_t i = 0; i < b->n_directives; i++)
        if (strcmp(b->directives[i].name, name) == 0)
            return &b->directives[i];
    return NULL;
}

static int check_repeats(const struct plugin *p, const struct directive *directive, struct err *e)
{
    struct dispenser d = dispenser_of(directive);
    if (p->repeatable || !dispenser_next_directive(&d) || !dispenser_next_directive(&d))
        return 0;
    return dispenser_err(&d, e, "this plugin can only be used once per Server Block");
}

static int set_up_plugin(struct dns_config *s, struct block_setup *b, size_t i,
                         const struct directive *directive, struct err *e)
{
    const struct plugin *p = plugins[i];
    struct setup setup = { .config = s, .block = b, .part = &b->parts[i], .plugin = p };
    struct dispenser d = dispenser_of(directive);
    b->parts[i].plugin = p;
    int ret = check_repeats(p, directive, e);
    if (ret == 0)
        ret = p->setup(&setup, &d, e);
    return ret < 0 ? err_wrap(e, "plugin/%s", p->name) : 0;
}

/* Plugin by plugin over all blocks, as the reference does: what a plugin shares between blocks is
 * complete before the next one is looked at. */
static int set_up_plugins(struct dns_config *s, struct err *e)
{
    int failed = 0;
    for (size_t i = 0; plugins[i]; i++) {
        for (size_t k = 0; k < s->corefile->n_blocks; k++) {
            struct block_setup *b = &s->blocks[k];
            const struct directive *d = block_directive(b->block, plugins[i]->name);
            int ret = d ? set_up_plugin(s, b, i, d, e) : 0;
            if (ret < 0 && !s->options->problem)
                return ret;
            if (ret < 0) {
                s->options->problem(s->options->ctx, e->text);
                failed = ret;
            }
        }
    }
    return failed;
}

static void build_chains(struct dns_config *s)
{
    for (size_t k = 0; k < s->corefile->n_blocks; k++) {
        struct block_setup *b = &s->blocks[k];
        struct chain *c = chain_build(&s->arena, b->parts, count_plugins(), b->block, b->any_class);
        memcpy(c->ahead, b->ahead, sizeof c->ahead);
        c->n_ahead = b->n_ahead;
        b->chain = c;
    }
}

int dns_config_new(struct corefile *c, const struct dns_options *options,
                   const struct dns_config *before, struct dns_config **ret, struct err *e)
{
    struct dns_config *s = xcalloc(1, sizeof *s);
    s->before = before;
    s->left.arena = &s->arena;
    s->options = options;
    s->corefile = c;
    arena_init(&s->arena, 16384);
    s->blocks = arena_zalloc(&s->arena, c->n_blocks * sizeof *s->blocks);
    for (size_t i = 0; i < c->n_blocks; i++) {
        s->blocks[i].block = &c->blocks[i];
        s->blocks[i].https_conns = -1;
        s->blocks[i].parts = arena_zalloc(&s->arena, count_plugins() * sizeof *s->blocks[i].parts);
    }
    int code = set_up_plugins(s, e);
    if (code == 0) {
        build_chains(s);
        code = listeners_build(s, e);
    }
    if (code < 0) {
        dns_config_free(s);
        return code;
    }
    *ret = s;
    return 0;
}

int dns_config_start(struct dns_config *s, struct err *e)
{
    vec_each (c, &s->starts) {
        if (s->options->offline && c->plugin->outward)
            continue;
        int ret = c->fn(c->conf, e);
        if (ret < 0)
            return err_wrap(e, "plugin/%s", c->plugin->name);
    }
    s->started_ns = s->told_ns = clock_ns();
    return 0;
}

bool dns_config_waits(struct dns_config *s)
{
    int64_t now = clock_ns();
    bool waits = false, tell = now - s->told_ns >= WAIT_TELL_NS;
    vec_each (w, &s->waits) {
        w->over = w->over || w->fn(w->conf);
        if (w->over)
            continue;
        w->over = now - s->started_ns >= w->ns;
        waits |= !w->over;
        if (w->over) {
            log_warning("plugin/%s: starting server with unsynced %s", w->plugin, w->what);
            w->late(w->conf);
        } else if (tell) {
            log_info("plugin/%s: waiting for %s before starting server", w->plugin, w->what);
        }
    }
    if (tell)
        s->told_ns = now;
    return waits;
}

void dns_config_free(struct dns_config *s)
{
    if (!s)
        return;
    for (size_t i = s->stops.n; i-- > 0;)
        s->stops.items[i].fn(s->stops.items[i].conf);
    rcu_barrier_all();
    listeners_done(s);
    for (size_t i = 0; i < s->corefile->n_blocks; i++) {
        vec_done(&s->blocks[i].binds);
        for (int k = 0; k < SCHEME_COUNT; k++)
            tls_config_free(s->blocks[i].tls[k]);
    }
    vec_done(&s->starts);
    vec_done(&s->waits);
    vec_done(&s->stops);
    vec_done(&s->lameducks);
    vec_done(&s->worker_stops);
    vec_done(&s->readies);
    corefile_free(s->corefile);
    arena_done(&s->arena);
    free(s);
}

/* ---- for people ---- */

static int by_zone(const void *a, const void *b)
{
    const struct route *const *x = a, *const *y = b;
    return strcmp((*x)->zone, (*y)->zone);
}

static void print_listener(const struct dns_listener *l, struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    const struct route **sorted = xcalloc(l->n_routes, sizeof(struct route *));
    for (unsigned i = 0; i < l->n_routes; i++)
        sorted[i] = &l->routes[i];
    qsort(sorted, l->n_routes, sizeof(struct route *), by_zone);
    for (unsigned i = 0; i < l->n_routes; i++) {
        if (l->scheme != SCHEME_DNS)
            strbuf_printf(out, "%s://", scheme_text(l->scheme));
        strbuf_printf(out, "%s:%u", sorted[i]->zone, l->port);
        if (l->ip.family)
            strbuf_printf(out, " on %s", ip_text(&l->ip, text));
        strbuf_putc(out, '\n');
    }
    free(sorted);
}

void dns_config_print(const struct dns_config *s, struct strbuf *out)
{
    vec_each (l, &s->listeners)
        print_listener(l, out);
}

static void explain_chain(const struct chain *c, struct strbuf *out)
{
    strbuf_puts(out, "  in:   ");
    for (uint16_t i = 0; i < c->n_in; i++)
        strbuf_printf(out, "%s%s", i ? " -> " : "", c->in[i].plugin->name);
    strbuf_puts(out, c->n_in ? "\n" : "(nothing: every query is REFUSED)\n");
    if (c->n_out)
        strbuf_puts(out, "  out:  ");
    for (uint16_t i = 0; i < c->n_out; i++)
        strbuf_printf(out, "%s%s%s", i ? " -> " : "", c->out[i].plugin->name,
                      i + 1 == c->n_out ? "\n" : "");
    if (c->n_after)
        strbuf_puts(out, "  then: ");
    for (uint16_t i = 0; i < c->n_after; i++)
        strbuf_printf(out, "%s%s%s", i ? ", " : "", c->after[i].plugin->name,
                      i + 1 == c->n_after ? "\n" : "");
}

void dns_config_explain(const struct dns_config *s, struct strbuf *out)
{
    for (unsigned i = 0; i < s->n_routes; i++) {
        strbuf_printf(out, "%s at %s\n", s->routes[i]->zone, s->routes[i]->server);
        explain_chain(s->routes[i]->chain, out);
    }
}
