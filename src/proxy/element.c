#include "proxy/element.h"

#include "base/mem.h"

#include <stdio.h>

struct map_shape {
    const char *name, *key, *value, *comment;
};

static const struct map_shape shapes[MAPS] = {
    [SET_CLUSTER_IPS] = { "cluster-ips", "a", NULL, "every cluster IP" },
    [SET_NODE_IPS] = { "node-ips", "a", NULL, "addresses at which node ports are open" },
    [SET_SERVICE_RANGES] = { "service-ranges", "r", NULL, "what cluster IPs are taken from" },
    [SET_HAIRPIN] = { "hairpin", "aa", NULL, "endpoints of this node, to find who meets itself" },
    [SET_GUARDED] = { "guarded", "apo", NULL, "load balancer addresses with source ranges" },
    [SET_SOURCES] = { "sources", "apos", NULL, "whom they let in" },
    [SET_AFFINITY] = { "affinity-endpoints", "hE", NULL, "where clients may be kept" },
    [MAP_SERVICES] = { "services", "apo", "h", "where a Service is : which one it is" },
    [MAP_NODE_PORTS] = { "node-ports", "po", "h", "the same for node ports" },
    [MAP_LISTS] = { "lists", "h", "v", "which Service : how to choose an endpoint" },
    [MAP_DRAWS] = { "draws", "h", "v",
                    "which Service : how many endpoints, when clients are kept" },
    [MAP_REMEMBER] = { "remember", "h", "v", "which Service : how long clients are kept" },
    [MAP_NO_ENDPOINTS] = { "no-endpoints", "apo", "v", "Services nobody stands behind" },
    [MAP_NO_NODE_ENDPOINTS] = { "no-node-endpoints", "po", "v", "the same for node ports" },
    [MAP_ENDPOINTS_TCP] = { "endpoints-tcp", "nh", "e", "slot . Service : endpoint . its port" },
    [MAP_ENDPOINTS_UDP] = { "endpoints-udp", "nh", "e", "slot . Service : endpoint . its port" },
    [MAP_ENDPOINTS_SCTP] = { "endpoints-sctp", "nh", "e", "slot . Service : endpoint . its port" },
};

const char *map_name(enum map_id map)
{
    return shapes[map].name;
}

const char *map_key_columns(enum map_id map)
{
    return shapes[map].key;
}

const char *map_value_column(enum map_id map)
{
    return shapes[map].value;
}

bool map_is_set(enum map_id map)
{
    return !shapes[map].value;
}

const char *family_word(uint8_t family)
{
    return family == 4 ? "ip" : "ip6";
}

const char *protocol_word(uint8_t protocol)
{
    static const char *const words[] = { "tcp", "udp", "sctp" };
    return words[protocol];
}

static const char *column_type(char column, uint8_t family)
{
    switch (column) {
    case 'a':
    case 's':
    case 'r':
        return family == 4 ? "ipv4_addr" : "ipv6_addr";
    case 'p':
        return "inet_proto";
    case 'o':
        return "inet_service";
    case 'h':
        return "classid";
    case 'e':
    case 'E':
        return family == 4 ? "ipv4_addr . inet_service" : "ipv6_addr . inet_service";
    default:
        return "verdict";
    }
}

/* nft has no name for the type of a drawn number, so these are declared by an example. */
static void print_endpoints_type(enum map_id map, uint8_t family, struct strbuf *out)
{
    const char *ip = family_word(family);
    strbuf_printf(out, "typeof numgen random mod 65536 . meta priority : %s daddr . %s dport", ip,
                  protocol_word((uint8_t)(map - MAP_ENDPOINTS_TCP)));
}

void map_print_declaration(enum map_id map, uint8_t family, struct strbuf *out)
{
    const struct map_shape *m = &shapes[map];
    strbuf_puts(out, "\t\t");
    if (map >= MAP_ENDPOINTS_TCP) {
        print_endpoints_type(map, family, out);
    } else {
        strbuf_puts(out, "type ");
        for (const char *c = m->key; *c; c++)
            strbuf_printf(out, "%s%s", c == m->key ? "" : " . ", column_type(*c, family));
        if (m->value)
            strbuf_printf(out, " : %s", column_type(*m->value, family));
    }
    if (map == SET_SOURCES || map == SET_SERVICE_RANGES)
        strbuf_puts(out, "\n\t\tflags interval");
    strbuf_printf(out, "\n\t\tcomment \"%s\"\n", m->comment);
}

static void print_ip(uint8_t family, const uint8_t bytes[16], struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(family, bytes);
    strbuf_puts(out, ip_text(&ip, text));
}

void handle_print(uint32_t handle, struct strbuf *out)
{
    strbuf_printf(out, "%x:%x", handle >> 16, handle & 0xffff);
}

void verdict_name(const struct element *e, char *out, size_t size)
{
    out[0] = '\0';
    switch ((enum verdict)e->verdict) {
    case VERDICT_DRAW:
        (void)snprintf(out, size, "draw%u-%s", e->n, protocol_word((uint8_t)e->to_port));
        break;
    case VERDICT_REMEMBER:
        (void)snprintf(out, size, "remember-%u", e->n);
        break;
    case VERDICT_STICKY:
        (void)snprintf(out, size, "sticky");
        break;
    case VERDICT_REJECT:
        (void)snprintf(out, size, "reject-chain");
        break;
    case VERDICT_DROP:
    case VERDICT_NONE:
        break;
    }
}

/* By writing what it could be, and comparing. */
bool verdict_parse(const char *chain, struct element *ret)
{
    char word[8] = "", name[VERDICT_NAME_MAX];
    ret->verdict = VERDICT_NONE;
    ret->n = ret->to_port = 0;
    if (sscanf(chain, "draw%u-%4s", &ret->n, word) == 2) {
        ret->verdict = VERDICT_DRAW;
        while (ret->to_port + 1 < PROTOCOLS &&
               strcmp(protocol_word((uint8_t)ret->to_port), word) != 0)
            ret->to_port++;
    } else if (sscanf(chain, "remember-%u", &ret->n) == 1) {
        ret->verdict = VERDICT_REMEMBER;
    } else {
        ret->verdict = strcmp(chain, "sticky") == 0 ? VERDICT_STICKY : VERDICT_REJECT;
    }
    verdict_name(ret, name, sizeof name);
    return strcmp(name, chain) == 0;
}

void verdict_print(const struct element *e, struct strbuf *out)
{
    char name[VERDICT_NAME_MAX];
    verdict_name(e, name, sizeof name);
    strbuf_puts(out, name);
}

static void print_verdict(const struct element *e, struct strbuf *out)
{
    if (e->verdict == VERDICT_DROP) {
        strbuf_puts(out, "drop");
        return;
    }
    strbuf_puts(out, e->verdict == VERDICT_REMEMBER ? "jump " : "goto ");
    verdict_print(e, out);
}

static void print_range(uint8_t family, const uint8_t ip[16], uint32_t bits, struct strbuf *out)
{
    print_ip(family, ip, out);
    if (bits != (family == 4 ? 32 : 128))
        strbuf_printf(out, "/%u", bits);
}

static void print_column(char column, const struct element *e, uint8_t family, struct strbuf *out)
{
    switch (column) {
    case 'a':
        print_ip(family, e->ip, out);
        break;
    case 's':
        print_range(family, e->source, e->bits, out);
        break;
    case 'r':
        print_range(family, e->ip, e->bits, out);
        break;
    case 'p':
        strbuf_puts(out, protocol_word(e->protocol));
        break;
    case 'o':
        strbuf_printf(out, "%u", e->port);
        break;
    case 'E':
        print_ip(family, e->ip, out);
        strbuf_printf(out, " . %u", e->port);
        break;
    case 'h':
        handle_print(e->handle, out);
        break;
    default:
        strbuf_printf(out, "%u", e->slot);
    }
}

void element_print(const struct element *e, uint8_t family, bool with_value, struct strbuf *out)
{
    const struct map_shape *m = &shapes[e->map];
    for (const char *c = m->key; *c; c++) {
        if (c != m->key)
            strbuf_puts(out, " . ");
        print_column(*c, e, family, out);
    }
    if (!with_value || !m->value)
        return;
    strbuf_puts(out, " : ");
    if (*m->value == 'v') {
        print_verdict(e, out);
    } else if (*m->value == 'h') {
        handle_print(e->n, out);
    } else {
        print_ip(family, e->to, out);
        strbuf_printf(out, " . %u", e->to_port);
    }
}
