/* `header { query|response set|clear FLAG... }`: flags of queries before the plugins behind see
 * them, and of their replies. The lines are applied in order, which for each flag means that the
 * last one counts. */
#include "dns/plugin.h"

#include <strings.h>

struct flag_change {
    uint16_t set, clear; /* no bit is in both */
};

struct header {
    struct flag_change query, response;
};

static uint16_t changed(uint16_t flags, const struct flag_change *c)
{
    return (uint16_t)((flags & ~c->clear) | c->set);
}

/* The reply was begun with the client's RD, an upstream gets the message as it lies in our buffer.
 */
static enum step header_in(struct query *q, void *conf)
{
    const struct header *h = conf;
    q->msg.flags = changed(q->msg.flags, &h->query);
    if (q->msg.raw)
        put_u16(q->packet + 2, q->msg.flags);
    if (flags_opcode(q->msg.flags) == OPCODE_QUERY)
        q->reply.flags = (uint16_t)((q->reply.flags & ~FLAG_RD) | (q->msg.flags & FLAG_RD));
    return STEP_NEXT;
}

static void header_out(struct query *q, void *conf)
{
    const struct header *h = conf;
    q->reply.flags = changed(q->reply.flags, &h->response);
}

/* ---- set-up ---- */

static uint16_t flag_of(const char *name)
{
    static const struct {
        const char *name;
        uint16_t bit;
    } flags[] = { { "aa", FLAG_AA }, { "ra", FLAG_RA }, { "rd", FLAG_RD } };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (strcasecmp(name, flags[i].name) == 0)
            return flags[i].bit;
    return 0;
}

static int read_flags(struct flag_change *c, bool set, struct dispenser *d, struct err *e)
{
    size_t n = 0;
    for (; dispenser_next_arg(d); n++) {
        uint16_t bit = flag_of(dispenser_val(d));
        if (!bit)
            return dispenser_err(d, e, "unknown/unsupported flag=%s; use aa, ra or rd",
                                 dispenser_val(d));
        c->set = (uint16_t)(set ? c->set | bit : c->set & ~bit);
        c->clear = (uint16_t)(set ? c->clear & ~bit : c->clear | bit);
    }
    return n ? 0 : dispenser_arg_err(d, e);
}

static int read_rule(struct header *h, struct dispenser *d, struct err *e)
{
    bool query = strcasecmp(dispenser_val(d), "query") == 0;
    if (!query && strcasecmp(dispenser_val(d), "response") != 0)
        return dispenser_err(d, e, "invalid selector=%s should be query or response",
                             dispenser_val(d));
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    bool set = strcasecmp(dispenser_val(d), "set") == 0;
    if (!set && strcasecmp(dispenser_val(d), "clear") != 0)
        return dispenser_err(d, e, "unknown flag action=%s, should be set or clear",
                             dispenser_val(d));
    return read_flags(query ? &h->query : &h->response, set, d, e);
}

static int header_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct header *h = arena_zalloc(setup_arena(s), sizeof *h);
    while (dispenser_next_directive(d)) {
        size_t rules = 0;
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
        for (; dispenser_next_block(d); rules++) {
            int ret = read_rule(h, d, e);
            if (ret < 0)
                return ret;
        }
        if (!rules)
            return dispenser_arg_err(d, e);
    }
    if (h->query.set | h->query.clear)
        setup_in(s, header_in, h);
    if (h->response.set | h->response.clear)
        setup_out(s, header_out, h);
    return 0;
}

const struct plugin plugin_header = { .name = "header", .setup = header_setup, .repeatable = true };
