/* `whoami`: answers every name with the client's own address and port, in the additional section.
 */
#include "dns/plugin.h"

#include <string.h>

/* "_udp.QNAME", or nothing when that is too long. */
static const uint8_t *srv_owner(struct query *q)
{
    const struct name *n = &q->msg.q.name;
    if (n->len + 5 > NAME_MAX_WIRE)
        return NULL;
    uint8_t *owner = arena_alloc(&q->arena, n->len + 5u);
    memcpy(owner, q->transport == TRANSPORT_UDP ? "\004_udp" : "\004_tcp", 5);
    memcpy(owner + 5, n->wire, n->len);
    return owner;
}

static enum step whoami_in(struct query *q, void *conf)
{
    struct ip client = query_client(q);
    const uint8_t *owner = srv_owner(q);
    uint8_t *srv = arena_zalloc(&q->arena, 2 + 7);
    (void)conf;
    q->reply.flags |= FLAG_AA;
    query_add(q, SECTION_ADDITIONAL,
              (struct rrset){ .type = client.family == 4 ? RR_A : RR_AAAA,
                              .class = q->msg.q.class,
                              .count = 1,
                              .rdlen = (uint16_t)ip_len(&client),
                              .rdata = arena_memdup(&q->arena, client.bytes, ip_len(&client)) });
    put_u16(srv, 7); /* priority and weight 0, the port, the root */
    put_u16(srv + 6, port_of_sockaddr((const struct sockaddr *)&q->peer));
    if (owner)
        query_add(q, SECTION_ADDITIONAL,
                  (struct rrset){ .owner = owner,
                                  .type = RR_SRV,
                                  .class = q->msg.q.class,
                                  .count = 1,
                                  .rdata = srv });
    return STEP_DONE;
}

static int whoami_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    setup_in(s, whoami_in, NULL);
    return dispenser_end(d, e);
}

const struct plugin plugin_whoami = { .name = "whoami", .setup = whoami_setup };
