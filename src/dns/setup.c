#include "dns/setup.h"

#include <string.h>

const struct block *setup_block(const struct setup *s)
{
    return s->block->block;
}

struct arena *setup_arena(struct setup *s)
{
    return &s->config->arena;
}

struct zone_list setup_zones(struct setup *s)
{
    const struct block *b = s->block->block;
    struct zone_list zones = { .n = b->n_keys, .capacity = b->n_keys };
    zones.items = arena_alloc(&s->config->arena, (b->n_keys + 1) * sizeof(char *));
    for (size_t i = 0; i < b->n_keys; i++)
        zones.items[i] = b->keys[i].zone;
    return zones;
}

void setup_in(struct setup *s, step_fn *fn, void *conf)
{
    s->part->in = fn;
    s->part->in_conf = conf;
}

void setup_ahead(struct setup *s, ahead_fn *fn, const void *conf)
{
    struct block_setup *b = s->block;
    if (b->n_ahead < QUERY_AHEAD)
        b->ahead[b->n_ahead++] = (struct chain_ahead){ fn, conf };
}

void setup_at_once(struct setup *s, at_once_fn *fn)
{
    s->part->at_once = fn;
}

void setup_out(struct setup *s, hook_fn *fn, void *conf)
{
    s->part->out = fn;
    s->part->out_conf = conf;
}

void setup_out_step(struct setup *s, step_fn *fn, void *conf)
{
    s->part->out_step = fn;
    s->part->out_conf = conf;
}

void setup_out_always(struct setup *s, hook_fn *fn, void *conf)
{
    setup_out(s, fn, conf);
    s->part->out_always = true;
}

void setup_out_step_always(struct setup *s, step_fn *fn, void *conf)
{
    setup_out_step(s, fn, conf);
    s->part->out_always = true;
}

void setup_after(struct setup *s, hook_fn *fn, void *conf)
{
    s->part->after = fn;
    s->part->after_conf = conf;
}

void setup_start(struct setup *s, int (*fn)(void *conf, struct err *e), void *conf)
{
    vec_push(&s->config->starts, (struct start_call){ fn, conf, s->plugin });
}

void setup_lameduck(struct setup *s, long long (*fn)(void *conf), void *conf)
{
    vec_push(&s->config->lameducks, (struct lameduck_call){ fn, conf });
}

void setup_wait(struct setup *s, bool (*fn)(void *conf), void (*late)(void *conf), long long ns,
                const char *what, void *conf)
{
    vec_push(&s->config->waits, (struct wait_entry){ .fn = fn,
                                                     .late = late,
                                                     .conf = conf,
                                                     .ns = ns,
                                                     .what = what,
                                                     .plugin = s->plugin->name });
}

void setup_stop(struct setup *s, void (*fn)(void *conf), void *conf)
{
    vec_push(&s->config->stops, (struct call){ fn, conf });
}

void setup_worker_stop(struct setup *s, void (*fn)(struct worker *w, void *conf), void *conf)
{
    vec_push(&s->config->worker_stops, (struct worker_call_entry){ fn, conf });
}

void setup_ready(struct setup *s, bool (*fn)(void *conf), void *conf)
{
    struct ready_entry *r = arena_zalloc(&s->config->arena, sizeof *r);
    r->fn = fn;
    r->conf = conf;
    r->plugin = s->plugin->name;
    vec_push(&s->config->readies, r);
}

void setup_bind(struct setup *s, const struct ip *ip)
{
    vec_push(&s->block->binds, *ip);
}

size_t setup_binds(const struct setup *s, const struct ip **ret_ips)
{
    *ret_ips = s->block->binds.items;
    return s->block->binds.n;
}

void setup_root(struct setup *s, const char *folder)
{
    s->block->root = folder;
}

const char *setup_path(struct setup *s, const char *path)
{
    if (!s->block->root || path[0] == '/')
        return arena_strdup(setup_arena(s), path);
    return arena_printf(setup_arena(s), "%s/%s", s->block->root, path);
}

struct offers *setup_offers(struct setup *s)
{
    if (!s->block->offers) {
        s->block->offers = arena_zalloc(setup_arena(s), sizeof *s->block->offers);
        s->block->offers->arena = setup_arena(s);
    }
    return s->block->offers;
}

void offers_add(struct offers *o, const char *name, void *what)
{
    struct offers *new = arena_alloc(o->arena, sizeof *new);
    *new = (struct offers){ .name = name, .what = what, .next = o->next };
    o->next = new;
}

void *offers_find(const struct offers *o, const char *name)
{
    for (const struct offers *i = o->next; i; i = i->next)
        if (strcmp(i->name, name) == 0)
            return i->what;
    return NULL;
}

struct offers *setup_left(struct setup *s)
{
    return &s->config->left;
}

const struct offers *setup_inherited(const struct setup *s)
{
    return s->config->before ? &s->config->before->left : NULL;
}

/* Outer plugins whose lines change what inner ones do. */
static bool reaches_inwards(const char *name)
{
    static const char *const names[] = { "bind", "metadata", "root", "view" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void add_directive(const struct block *b, const char *name, struct strbuf *out)
{
    for (size_t i = 0; i < b->n_directives; i++) {
        const struct directive *d = &b->directives[i];
        if (strcmp(d->name, name) != 0)
            continue;
        for (size_t k = 0; k < d->n_tokens; k++)
            strbuf_printf(out, "%s%s", d->tokens[k].first ? "\n" : "\t", d->tokens[k].text);
    }
}

const char *setup_inner_text(struct setup *s)
{
    const struct block *b = s->block->block;
    cleanup(strbuf_done) struct strbuf text = { 0 };
    bool inner = false;
    strbuf_printf(&text, "%s:", s->plugin->name);
    for (size_t i = 0; i < b->n_keys; i++)
        strbuf_printf(&text, " %d %s %u", (int)b->keys[i].scheme, b->keys[i].zone, b->keys[i].port);
    for (size_t i = 0; plugins[i]; i++) {
        inner |= plugins[i] == s->plugin;
        if (inner || reaches_inwards(plugins[i]->name))
            add_directive(b, plugins[i]->name, &text);
    }
    return arena_strdup(setup_arena(s), text.p);
}

void setup_any_class(struct setup *s)
{
    s->block->any_class = true;
}

void setup_tcp_limits(struct setup *s, const struct tcp_limits *limits)
{
    s->block->tcp = *limits;
}

void setup_tls(struct setup *s, enum scheme scheme, struct tls_config *tls)
{
    tls_config_free(s->block->tls[scheme]);
    s->block->tls[scheme] = tls;
}

void setup_https_conns(struct setup *s, unsigned max)
{
    s->block->https_conns = (long)max;
}

void setup_sockets(struct setup *s, unsigned n)
{
    s->block->sockets = n;
}

void setup_view(struct setup *s, const char *name, filter_fn *fn, const void *conf)
{
    s->block->view = name;
    s->block->filter = fn;
    s->block->filter_conf = conf;
}

uv_loop_t *setup_loop(struct setup *s)
{
    return s->config->options->loop;
}

unsigned setup_workers(const struct setup *s)
{
    return s->config->options->workers;
}

int setup_source(struct setup *s, const struct object_source *source, struct store **ret,
                 struct err *e)
{
    const struct dns_options *o = s->config->options;
    if (!o->open_source)
        return err_set(e, ERR_UNSUPPORTED, "no source of objects is available here");
    return o->open_source(o->source_ctx, source, ret, e);
}

struct dns_config *setup_config(const struct setup *s)
{
    return s->config;
}

const struct corefile *setup_corefile(const struct setup *s)
{
    return s->config->corefile;
}

void setup_writes(struct setup *s, const char *folder)
{
    const struct dns_options *o = s->config->options;
    if (o->writes)
        o->writes(o->ctx, folder);
}

void setup_reload(struct setup *s, long long interval_ns, long long jitter_ns)
{
    const struct dns_options *o = s->config->options;
    if (o->set_reload)
        o->set_reload(o->ctx, interval_ns, jitter_ns);
}

const struct route *const *dns_config_routes(const struct dns_config *s, unsigned *ret_n)
{
    *ret_n = s->n_routes;
    return s->routes;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool dns_config_ready(const struct dns_config *s, bool until_ready, struct strbuf *ret_waiting)
{
    VEC(const char *) names = { 0 };
    vec_each (r, &s->readies) {
        if (until_ready && atomic_load(&(*r)->was_ready))
            continue;
        if ((*r)->fn((*r)->conf))
            atomic_store(&(*r)->was_ready, true);
        else
            vec_push(&names, (*r)->plugin);
    }
    if (names.n)
        qsort(names.items, names.n, sizeof *names.items, by_name);
    for (size_t i = 0; i < names.n; i++)
        if (i == 0 || strcmp(names.items[i], names.items[i - 1]) != 0)
            strbuf_printf(ret_waiting, "%s%s", i ? "," : "", names.items[i]);
    bool ready = names.n == 0;
    vec_done(&names);
    return ready;
}
