#include "dns/zone_transfer.h"

/* The apex has its SOA, NS and their signatures before all else. */
static bool comes_first(const struct zone_rrs *r)
{
    return r->rr.type == RR_NS || r->covers == RR_SOA || r->covers == RR_NS;
}

static bool emit_apex(const struct zone_node *apex, transfer_emit *emit, void *ctx, bool first)
{
    for (uint32_t i = 0; i < apex->n; i++)
        if (comes_first(&apex->sets[i]) == first && !emit(ctx, &apex->sets[i].rr))
            return false;
    return true;
}

int zone_transfer(const struct zone_data *z, transfer_emit *emit, void *ctx)
{
    if (!z)
        return ERR_INVALID;
    if (!emit(ctx, &z->soa->rr) || !emit_apex(z->apex, emit, ctx, true) ||
        !emit_apex(z->apex, emit, ctx, false))
        return 0;
    for (size_t i = 0; i < z->n_nodes; i++)
        for (uint32_t k = 0; &z->nodes[i] != z->apex && k < z->nodes[i].n; k++)
            if (!emit(ctx, &z->nodes[i].sets[k].rr))
                return 0;
    return 0;
}
