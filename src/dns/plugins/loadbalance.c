/* `loadbalance [round_robin]`: CNAMEs first, then other types in order, addresses and MX records
 * shuffled anew for every reply. */
#include "dns/plugin.h"

#include <string.h>

/* The records of an RRset of fixed-size rdata in a random order, in the query's memory: the snapshot's
 * own bytes are never changed. */
static void shuffle_rdata(struct query *q, struct rrset *rr)
{
    uint8_t *out = arena_memdup(&q->arena, rr->rdata, (size_t)rr->rdlen * rr->count);
    uint8_t tmp[16];
    for (uint32_t i = rr->count - 1u; i > 0; i--) {
        uint32_t k = rand_below(&q->worker->rand, i + 1);
        memcpy(tmp, out + (size_t)i * rr->rdlen, rr->rdlen);
        memcpy(out + (size_t)i * rr->rdlen, out + (size_t)k * rr->rdlen, rr->rdlen);
        memcpy(out + (size_t)k * rr->rdlen, tmp, rr->rdlen);
    }
    rr->rdata = out;
}

static bool is_address(const struct rrset *rr)
{
    return rr->type == RR_A || rr->type == RR_AAAA;
}

static void shuffle_sets(struct query *q, struct rrset *sets, uint16_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = rand_below(&q->worker->rand, i);
        struct rrset tmp = sets[i - 1];
        sets[i - 1] = sets[k];
        sets[k] = tmp;
    }
}

/* Moves the sets that `wanted` names to the end of what is still unsorted, keeping order. */
static uint16_t take(const struct rrset_list *from, struct rrset *to, uint16_t n,
                     bool (*wanted)(const struct rrset *rr))
{
    for (uint16_t i = 0; i < from->n; i++)
        if (wanted(&from->items[i]))
            to[n++] = from->items[i];
    return n;
}

static bool is_cname(const struct rrset *rr)
{
    return rr->type == RR_CNAME;
}

static bool is_mx(const struct rrset *rr)
{
    return rr->type == RR_MX;
}

static bool is_other(const struct rrset *rr)
{
    return !is_cname(rr) && !is_mx(rr) && !is_address(rr);
}

static void balance_section(struct query *q, struct rrset_list *l)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].count > 1 && l->items[i].rdlen && l->items[i].rdlen <= 16)
            shuffle_rdata(q, &l->items[i]);
    if (l->n < 2)
        return;
    struct rrset *sorted = arena_alloc(&q->arena, l->n * sizeof *sorted);
    uint16_t n = take(l, sorted, 0, is_cname);
    n = take(l, sorted, n, is_other);
    uint16_t addresses = n;
    n = take(l, sorted, n, is_address);
    shuffle_sets(q, sorted + addresses, (uint16_t)(n - addresses));
    uint16_t mx = n;
    n = take(l, sorted, n, is_mx);
    shuffle_sets(q, sorted + mx, (uint16_t)(n - mx));
    memcpy(l->items, sorted, n * sizeof *sorted);
}

static void loadbalance_out(struct query *q, void *conf)
{
    (void)conf;
    if (q->reply.rcode != RCODE_NOERROR || q->msg.q.type == RR_AXFR || q->msg.q.type == RR_IXFR)
        return;
    for (int s = 0; s < SECTION_COUNT; s++)
        if (q->reply.section[s].n)
            balance_section(q, &q->reply.section[s]);
}

static int loadbalance_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        if (strcmp(dispenser_val(d), "weighted") == 0)
            return dispenser_err(d, e, "policy 'weighted' is not supported yet; use round_robin");
        if (strcmp(dispenser_val(d), "round_robin") != 0)
            return dispenser_err(d, e, "unknown policy: %s", dispenser_val(d));
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
    }
    if (dispenser_next_block(d))
        return dispenser_err(d, e, "option '%s' is not supported yet", dispenser_val(d));
    setup_out(s, loadbalance_out, NULL);
    return 0;
}

const struct plugin plugin_loadbalance = { .name = "loadbalance", .setup = loadbalance_setup };
