/* `autopath [ZONE...] RESOLV-CONF|@kubernetes|@node`: a name below the client's first search
 * element is looked up with all of them at once, so that the client need not ask again
 * (docs/plugins/autopath.md).
 *
 * With @kubernetes and @node the client's own question shows which namespace it takes for its own;
 * a pod of that namespace with the client's address is all that has to be known. So pods that share
 * an address, or take one over, do not disturb each other, and no second table of pods is needed.
 */
#include "dns/plugins/autopath.h"

#include <string.h>

/* The search for one query; in its arena. */
struct walk {
    const struct autopath *a;
    const uint8_t *base; /* labels, as typed */
    size_t base_len;
    const uint8_t *own[3]; /* of the namespace; @kubernetes only */
    unsigned n_own, i;
    bool have_first, first_bare;
    struct reply first;
};

static enum step try_next(struct query *q, struct walk *w);

/* ---- replies ---- */

static const uint8_t *owner_of(const struct query *sub, const struct rrset *rr)
{
    return rr->owner ? rr->owner : sub->msg.q.name.wire;
}

/* The first record that does not belong to the name that was asked for; NULL: none, or it was that
 * very name that was looked up: what is elsewhere is then told by an alias of the reply's own. */
static const struct rrset *first_elsewhere(const struct query *q, const struct query *sub)
{
    const struct rrset_list *answer = &sub->reply.section[SECTION_ANSWER];
    if (name_equal(sub->msg.q.name.wire, q->msg.q.name.wire))
        return NULL;
    for (uint16_t i = 0; i < answer->n; i++)
        if (!name_equal(owner_of(sub, &answer->items[i]), q->msg.q.name.wire))
            return &answer->items[i];
    return NULL;
}

static void add_alias(struct query *q, struct reply *to, const uint8_t *target, uint32_t ttl)
{
    uint8_t *rdata = rdata_of_name(&q->arena, target);
    rrset_list_add(
        &to->section[SECTION_ANSWER], &q->arena,
        (struct rrset){
            .type = RR_CNAME, .class = CLASS_IN, .ttl = ttl, .count = 1, .rdata = rdata });
}

/* The sub-query's reply as one to q, in q's memory. */
static struct reply adopt(struct query *q, const struct query *sub)
{
    struct reply to = sub->reply;
    const struct rrset *elsewhere = first_elsewhere(q, sub);
    to.id = q->reply.id;
    to.q = q->reply.q;
    to.edns.options = arena_memdup(&q->arena, to.edns.options, to.edns.options_len);
    memset(to.section, 0, sizeof to.section);
    if (elsewhere)
        add_alias(q, &to, owner_of(sub, elsewhere), elsewhere->ttl);
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < sub->reply.section[s].n; i++) {
            struct rrset rr = sub->reply.section[s].items[i];
            const uint8_t *owner = owner_of(sub, &rr);
            if (rr.owner || !name_equal(owner, q->msg.q.name.wire))
                rr.owner = owner;
            rrset_list_add(&to.section[s], &q->arena, rrset_dup(&q->arena, &rr));
        }
    return to;
}

/* Nothing was found: the first reply, as if nobody had searched. */
static enum step give_first(struct query *q, const struct walk *w)
{
    if (w->first_bare)
        return query_fail(q, w->first.rcode, NULL);
    q->reply = w->first;
    return STEP_DONE;
}

/* ---- the walk ---- */

static unsigned candidates(const struct walk *w)
{
    return w->n_own + w->a->n_search + 1;
}

static const uint8_t *element(const struct walk *w, unsigned i)
{
    if (i < w->n_own)
        return w->own[i];
    i -= w->n_own;
    return i < w->a->n_search ? w->a->search[i] : (const uint8_t *)"";
}

static enum step tried(struct query *q, void *conf, void *data)
{
    struct walk *w = conf;
    const struct query *sub = data;
    if (sub->dropped)
        return STEP_DROP;
    if (sub->bare && sub->error) /* what went wrong once would only be hidden by going on */
        return query_fail(q, sub->reply.rcode, "%s", sub->error);
    if (!sub->bare && sub->reply.rcode != RCODE_NXDOMAIN) {
        q->reply = adopt(q, sub);
        metric_add(w->a->found[q->route->id], 1);
        return STEP_DONE;
    }
    if (!w->have_first) {
        w->have_first = true;
        w->first_bare = sub->bare;
        w->first = adopt(q, sub);
    }
    return try_next(q, w);
}

static enum step try_next(struct query *q, struct walk *w)
{
    while (w->i < candidates(w)) {
        const uint8_t *tail = element(w, w->i++);
        uint8_t *name = join_name(&q->arena, w->base, w->base_len, tail);
        if (name)
            return query_lookup_below(q, name, q->msg.q.type, tried, w);
    }
    return w->have_first ? give_first(q, w) : STEP_NEXT;
}

/* ---- whose path ---- */

/* "BASE.NS.svc.ZONE" from a pod of NS. Returns how many labels BASE has; -1: not for us. */
static int own_path(const struct query *q, const struct autopath *a, const uint8_t *own[3])
{
    const struct name *n = &q->msg.q.name;
    int zone = a->snapshot ? zone_set_find(a->pod_zones, &q->msg.q) : -1;
    int ns = zone < 0 ? -1 : n->n_labels - (int)zone_set_labels(a->pod_zones, zone) - 2;
    if (ns < 0 || memcmp(q->msg.q.lower + n->off[ns + 1], "\003svc", 4) != 0)
        return -1;
    struct ip client = query_client(q);
    if (!snapshot_pod(a->snapshot, q->msg.q.lower + n->off[ns], &client))
        return -1;
    for (int i = 0; i < 3; i++)
        own[i] = q->msg.q.lower + n->off[ns + i];
    return ns;
}

static int file_path(const struct query *q, const struct autopath *a)
{
    if (!a->n_search || !name_is_below(q->msg.q.lower, a->search[0]))
        return -1;
    return q->msg.q.name.n_labels - name_wire_labels(a->search[0]);
}

static enum step autopath_in(struct query *q, void *conf)
{
    const struct autopath *a = conf;
    const uint8_t *own[3];
    if (zone_set_find(a->zones, &q->msg.q) < 0 || q->msg.q.class != CLASS_IN)
        return STEP_NEXT;
    int labels = a->pods ? own_path(q, a, own) : file_path(q, a);
    if (labels < 0)
        return STEP_NEXT;
    if (labels == 0)
        return query_fail(q, RCODE_SERVFAIL,
                          "plugin/autopath: nothing to search for: the name is "
                          "the search element itself");
    struct walk *w = arena_zalloc(&q->arena, sizeof *w);
    w->a = a;
    w->base = q->msg.q.name.wire;
    w->base_len = q->msg.q.name.off[labels];
    w->n_own = a->pods ? 3 : 0;
    memcpy(w->own, own, w->n_own * sizeof *own);
    return try_next(q, w);
}

/* ---- set-up ---- */

static void find_kubernetes(struct autopath *a)
{
    const struct kubernetes *k = offers_find(a->offers, "kubernetes");
    if (!k)
        log_warning("plugin/autopath: @kubernetes has no effect: there is no 'kubernetes' in the "
                    "same server block");
    else if (k->options.pods != PODS_VERIFIED)
        log_warning("plugin/autopath: @kubernetes has no effect: it needs 'pods verified' in the "
                    "block's 'kubernetes'");
    else {
        a->snapshot = k->snapshot;
        a->pod_zones = k->zones;
    }
}

static int autopath_start(void *conf, struct err *e)
{
    struct autopath *a = conf;
    unsigned n;
    (void)e;
    const struct route *const *routes = dns_config_routes(a->config, &n);
    a->snapshot = a->own;
    a->pod_zones = a->zones;
    if (a->pods && !a->own)
        find_kubernetes(a);
    a->found = arena_zalloc(a->arena, n * sizeof *a->found);
    for (unsigned i = 0; i < n; i++) {
        char labels[256];
        (void)snprintf(labels, sizeof labels, "server=\"%s\"", routes[i]->server);
        a->found[i] = metric_counter("coredns_autopath_success_total",
                                     "Searches that found something.", labels);
    }
    return 0;
}

static int read_args(struct autopath *a, struct setup *s, struct dispenser *d,
                     const char **ret_source, struct err *e)
{
    const char **args;
    struct zone_list zones = { 0 };
    size_t n = dispenser_rest(d, a->arena, &args);
    if (n == 0)
        return dispenser_err(d, e, "no resolv-conf specified");
    for (size_t i = 0; i + 1 < n; i++)
        if (zone_expand(args[i], a->arena, &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    if (zones.n == 0)
        zones = setup_zones(s);
    a->zones = zone_set_new(a->arena, &zones);
    *ret_source = args[n - 1];
    return 0;
}

/* Pods: this host's own search list follows that of the cluster; it may have none. */
static int read_source(struct autopath *a, struct setup *s, const struct dispenser *d,
                       const char *source, struct err *e)
{
    const char *path = source[0] == '@' ? AUTOPATH_OWN_FILE : setup_path(s, source);
    if (source[0] == '@' && strcmp(source, "@kubernetes") != 0 && strcmp(source, "@node") != 0)
        return dispenser_err(
            d, e, "'%s' cannot be a source of search paths; use @kubernetes, @node or a file",
            source);
    a->pods = source[0] == '@';
    if (autopath_read_search(a, path, e) == 0)
        return 0;
    if (!a->pods)
        return dispenser_err(d, e, "%s", e->text);
    log_warning("plugin/autopath: without this host's search list: %s", e->text);
    a->n_search = 0;
    return 0;
}

static int autopath_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    const char *source = NULL;
    struct autopath *a = arena_zalloc(setup_arena(s), sizeof *a);
    a->arena = setup_arena(s);
    a->config = setup_config(s);
    a->offers = setup_offers(s);
    dispenser_next_directive(d);
    int ret = read_args(a, s, d, &source, e);
    if (ret == 0)
        ret = read_source(a, s, d, source, e);
    if (ret == 0 && strcmp(source, "@node") == 0)
        ret = autopath_read_node(a, s, d, e);
    if (ret == 0)
        ret = dispenser_end(d, e);
    if (ret < 0)
        return ret;
    setup_in(s, autopath_in, a);
    setup_start(s, autopath_start, a);
    return 0;
}

const struct plugin plugin_autopath = { .name = "autopath", .setup = autopath_setup };
