/* `k8s_external [ZONE...]`: names and set-up (docs/plugins/k8s_external.md). */
#include "dns/plugins/k8s_external.h"

#include "base/str.h"

#include <string.h>

static const uint8_t *label_at(const struct query *q, int i)
{
    return q->msg.q.lower + q->msg.q.name.off[i];
}

static enum step nodata(struct external_query *e)
{
    e->q->reply.flags |= FLAG_AA;
    external_soa(e, SECTION_AUTHORITY);
    return STEP_DONE;
}

static enum step name_error(struct external_query *e)
{
    if (!snapshot_synced(e->x->k->snapshot))
        return query_fail(e->q, RCODE_SERVFAIL, NULL);
    e->q->reply.rcode = RCODE_NXDOMAIN;
    return nodata(e);
}

/* ---- the zone itself, and "ns1.APEX" in it ---- */

static enum step apex(struct external_query *e)
{
    uint16_t type = e->q->msg.q.type;
    if (type != RR_SOA && type != RR_NS)
        return nodata(e);
    e->q->reply.flags |= FLAG_AA;
    if (type == RR_SOA)
        external_soa(e, SECTION_ANSWER);
    else
        external_ns(e);
    return STEP_DONE;
}

/* `last`: the label index of APEX. */
static enum step below_apex(struct external_query *e, int last)
{
    struct query *q = e->q;
    if (last == 0)
        return nodata(e);
    if (last > 1 || memcmp(label_at(q, 0), "\003ns1", 4) != 0)
        return name_error(e);
    uint16_t type = q->msg.q.type;
    if (type == RR_A || type == RR_AAAA)
        external_own_addresses(e, SECTION_ANSWER, NULL, type == RR_A ? 4 : 6);
    if (q->reply.section[SECTION_ANSWER].n == 0)
        return nodata(e);
    q->reply.flags |= FLAG_AA;
    return STEP_DONE;
}

/* ---- Services ---- */

/* What stands left of "service namespace": nothing, an endpoint, or a port and protocol. */
static bool parse_rest(struct external_query *e, int service)
{
    e->place.service = e->service;
    if (service == 0) {
        e->place.kind = PLACE_SERVICE;
    } else if (service == 1) {
        e->place.kind = PLACE_ENDPOINT;
        e->place.endpoint = label_at(e->q, 0);
    } else {
        e->place.kind = PLACE_PORT;
        e->place.port = label_at(e->q, 0);
        e->place.protocol = label_at(e->q, 1);
    }
    return service <= 2;
}

/* The Service, and whether addresses or endpoints are what it publishes. */
static bool find_service(struct external_query *e, int service)
{
    const struct snapshot *s = e->x->k->snapshot;
    const uint8_t *key = label_at(e->q, service), *ns = label_at(e->q, service + 1);
    size_t len = (size_t)(ns + 1 + ns[0] - key);
    e->service = snapshot_service(s, key, len);
    if (!e->service || !atomic_load_explicit(&e->service->visible, memory_order_relaxed) ||
        !parse_rest(e, service))
        return false;
    e->addresses = snapshot_external(s, key, len);
    if (e->addresses)
        return true;
    return e->x->headless && (e->service->kind == SNAP_HEADLESS || e->place.kind == PLACE_ENDPOINT);
}

static enum step no_such_name(struct external_query *e)
{
    if (zone_set_covers(e->x->fallthrough, &e->q->msg.q))
        return STEP_NEXT;
    return name_error(e);
}

static enum step names(struct external_query *e, int last)
{
    struct query *q = e->q;
    struct ip ip;
    enum step step;
    if (q->msg.q.type == RR_PTR && name_to_ip(q->msg.q.lower, &ip) == 0)
        return external_ptr(e, &ip) ? STEP_DONE : no_such_name(e);
    if (!snapshot_namespace(e->x->k->snapshot, label_at(q, last)))
        return no_such_name(e);
    if (last == 0)
        return nodata(e);
    if (!find_service(e, last - 1) || !external_answer(e, &step))
        return no_such_name(e);
    if (q->reply.section[SECTION_ANSWER].n == 0)
        return nodata(e);
    return step;
}

static enum step external_in(struct query *q, void *conf)
{
    const struct external *x = conf;
    int zone = zone_set_find(x->zones, &q->msg.q);
    if (zone < 0)
        return STEP_NEXT;
    if (q->msg.q.type == RR_AXFR || q->msg.q.type == RR_IXFR)
        return query_fail(q, RCODE_REFUSED, NULL);
    struct external_query e = { .q = q, .x = x, .zone = zone };
    int last = q->msg.q.name.n_labels - (int)zone_set_labels(x->zones, zone) - 1;
    if (last < 0)
        return apex(&e);
    const uint8_t *label = label_at(q, last);
    if (memcmp(label, x->apex, 1u + x->apex[0]) == 0)
        return below_apex(&e, last);
    return names(&e, last);
}

/* ---- set-up ---- */

static int read_zones(struct external *x, struct setup *s, struct dispenser *d, struct err *e)
{
    static const uint8_t v4[] = "\007in-addr\004arpa", v6[] = "\003ip6\004arpa";
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), setup_arena(s), &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(s);
    x->zones = zone_set_new(setup_arena(s), &zones);
    for (int i = (int)zones.n - 1; i >= 0; i--) {
        const uint8_t *zone = zone_set_wire(x->zones, i);
        if (!name_is_below(zone, v4) && !name_is_below(zone, v6))
            x->primary = i;
    }
    return 0;
}

static int opt_apex(struct external *x, struct dispenser *d, struct err *e)
{
    struct name n;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (name_from_text(dispenser_val(d), &n) < 0 || n.n_labels != 1)
        return dispenser_err(d, e, "apex must be one label: %s", dispenser_val(d));
    name_lower(x->apex, n.wire, n.len - 1u);
    return dispenser_end(d, e);
}

static int opt_ttl(struct external *x, struct dispenser *d, struct err *e)
{
    long ttl;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), 0, KUBERNETES_TTL_MAX, &ttl) < 0)
        return dispenser_err(d, e, "ttl must be in range [0, %d]: %s", KUBERNETES_TTL_MAX,
                             dispenser_val(d));
    x->ttl = (uint32_t)ttl;
    return dispenser_end(d, e);
}

static int read_option(struct external *x, struct setup *s, struct dispenser *d, struct err *e)
{
    const char *name = dispenser_val(d);
    if (strcmp(name, "apex") == 0)
        return opt_apex(x, d, e);
    if (strcmp(name, "ttl") == 0)
        return opt_ttl(x, d, e);
    if (strcmp(name, "fallthrough") == 0)
        return zone_set_fallthrough(s, d, &x->fallthrough, e);
    if (strcmp(name, "headless") != 0)
        return dispenser_unknown(d, e);
    x->headless = true;
    return dispenser_end(d, e);
}

static int external_start(void *conf, struct err *e)
{
    struct external *x = conf;
    x->k = offers_find(x->offers, "kubernetes");
    if (!x->k)
        return err_set(e, ERR_INVALID,
                       "there is no 'kubernetes' in the same server block to take Services from");
    return 0;
}

/* The SOA record's names are "hostmaster" and the apex label in front of the zone's. */
static int check_lengths(const struct external *x, const struct dispenser *d, struct err *e)
{
    for (unsigned i = 0; i < zone_set_count(x->zones); i++) {
        char text[NAME_TEXT_MAX];
        const uint8_t *zone = zone_set_wire(x->zones, (int)i);
        if (11 + 1u + x->apex[0] + name_wire_len(zone) > NAME_MAX_WIRE)
            return dispenser_err(d, e, "zone \"%s\" is too long for names below it",
                                 name_to_text(zone, text));
    }
    return 0;
}

static int external_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct external *x = arena_zalloc(setup_arena(s), sizeof *x);
    x->ttl = EXTERNAL_TTL_DEFAULT;
    memcpy(x->apex, "\003dns", 4);
    dispenser_next_directive(d);
    int ret = read_zones(x, s, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(x, s, d, e);
    if (ret == 0)
        ret = check_lengths(x, d, e);
    if (ret < 0)
        return ret;
    x->offers = setup_offers(s);
    offers_add(x->offers, "k8s_external", x);
    setup_in(s, external_in, x);
    setup_start(s, external_start, x);
    return 0;
}

const struct plugin plugin_k8s_external = { .name = "k8s_external", .setup = external_setup };
