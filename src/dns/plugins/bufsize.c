/* `bufsize [BYTES]`: a client's EDNS payload size counts as BYTES at most, for our reply as well as
 * for what is asked of others. Packets that fit into one frame are not lost as fragments are. */
#include "dns/plugin.h"

#define BUFSIZE_DEFAULT 1232 /* fits the smallest IPv6 path */
#define BUFSIZE_MIN     512
#define BUFSIZE_MAX     4096

/* The OPT record's class field, so far before the options (RFC 6891 section 6.1.2). */
#define SIZE_BEFORE_OPTIONS 8

static enum step bufsize_in(struct query *q, void *conf)
{
    uint16_t most = *(const uint16_t *)conf;
    struct edns *edns = &q->msg.edns;
    if (!edns->present || edns->udp_size <= most)
        return STEP_NEXT;
    edns->udp_size = most;
    q->reply.edns.udp_size = most;
    if (q->msg.raw) /* an upstream gets the message as it lies in our buffer */
        put_u16(q->packet + (edns->options - q->msg.raw) - SIZE_BEFORE_OPTIONS, most);
    return STEP_NEXT;
}

static int bufsize_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    uint16_t *most = arena_alloc(setup_arena(s), sizeof *most);
    *most = BUFSIZE_DEFAULT;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        long value;
        if (str_to_long(dispenser_val(d), BUFSIZE_MIN, BUFSIZE_MAX, &value) < 0)
            return dispenser_err(d, e, "size must be a number in [%d, %d]: %s", BUFSIZE_MIN,
                                 BUFSIZE_MAX, dispenser_val(d));
        *most = (uint16_t)value;
    }
    setup_in(s, bufsize_in, most);
    return dispenser_end(d, e);
}

const struct plugin plugin_bufsize = { .name = "bufsize", .setup = bufsize_setup };
