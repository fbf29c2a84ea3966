/* Connections that the Node still knows: an entry for packets of UDP lives on while they come, and
 * leads where it led when it was made, to a pod that is gone perhaps. */
#include "explain/entries.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"

#include <netinet/in.h>
#include <string.h>

static bool is_current(const struct explain_leg *l, const struct ip *to)
{
    for (size_t i = 0; i < l->flow.outcomes.n; i++)
        if (ip_equal(&l->flow.outcomes.items[i].to, to))
            return true;
    return false;
}

struct look {
    struct explain_report *r;
    const struct explain_leg *leg;
    struct entry stale;
    unsigned n;
};

static void match(void *ctx, const struct entry *e)
{
    struct look *k = ctx;
    const struct explain_leg *l = k->leg;
    if (e->protocol != IPPROTO_UDP || e->to_port != l->port || !ip_equal(&e->to, &l->to) ||
        !ip_equal(&e->from, &k->r->source.ips[l->to.family == 6]) || ip_equal(&e->chosen, &l->to) ||
        is_current(l, &e->chosen))
        return;
    k->stale = *e;
    k->n++;
}

static void look_at(struct explain_report *r, const struct explain_leg *l)
{
    struct look k = { .r = r, .leg = l };
    char to[IP_PORT_TEXT_MAX], chosen[IP_PORT_TEXT_MAX], ip[IP_TEXT_MAX];
    const char *node = r->source.node ? r->source.node->object.meta.name : "its node";
    entries_read(r->request->around.connections, match, &k);
    if (k.n == 0)
        return;
    explain_doubt(r, "stale-udp",
                  arena_printf(r->arena,
                               "the connection table of %s still sends what comes from its port "
                               "%u to %s on to %s, which is no endpoint any more",
                               node, k.stale.from_port, ip_port_text(&l->to, l->port, to),
                               ip_port_text(&k.stale.chosen, k.stale.chosen_port, chosen)),
                  arena_printf(r->arena, "remove the entry: conntrack -D -p udp --orig-dst %s",
                               ip_text(&l->to, ip)));
}

void explain_old_entries(struct explain_report *r)
{
    if (!r->request->around.connections)
        return;
    vec_each (l, &r->dns)
        look_at(r, l);
    if (r->request->protocol == PROTO_UDP)
        vec_each (l, &r->legs)
            look_at(r, l);
}
