/* `secondary [ZONES...] { transfer from ADDRESS... ; catalog [ZONES...] ; fallthrough [ZONES...]
 * }`: serves zones that are transferred from other servers. */
#include "dns/plugins/secondary.h"

#include "base/clock.h"
#include "dns/zone_answer.h"
#include "dns/zone_transfer.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static void table_free(void *table)
{
    struct replica_table *t = table;
    if (!t)
        return;
    ht_done(&t->by_name);
    free(t);
}

void secondary_publish(struct secondary *s)
{
    struct replica_table *t = xcalloc(1, sizeof *t), *old = atomic_load(&s->table);
    ht_each (entry, &s->by_name)
        (void)ht_put(&t->by_name, entry->key, entry->key_len, entry->value);
    rcu_publish(&s->table, t);
    if (old)
        rcu_retire(old, table_free);
}

struct replica *secondary_find(struct secondary *s, const struct question *q)
{
    const struct replica_table *t = rcu_load(&s->table);
    for (unsigned i = 0; t && i <= q->name.n_labels; i++) {
        uint8_t off = q->name.off[i];
        struct replica *r = ht_get(&t->by_name, q->lower + off, (size_t)(q->name.len - off));
        if (r)
            return r;
    }
    return NULL;
}

struct replica *secondary_get(const struct secondary *s, const uint8_t *origin)
{
    return ht_get(&s->by_name, origin, name_wire_len(origin));
}

/* ---- the step ---- */

/* NULL: there is nothing to answer from. */
static const struct zone_data *data_of(struct replica *r)
{
    return r && !atomic_load_explicit(&r->expired, memory_order_relaxed) ? rcu_load(&r->zone)
                                                                         : NULL;
}

static enum step looked_up(struct query *q, void *conf, void *data)
{
    return zone_answer_looked_up(q, data_of(secondary_find(conf, &q->msg.q)), data);
}

/* A primary says that the zone may have changed (RFC 1996). Strangers get no answer. */
static enum step take_notify(struct query *q, struct secondary *s, struct replica *r)
{
    struct ip client = query_client(q);
    for (size_t i = 0; i < r->source->n; i++) {
        if (!ip_equal(&r->source->primaries[i].ip, &client))
            continue;
        q->reply.flags |= FLAG_AA;
        if (!atomic_exchange(&r->notified, true))
            uv_async_send(s->wake);
        return STEP_DONE;
    }
    metric_add(s->refused, 1);
    return STEP_DROP;
}

static enum step secondary_in(struct query *q, void *conf)
{
    struct secondary *s = conf;
    struct replica *r = secondary_find(s, &q->msg.q);
    if (!r && query_is_last(q)) /* an authoritative server is asked for others' names */
        return query_fail(q, RCODE_REFUSED, NULL);
    if (!r)
        return STEP_NEXT;
    if (flags_opcode(q->msg.flags) == OPCODE_NOTIFY)
        return take_notify(q, s, r);
    const struct zone_data *z = data_of(r);
    if (!z)
        return query_fail(q, RCODE_SERVFAIL, "the zone %s %s", r->text,
                          atomic_load(&r->expired) ? "is expired" : "has not been transferred yet");
    return zone_step(q, z, s->fallthrough, looked_up, s);
}

static int secondary_transfer(struct query *q, void *conf, transfer_emit *emit, void *ctx)
{
    struct replica *r = secondary_find(conf, &q->msg.q);
    return r && r->len == q->msg.q.name.len ? zone_transfer(data_of(r), emit, ctx) : ERR_NOT_FOUND;
}

/* ---- starting and stopping ---- */

static void on_wake(uv_async_t *wake)
{
    struct secondary *s = wake->data;
    VEC(struct replica *) told = { 0 }; /* apart: a check may change the table */
    ht_each (entry, &s->by_name) {
        struct replica *r = entry->value;
        if (atomic_exchange(&r->notified, false))
            vec_push(&told, r);
    }
    vec_each (r, &told) {
        log_info("plugin/secondary: Notify for %s: checking transfer", (*r)->text);
        replica_check(*r);
    }
    vec_done(&told);
}

static int secondary_start(void *conf, struct err *e)
{
    struct secondary *s = conf;
    s->wake = xcalloc(1, sizeof *s->wake);
    s->wake->data = s;
    int code = uv_async_init(s->loop, s->wake, on_wake);
    if (code < 0) {
        free(s->wake);
        s->wake = NULL;
        return err_set(e, code, "plugin/secondary: %s", uv_strerror(code));
    }
    ht_each (entry, &s->by_name)
        replica_load(entry->value);
    return 0;
}

static void wake_closed(uv_handle_t *h)
{
    free(h);
}

static void secondary_stop(void *conf)
{
    struct secondary *s = conf;
    if (s->wake)
        uv_close((uv_handle_t *)s->wake, wake_closed);
    ht_each (entry, &s->by_name) {
        metric_gauge_drop(entry->value);
        replica_end(entry->value);
    }
    ht_done(&s->by_name);
    vec_done(&s->arriving);
    vec_done(&s->leaving);
    table_free(atomic_load(&s->table));
}

/* ---- metrics ---- */

static double age(void *ctx)
{
    const struct replica *r = ctx;
    int64_t good = atomic_load(&r->good_ns);
    return good ? (double)(clock_ns() - good) / 1e9 : -1;
}

static void count(struct replica *r)
{
    struct secondary_counts *c = arena_zalloc(r->s->arena, sizeof *c);
    struct strbuf labels = { 0 };
    metric_label(&labels, "zone", r->text);
    c->transfers = metric_counter("signpost_secondary_transfers_total",
                                  "Zones taken over from a primary; members count for their "
                                  "catalog.",
                                  labels.p);
    c->failures = metric_counter("signpost_secondary_failures_total",
                                 "Rounds in which no primary was of use.", labels.p);
    metric_gauge("signpost_secondary_age_seconds",
                 "Time since the zone was last known to be current; -1: never.", labels.p, age, r);
    r->counts = c;
    strbuf_done(&labels);
}

/* ---- set-up ---- */

static int opt_transfer(struct source *source, struct setup *s, struct dispenser *d, struct err *e)
{
    const char **args;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (strcmp(dispenser_val(d), "from") != 0)
        return dispenser_err(d, e, "unknown property %s", dispenser_val(d));
    size_t n = dispenser_rest(d, setup_arena(s), &args);
    if (n == 0)
        return dispenser_arg_err(d, e);
    if (source->n + n > PRIMARIES_MAX)
        return dispenser_err(d, e, "more than %d addresses to transfer from", PRIMARIES_MAX);
    for (size_t i = 0; i < n; i++) {
        struct primary *p = &source->primaries[source->n++];
        if (strcmp(args[i], "*") == 0)
            return dispenser_err(d, e, "can't use '*' in transfer from");
        if (ip_port_parse(args[i], 53, &p->ip, &p->port) < 0)
            return dispenser_err(d, e, "must specify an IP address: `%s'", args[i]);
    }
    return 0;
}

static int opt_catalog(struct source *source, struct setup *s, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    source->is_catalog = true;
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), setup_arena(s), &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    if (zones.n)
        source->members = zone_set_new(setup_arena(s), &zones);
    return 0;
}

/* A zone that is named twice belongs to the later directive. */
static int add_zone(struct secondary *s, const char *text, const struct source *source)
{
    struct name name;
    if (name_from_text(text, &name) < 0)
        return 0; /* zone_expand() made it: cannot happen */
    struct replica *r = ht_get(&s->by_name, name.wire, name.len);
    if (r) {
        r->source = source;
        return 0;
    }
    r = replica_new(s, name.wire, source);
    count(r);
    (void)ht_put(&s->by_name, r->origin, r->len, r);
    return 0;
}

static int read_option(struct secondary *s, struct setup *setup, struct dispenser *d,
                       struct source *source, struct err *e)
{
    const char *word = dispenser_val(d);
    if (strcmp(word, "transfer") == 0)
        return opt_transfer(source, setup, d, e);
    if (strcmp(word, "catalog") == 0)
        return opt_catalog(source, setup, d, e);
    if (strcmp(word, "fallthrough") == 0)
        return zone_set_fallthrough(setup, d, &s->fallthrough, e);
    return dispenser_unknown(d, e);
}

static int read_directive(struct secondary *s, struct setup *setup, struct dispenser *d,
                          struct err *e)
{
    struct zone_list zones = { 0 };
    struct source *source = arena_zalloc(s->arena, sizeof *source);
    int code = 0;
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), s->arena, &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(s, setup, d, source, e);
    if (code == 0 && source->n == 0)
        code = dispenser_err(d, e, "secondary zones require a transfer from property");
    if (zones.n == 0)
        zones = setup_zones(setup);
    for (size_t i = 0; code == 0 && i < zones.n; i++)
        code = add_zone(s, zones.items[i], source);
    return code;
}

static int secondary_setup(struct setup *setup, struct dispenser *d, struct err *e)
{
    struct secondary *s = arena_zalloc(setup_arena(setup), sizeof *s);
    int code = 0;
    s->loop = setup_loop(setup);
    s->arena = setup_arena(setup);
    s->transfers = transfers_find(setup);
    s->queue_end = &s->queue;
    s->refused = metric_counter("signpost_secondary_notifies_refused_total",
                                "NOTIFY messages of servers that are no primaries.", "");
    setup_stop(setup, secondary_stop, s);
    while (code == 0 && dispenser_next_directive(d))
        code = read_directive(s, setup, d, e);
    if (code < 0)
        return code;
    secondary_publish(s);
    transfers_add(s->transfers, secondary_transfer, s);
    setup_in(setup, secondary_in, s);
    setup_start(setup, secondary_start, s);
    return 0;
}

const struct plugin plugin_secondary = { .name = "secondary",
                                         .setup = secondary_setup,
                                         .repeatable = true };
