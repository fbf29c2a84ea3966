#include "base/ip.h"

#include "base/err.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int ip_parse(const char *text, struct ip *ret_ip)
{
    struct ip ip = { .family = 4 };
    if (inet_pton(AF_INET, text, ip.bytes) == 1) {
        *ret_ip = ip;
        return 0;
    }
    ip.family = 6;
    if (inet_pton(AF_INET6, text, ip.bytes) != 1)
        return ERR_PARSE;
    *ret_ip = ip;
    return 0;
}

int ip_parse_sloppy(const char *text, struct ip *ret_ip)
{
    unsigned a, b, c, d;
    char tail;
    if (ip_parse(text, ret_ip) == 0) /* nearly all are */
        return 0;
    if (strspn(text, "0123456789.") != strlen(text))
        return ERR_PARSE;
    if (sscanf(text, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &tail) != 4)
        return ERR_PARSE;
    if (a > 255 || b > 255 || c > 255 || d > 255)
        return ERR_PARSE;
    *ret_ip =
        (struct ip){ .family = 4, .bytes = { (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d } };
    return 0;
}

char *ip_text(const struct ip *ip, char out[IP_TEXT_MAX])
{
    out[0] = 0;
    if (ip->family)
        (void)inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, out, IP_TEXT_MAX);
    return out;
}

char *ip_port_text(const struct ip *ip, uint16_t port, char out[IP_PORT_TEXT_MAX])
{
    char text[IP_TEXT_MAX];
    (void)snprintf(out, IP_PORT_TEXT_MAX, ip->family == 6 ? "[%s]:%u" : "%s:%u", ip_text(ip, text),
                   port);
    return out;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, ip_len(a)) == 0;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, ip_len(a));
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t v6[16] = { [15] = 1 };
    return ip->family == 4 ? ip->bytes[0] == 127 : ip->family == 6 && !memcmp(ip->bytes, v6, 16);
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zero[16];
    return ip->family && !memcmp(ip->bytes, zero, ip_len(ip));
}

static void mask_host_bits(struct ip_prefix *p)
{
    for (size_t i = 0; i < ip_len(&p->ip); i++) {
        size_t first = i * 8;
        if (first >= p->bits)
            p->ip.bytes[i] = 0;
        else if (first + 8 > p->bits)
            p->ip.bytes[i] &= (uint8_t)(0xff << (first + 8 - p->bits));
    }
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret)
{
    char addr[IP_TEXT_MAX];
    const char *slash = strchr(text, '/');
    struct ip_prefix p;
    long bits;
    if (!slash || (size_t)(slash - text) >= sizeof addr)
        return ERR_PARSE;
    memcpy(addr, text, (size_t)(slash - text));
    addr[slash - text] = 0;
    if (ip_parse(addr, &p.ip) < 0)
        return ERR_PARSE;
    if (str_to_long(slash + 1, 0, 8 * (long)ip_len(&p.ip), &bits) < 0)
        return ERR_PARSE;
    p.bits = (uint8_t)bits;
    mask_host_bits(&p);
    *ret = p;
    return 0;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip)
{
    if (p->ip.family != ip->family)
        return false;
    struct ip_prefix other = { .ip = *ip, .bits = p->bits };
    mask_host_bits(&other);
    return ip_equal(&other.ip, &p->ip);
}

struct ip ip_of_sockaddr(const struct sockaddr *sa)
{
    struct ip ip = { 0 };
    if (sa->sa_family == AF_INET) {
        ip.family = 4;
        memcpy(ip.bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(a);
        ip.family = mapped ? 4 : 6;
        memcpy(ip.bytes, a->s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    }
    return ip;
}

uint16_t port_of_sockaddr(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)sa)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
    return 0;
}

socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ret_sa)
{
    memset(ret_sa, 0, sizeof *ret_sa);
    if (ip->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_sa;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, ip->bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_sa;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, ip->bytes, 16);
    return sizeof *in6;
}

int ip_port_parse(const char *text, uint16_t default_port, struct ip *ret_ip, uint16_t *ret_port)
{
    char host[IP_TEXT_MAX];
    const char *start = text, *end = text + strlen(text), *port = NULL;
    long value = default_port;
    struct ip ip;
    if (*text == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return ERR_PARSE;
        port = end[1] ? end + 2 : NULL;
    } else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
        port = end + 1;
    }
    if ((size_t)(end - start) >= sizeof host)
        return ERR_PARSE;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = 0;
    if (ip_parse(host, &ip) < 0 || (port && str_to_long(port, 0, 65535, &value) < 0))
        return ERR_PARSE;
    *ret_ip = ip;
    *ret_port = (uint16_t)value;
    return 0;
}
