#include "explain/watch_line.h"

#include "base/json.h"
#include "base/table.h"
#include "explain/dns_packet.h"

#include <string.h>
#include <time.h>

#define WHO_MAX  400
#define CELL_MAX 1200

static const char *flow_text(const struct watch_line *l)
{
    static const char *const texts[] = { "dns", "tcp", "udp" };
    return l->tcp ? "dns/tcp" : texts[l->kind];
}

static bool is_answer(const struct watch_line *l)
{
    return l->kind == WATCH_DNS && l->result == WATCH_OK;
}

static const char *result_text(const struct watch_line *l, char buf[24])
{
    return is_answer(l) ? dns_packet_rcode(l->rcode, l->n_records, buf)
                        : watch_result_text(l->result);
}

/* Where it ended: by the connection table; where it went, if that is nobody's virtual address. */
static bool end_of(const struct watch_line *l, const struct addressbook *b, struct ip *ret_ip,
                   uint16_t *ret_port)
{
    bool known = l->reply.from.family;
    *ret_ip = known ? l->reply.from : l->asked.to;
    *ret_port = known ? l->reply.from_port : l->asked.to_port;
    const struct address_owner *o = addressbook_find(b, ret_ip);
    return known || (o && (o->pod || (o->node && !o->service)));
}

/* ---- for people ---- */

static const char *const heads[WATCH_COLUMNS] = { "time", "flow",       "name", "type",
                                                  "to",   "arrives at", "ms",   "result" };

static void put_cell(struct watch_columns *c, int column, enum table_tone tone, const char *text,
                     FILE *out)
{
    bool last = column == WATCH_COLUMNS - 1, right = column == WATCH_COLUMNS - 2;
    int width = text_width(text), room = MAX(c->width[column], width) - width;
    const char *colour = tone_begin(out, tone);
    c->width[column] += MAX(width - c->width[column], 0);
    (void)fprintf(out, "%*s%s%s%s%*s", right ? room : 0, "", colour, text, *colour ? TONE_END : "",
                  right || last ? 0 : room, "");
    (void)fputs(last ? "\n" : "  ", out);
}

void watch_line_heads(struct watch_columns *c, FILE *out)
{
    static const int widths[WATCH_COLUMNS] = { 12, 4, 30, 4, 24, 32, 7, 0 };
    memcpy(c->width, widths, sizeof widths);
    for (int i = 0; i < WATCH_COLUMNS; i++)
        put_cell(c, i, TABLE_STRONG, heads[i], out);
}

static void put_who(const struct addressbook *b, const struct ip *ip, uint16_t port,
                    char out[WHO_MAX])
{
    const struct address_owner *o = addressbook_find(b, ip);
    char text[IP_PORT_TEXT_MAX];
    ip_port_text(ip, port, text);
    if (o && o->pod)
        (void)snprintf(out, WHO_MAX, "%s %s", o->pod, text);
    else if (o && o->node)
        (void)snprintf(out, WHO_MAX, "node %s %s", o->node, text);
    else
        (void)snprintf(out, WHO_MAX, "%s", text);
}

static void put_to(const struct watch_line *l, const struct addressbook *b, char out[WHO_MAX])
{
    const struct tuple *t = &l->asked;
    const char *service = addressbook_service(b, &t->to, t->to_port, t->protocol);
    char ip[IP_TEXT_MAX], who[WHO_MAX - 6];
    if (l->incoming) {
        put_who(b, &t->from, t->from_port, out);
        (void)snprintf(who, sizeof who, "%s", out);
        (void)snprintf(out, WHO_MAX, "from %s", who);
    } else if (service) {
        (void)snprintf(out, WHO_MAX, "%s %s", service, ip_text(&t->to, ip));
    } else {
        (void)ip_port_text(&t->to, t->to_port, out);
    }
}

static void put_end(const struct watch_line *l, const struct addressbook *b, char out[WHO_MAX])
{
    struct ip ip;
    uint16_t port;
    if (end_of(l, b, &ip, &port))
        put_who(b, &ip, port, out);
    else
        (void)snprintf(out, WHO_MAX, "-");
}

static void put_result(const struct watch_line *l, char out[CELL_MAX])
{
    char buf[24];
    int n =
        snprintf(out, CELL_MAX, "%s%s%s", result_text(l, buf), *l->answer ? " " : "", l->answer);
    if (l->attempts > 1 && n >= 0 && n < CELL_MAX)
        (void)snprintf(out + n, CELL_MAX - (size_t)n, " (sent %u times)", l->attempts);
}

static enum table_tone tone_of(const struct watch_line *l)
{
    if (l->result != WATCH_OK)
        return TABLE_BAD;
    return is_answer(l) && (l->rcode || !l->n_records) ? TABLE_WARN : TABLE_GOOD;
}

/* Text from outside may not steer the terminal. */
static char *made_plain(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    return text;
}

void watch_line_print(const struct watch_line *l, const struct addressbook *b,
                      struct watch_columns *c, FILE *out)
{
    char cell[CELL_MAX], who[WHO_MAX], type[16];
    struct tm tm;
    time_t seconds = (time_t)(l->time_ns / 1000000000);
    int n = (int)strftime(cell, sizeof cell, "%H:%M:%S", localtime_r(&seconds, &tm));
    (void)snprintf(cell + n, sizeof cell - (size_t)n, ".%03d",
                   (int)(l->time_ns % 1000000000 / 1000000));
    put_cell(c, 0, TABLE_DIM, cell, out);
    put_cell(c, 1, TABLE_PLAIN, flow_text(l), out);
    (void)snprintf(cell, sizeof cell, "%s", l->name ? l->name : "-");
    put_cell(c, 2, TABLE_PLAIN, made_plain(cell), out);
    put_cell(c, 3, TABLE_PLAIN, l->name ? rr_type_text(l->type, type) : "-", out);
    put_to(l, b, who);
    put_cell(c, 4, TABLE_PLAIN, made_plain(who), out);
    put_end(l, b, who);
    put_cell(c, 5, TABLE_PLAIN, made_plain(who), out);
    (void)snprintf(cell, sizeof cell, "%.2f", (double)l->took_ns / 1e6);
    put_cell(c, 6, TABLE_PLAIN, l->took_ns < 0 ? "-" : cell, out);
    put_result(l, cell);
    put_cell(c, 7, tone_of(l), made_plain(cell), out);
}

/* ---- for programs ---- */

static void put_member(struct strbuf *out, const char *key, const char *text)
{
    strbuf_putc(out, ',');
    json_put_member(out, key, text);
}

static void put_place(struct strbuf *out, const char *key, const struct addressbook *b,
                      const struct ip *ip, uint16_t port, uint8_t protocol)
{
    const struct address_owner *o = addressbook_find(b, ip);
    char text[IP_TEXT_MAX];
    strbuf_printf(out, ",\"%s\":{", key);
    json_put_member(out, "ip", ip_text(ip, text));
    strbuf_printf(out, ",\"port\":%u", port);
    put_member(out, "pod", o ? o->pod : NULL);
    put_member(out, "node", o ? o->pod ? o->pod_node : o->node : NULL);
    put_member(out, "service", addressbook_service(b, ip, port, protocol));
    strbuf_putc(out, '}');
}

static void put_time(struct strbuf *out, int64_t ns)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)(ns / 1000000000);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    strbuf_printf(out, "\"time\":\"%s.%06dZ\"", text, (int)(ns % 1000000000 / 1000));
}

static void put_query(const struct watch_line *l, struct strbuf *out)
{
    char type[16], buf[24];
    put_member(out, "name", l->name);
    put_member(out, "type", l->name ? rr_type_text(l->type, type) : NULL);
    if (l->kind != WATCH_DNS)
        return;
    put_member(out, "rcode", is_answer(l) ? dns_packet_rcode(l->rcode, 1, buf) : NULL);
    put_member(out, "answer", l->answer);
}

void watch_line_json(const struct watch_line *l, const struct addressbook *b, struct strbuf *out)
{
    const struct tuple *t = &l->asked;
    struct ip end;
    uint16_t port;
    char buf[24];
    strbuf_putc(out, '{');
    put_time(out, l->time_ns);
    put_member(out, "flow", flow_text(l));
    put_member(out, "direction", l->incoming ? "in" : "out");
    put_query(l, out);
    put_place(out, "from", b, &t->from, t->from_port, t->protocol);
    put_place(out, "to", b, &t->to, t->to_port, t->protocol);
    if (end_of(l, b, &end, &port))
        put_place(out, "arrivesAt", b, &end, port, t->protocol);
    else
        strbuf_puts(out, ",\"arrivesAt\":null");
    if (l->took_ns >= 0)
        strbuf_printf(out, ",\"ms\":%.3f", (double)l->took_ns / 1e6);
    else
        strbuf_puts(out, ",\"ms\":null");
    strbuf_printf(out, ",\"attempts\":%u", l->attempts);
    put_member(out, "result", result_text(l, buf));
    strbuf_puts(out, "}\n");
}
