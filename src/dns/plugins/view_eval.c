/* What the functions of view expressions say about a query, and how expressions are worked out. */
#include "dns/plugins/view.h"

#include <string.h>

static struct view_value text_value(const char *text)
{
    return (struct view_value){ .type = VIEW_TEXT, .text = text, .len = strlen(text) };
}

static struct view_value number(int64_t n)
{
    return (struct view_value){ .type = VIEW_NUMBER, .number = n };
}

static struct view_value truth(bool b)
{
    return (struct view_value){ .type = VIEW_BOOL, .number = b };
}

/* ---- functions ---- */

static struct view_value call_name(struct query *q, const struct view_node *n)
{
    char *out = arena_alloc(&q->arena, NAME_TEXT_MAX);
    (void)n;
    return text_value(name_to_text(q->msg.q.lower, out));
}

static struct view_value call_type(struct query *q, const struct view_node *n)
{
    (void)n;
    return text_value(rr_type_text(q->msg.q.type, arena_alloc(&q->arena, 16)));
}

static struct view_value call_class(struct query *q, const struct view_node *n)
{
    (void)n;
    return text_value(rr_class_text(q->msg.q.class, arena_alloc(&q->arena, 16)));
}

static struct view_value call_proto(struct query *q, const struct view_node *n)
{
    (void)n;
    return text_value(q->transport == TRANSPORT_UDP ? "udp" : "tcp");
}

static struct view_value ip_value(struct query *q, const struct ip *ip)
{
    return text_value(ip_text(ip, arena_alloc(&q->arena, IP_TEXT_MAX)));
}

static struct view_value call_client_ip(struct query *q, const struct view_node *n)
{
    struct ip ip = query_client(q);
    (void)n;
    return ip_value(q, &ip);
}

static struct view_value call_server_ip(struct query *q, const struct view_node *n)
{
    struct ip ip = query_server(q);
    (void)n;
    return ip_value(q, &ip);
}

static struct view_value port_value(struct query *q, uint16_t port)
{
    return text_value(arena_printf(&q->arena, "%u", port));
}

static struct view_value call_port(struct query *q, const struct view_node *n)
{
    (void)n;
    return port_value(q, port_of_sockaddr((const struct sockaddr *)&q->peer));
}

static struct view_value call_server_port(struct query *q, const struct view_node *n)
{
    (void)n;
    return port_value(q, query_server_port(q));
}

static struct view_value call_id(struct query *q, const struct view_node *n)
{
    (void)n;
    return number(q->msg.id);
}

static struct view_value call_opcode(struct query *q, const struct view_node *n)
{
    (void)n;
    return number(flags_opcode(q->msg.flags));
}

static struct view_value call_size(struct query *q, const struct view_node *n)
{
    (void)n;
    return number((int64_t)q->msg.size);
}

/* What the reply may have, as the reference has it: 65535 over TCP, at least 512 over UDP. */
static struct view_value call_bufsize(struct query *q, const struct view_node *n)
{
    (void)n;
    if (q->transport != TRANSPORT_UDP)
        return number(MSG_MAX);
    return number(q->msg.edns.present ? MAX(q->msg.edns.udp_size, MSG_UDP_MIN) : MSG_UDP_MIN);
}

static struct view_value call_do(struct query *q, const struct view_node *n)
{
    (void)n;
    return truth(q->msg.edns.present && q->msg.edns.do_bit);
}

/* An address or network that is none is in nothing. */
static struct view_value call_incidr(struct query *q, const struct view_node *n)
{
    struct ip ip, client = query_client(q);
    struct ip_prefix made;
    const struct ip_prefix *prefix = n->prefix;
    if (n->a->call == call_client_ip)
        ip = client;
    else if (ip_parse(view_eval(n->a, q).text, &ip) < 0)
        return truth(false);
    if (!prefix && ip_prefix_parse(view_eval(n->b, q).text, &made) < 0)
        return truth(false);
    return truth(ip_prefix_contains(prefix ? prefix : &made, &ip));
}

static struct view_value call_metadata(struct query *q, const struct view_node *n)
{
    const char *value = metadata_value(n->metadata, q, view_eval(n->a, q).text);
    return text_value(value ? value : "");
}

static const struct view_function functions[] = {
    { "name", call_name, VIEW_TEXT, 0 },
    { "type", call_type, VIEW_TEXT, 0 },
    { "class", call_class, VIEW_TEXT, 0 },
    { "proto", call_proto, VIEW_TEXT, 0 },
    { "client_ip", call_client_ip, VIEW_TEXT, 0 },
    { "port", call_port, VIEW_TEXT, 0 },
    { "server_ip", call_server_ip, VIEW_TEXT, 0 },
    { "server_port", call_server_port, VIEW_TEXT, 0 },
    { "id", call_id, VIEW_NUMBER, 0 },
    { "opcode", call_opcode, VIEW_NUMBER, 0 },
    { "size", call_size, VIEW_NUMBER, 0 },
    { "bufsize", call_bufsize, VIEW_NUMBER, 0 },
    { "do", call_do, VIEW_BOOL, 0 },
    { "incidr", call_incidr, VIEW_BOOL, 2 },
    { "metadata", call_metadata, VIEW_TEXT, 1 },
};

const struct view_function *view_function_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
        if (strlen(functions[i].name) == len && memcmp(functions[i].name, name, len) == 0)
            return &functions[i];
    return NULL;
}

/* ---- operators ---- */

static int compare(const struct view_value *a, const struct view_value *b)
{
    if (a->type != VIEW_TEXT)
        return (a->number > b->number) - (a->number < b->number);
    int order = memcmp(a->text, b->text, MIN(a->len, b->len));
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static bool in_list(const struct view_node *n, const struct view_value *a)
{
    for (unsigned i = 0; i < n->n_list; i++)
        if (compare(a, &n->list[i]) == 0)
            return true;
    return false;
}

static bool text_operator(const struct view_node *n, const struct view_value *a,
                          const struct view_value *b)
{
    switch (n->op) {
    case VIEW_STARTS:
        return a->len >= b->len && memcmp(a->text, b->text, b->len) == 0;
    case VIEW_ENDS:
        return a->len >= b->len && memcmp(a->text + a->len - b->len, b->text, b->len) == 0;
    default:
        return memmem(a->text, a->len, b->text, b->len) != NULL;
    }
}

static bool order_operator(enum view_op op, int order)
{
    switch (op) {
    case VIEW_EQUAL:
        return order == 0;
    case VIEW_DIFFERENT:
        return order != 0;
    case VIEW_LESS:
        return order < 0;
    case VIEW_AT_MOST:
        return order <= 0;
    case VIEW_MORE:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool binary(const struct view_node *n, struct query *q)
{
    struct view_value a = view_eval(n->a, q);
    if (n->op == VIEW_AND || n->op == VIEW_OR) {
        if (a.number == (n->op == VIEW_OR))
            return a.number;
        return view_eval(n->b, q).number;
    }
    if (n->op == VIEW_IN)
        return in_list(n, &a);
    if (n->op == VIEW_MATCHES)
        return regex_match(n->regex, a.text, a.len, NULL);
    struct view_value b = view_eval(n->b, q);
    if (n->op >= VIEW_STARTS)
        return text_operator(n, &a, &b);
    return order_operator(n->op, compare(&a, &b));
}

struct view_value view_eval(const struct view_node *n, struct query *q)
{
    if (n->op == VIEW_LITERAL)
        return n->literal;
    if (n->op == VIEW_CALL)
        return n->call(q, n);
    if (n->op == VIEW_NOT)
        return truth(!view_eval(n->a, q).number);
    return truth(binary(n, q));
}
