/* `etcd [ZONES...] { ... }`: answers from keys of etcd in SkyDNS's form. */
#include "dns/plugins/etcd.h"

#include "base/clock.h"

/* The reply to a name that has no records: the zone's SOA, and AA whatever the rcode. */
static enum step without_records(struct etcd_query *e, enum rcode rcode)
{
    e->q->reply.rcode = rcode;
    e->ops = NULL;
    e->tail = &e->ops;
    etcd_soa(e, SECTION_AUTHORITY);
    return etcd_carry_out(e);
}

static enum step broken(struct etcd_query *e)
{
    if (e->broken)
        e->q->error =
            arena_printf(&e->q->arena, "plugin/etcd: %s: the value cannot be read", e->broken->key);
    return without_records(e, RCODE_SERVFAIL);
}

/* The rest of a question whose zone is ours. */
static enum step answer(struct etcd_query *e)
{
    struct query *q = e->q;
    if (q->msg.q.type == RR_SOA) { /* of any name, whether it exists or not */
        etcd_soa(e, SECTION_ANSWER);
        return etcd_carry_out(e);
    }
    if (!etcd_data_root(e->x->data, &e->root)) {
        if (etcd_data_may_wait(e->x->data, e->now_ns))
            return etcd_hold(q, e->x);
        q->error = "plugin/etcd: no etcd server has answered so far";
        return without_records(e, RCODE_SERVFAIL);
    }
    switch (etcd_plan(e)) {
    case ETCD_NO_SUCH_NAME:
        if (zone_set_covers(e->x->fallthrough, &q->msg.q))
            return STEP_NEXT;
        return without_records(e, RCODE_NXDOMAIN);
    case ETCD_BROKEN:
        return broken(e);
    case ETCD_FOUND:
        break;
    }
    return e->ops ? etcd_carry_out(e) : without_records(e, RCODE_NOERROR);
}

enum step etcd_answer(struct query *q, void *conf)
{
    struct etcd *x = conf;
    int zone = zone_set_find(x->zones, &q->msg.q);
    if (zone < 0)
        return STEP_NEXT;
    struct etcd_query e = {
        .q = q, .x = x, .zone = zone_set_wire(x->zones, zone), .now_ns = clock_ns()
    };
    e.tail = &e.ops;
    return answer(&e);
}

static int etcd_start(void *conf, struct err *e)
{
    struct etcd *x = conf;
    x->data = etcd_data_open(x->loop, &x->options, e);
    return x->data ? 0 : e->code;
}

static void etcd_stop(void *conf)
{
    etcd_data_close(((struct etcd *)conf)->data);
}

static int etcd_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct etcd *x = arena_zalloc(setup_arena(s), sizeof *x);
    int code = etcd_read_options(x, s, d, e);
    if (code < 0)
        return code;
    x->loop = setup_loop(s);
    x->held = arena_zalloc(setup_arena(s), setup_workers(s) * sizeof(struct etcd_held *));
    setup_in(s, etcd_answer, x);
    setup_worker_stop(s, etcd_hold_stop, x);
    setup_start(s, etcd_start, x);
    setup_stop(s, etcd_stop, x);
    return 0;
}

const struct plugin plugin_etcd = { .name = "etcd", .setup = etcd_setup, .repeatable = true };
