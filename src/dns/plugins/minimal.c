/* `minimal`: an answer is sent without its authority and additional sections. Denials, referrals
 * and errors need theirs and pass as they are. */
#include "dns/plugin.h"

static bool has_type(const struct rrset_list *l, uint16_t type)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].type == type)
            return true;
    return false;
}

static bool is_plain_answer(const struct query *q)
{
    const struct rrset_list *authority = &q->reply.section[SECTION_AUTHORITY];
    if (q->reply.rcode != RCODE_NOERROR || flags_opcode(q->reply.flags) != OPCODE_QUERY)
        return false;
    if (q->msg.q.type == RR_AXFR || q->msg.q.type == RR_IXFR)
        return false;
    return q->reply.section[SECTION_ANSWER].n ||
           !(has_type(authority, RR_SOA) || has_type(authority, RR_NS));
}

static void minimal_out(struct query *q, void *conf)
{
    (void)conf;
    if (!is_plain_answer(q))
        return;
    q->reply.section[SECTION_AUTHORITY].n = 0;
    q->reply.section[SECTION_ADDITIONAL].n = 0;
}

static int minimal_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    int ret = 0;
    while (ret == 0 && dispenser_next_directive(d))
        ret = dispenser_end(d, e);
    setup_out(s, minimal_out, NULL);
    return ret;
}

const struct plugin plugin_minimal = { .name = "minimal",
                                       .setup = minimal_setup,
                                       .repeatable = true };
