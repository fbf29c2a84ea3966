/* `any`: answers type ANY with one small record instead of everything (RFC 8482 section 4.2). */
#include "dns/plugin.h"

#define ANY_TTL 8482

static enum step any_in(struct query *q, void *conf)
{
    /* HINFO: two character strings, each behind its length. */
    static const uint8_t rdata[] = "\015ANY obsoleted\014See RFC 8482";
    (void)conf;
    if (q->msg.q.type != RR_ANY)
        return STEP_NEXT;
    query_add(q, SECTION_ANSWER,
              (struct rrset){ .type = RR_HINFO,
                              .class = CLASS_IN,
                              .ttl = ANY_TTL,
                              .count = 1,
                              .rdlen = sizeof rdata - 1,
                              .rdata = rdata });
    return STEP_DONE;
}

static int any_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    int ret = 0;
    while (ret == 0 && dispenser_next_directive(d))
        ret = dispenser_end(d, e);
    setup_in(s, any_in, NULL);
    return ret;
}

const struct plugin plugin_any = { .name = "any", .setup = any_setup, .repeatable = true };
