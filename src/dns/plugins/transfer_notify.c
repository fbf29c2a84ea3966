/* NOTIFY (RFC 1996): tells each listed secondary, some times if it does not answer. */
#include "dns/plugins/transfer.h"

#include <string.h>

struct notify {
    uv_udp_t udp;
    uv_timer_t timer;
    struct transfer *transfer; /* NULL: taken out of its list */
    struct notify *next;
    unsigned tries, open; /* open: handles */
    uint16_t id;
    struct sockaddr_storage to;
    size_t len;
    uint8_t message[NAME_MAX_WIRE + 32];
    char target[IP_TEXT_MAX];
    char zone[NAME_TEXT_MAX];
    uint8_t buf[512];
};

static void handle_closed(uv_handle_t *h)
{
    struct notify *n = h->data;
    if (--n->open == 0)
        free(n);
}

static void finish(struct notify *n)
{
    if (!n->transfer)
        return;
    struct notify **at = &n->transfer->notifies;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    n->transfer = NULL;
    uv_close((uv_handle_t *)&n->udp, handle_closed);
    uv_close((uv_handle_t *)&n->timer, handle_closed);
}

static void send_once(struct notify *n)
{
    uv_buf_t buf = uv_buf_init((char *)n->message, (unsigned)n->len);
    n->tries++;
    (void)uv_udp_try_send(&n->udp, &buf, 1, (const struct sockaddr *)&n->to);
}

static void on_timer(uv_timer_t *timer)
{
    struct notify *n = timer->data;
    if (n->tries < NOTIFY_TRIES) {
        send_once(n);
        return;
    }
    log_warning("plugin/transfer: %s did not answer %d NOTIFY messages for zone \"%s\"", n->target,
                NOTIFY_TRIES, n->zone);
    finish(n);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct notify *n = h->data;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)n->buf, sizeof n->buf);
}

static void on_reply(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from,
                     unsigned flags)
{
    struct notify *n = udp->data;
    (void)buf, (void)flags;
    if (len < MSG_HEADER || !from)
        return;
    struct ip a = ip_of_sockaddr(from), b = ip_of_sockaddr((struct sockaddr *)&n->to);
    uint16_t bits = get_u16(n->buf + 2);
    if (!ip_equal(&a, &b) || get_u16(n->buf) != n->id || !(bits & FLAG_QR) ||
        flags_opcode(bits) != OPCODE_NOTIFY)
        return;
    if ((bits & 15) != RCODE_NOERROR && (bits & 15) != RCODE_NOTIMP) {
        char rcode[16];
        log_warning("plugin/transfer: %s answered NOTIFY for zone \"%s\" with %s", n->target,
                    n->zone, rcode_text(bits & 15, rcode));
    }
    finish(n);
}

static void write_message(struct notify *n, const uint8_t *zone)
{
    struct wbuf w = wbuf_of(n->message, sizeof n->message);
    n->id = (uint16_t)uv_hrtime();
    uv_random(NULL, NULL, &n->id, sizeof n->id, 0, NULL);
    wbuf_u16(&w, n->id);
    wbuf_u16(&w, OPCODE_NOTIFY << 11 | FLAG_AA);
    wbuf_u16(&w, 1);
    wbuf_u16(&w, 0);
    wbuf_u32(&w, 0);
    wbuf_put(&w, zone, name_wire_len(zone));
    wbuf_u16(&w, RR_SOA);
    wbuf_u16(&w, CLASS_IN);
    n->len = w.pos;
}

static void start(struct transfer *t, const struct transfer_rule *rule,
                  const struct transfer_target *target, const uint8_t *zone)
{
    struct sockaddr_storage source;
    struct notify *n = xcalloc(1, sizeof *n);
    n->transfer = t;
    n->next = t->notifies;
    t->notifies = n;
    n->open = 2;
    (void)ip_to_sockaddr(&target->ip, target->port, &n->to);
    (void)ip_text(&target->ip, n->target);
    (void)name_to_text(zone, n->zone);
    write_message(n, zone);
    n->udp.data = n;
    n->timer.data = n;
    uv_udp_init_ex(t->loop, &n->udp, target->ip.family == 6 ? AF_INET6 : AF_INET);
    uv_timer_init(t->loop, &n->timer);
    if (rule->source.family == target->ip.family) {
        (void)ip_to_sockaddr(&rule->source, 0, &source);
        int code = uv_udp_bind(&n->udp, (struct sockaddr *)&source, 0);
        if (code < 0)
            log_warning("plugin/transfer: send from the address of 'source': %s",
                        uv_strerror(code));
    }
    send_once(n); /* binds the socket, which receiving needs */
    uv_udp_recv_start(&n->udp, on_alloc, on_reply);
    uv_timer_start(&n->timer, on_timer, NOTIFY_TIMEOUT_MS, NOTIFY_TIMEOUT_MS);
}

void transfer_notify(void *transfer, const uint8_t *zone)
{
    struct transfer *t = transfer;
    struct question q;
    name_from_wire(zone, &q.name);
    name_lower(q.lower, q.name.wire, q.name.len);
    int i = zone_set_find(t->zones, &q);
    for (size_t k = 0; i >= 0 && k < t->rules[i]->n; k++)
        if (t->rules[i]->to[k].ip.family)
            start(t, t->rules[i], &t->rules[i]->to[k], zone);
}

void transfer_notify_stop(struct transfer *t)
{
    while (t->notifies)
        finish(t->notifies);
}
