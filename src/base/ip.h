/* IP addresses and prefixes of both families in one small value.
 *
 * Text is parsed as inet_pton() does; ip_parse_sloppy() also takes the leading zeros that old
 * Kubernetes objects may carry ("010.0.0.1" is 10.0.0.1). Canonical text follows RFC 5952. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_TEXT_MAX 46 /* INET6_ADDRSTRLEN */

struct ip {
    uint8_t family;    /* 4, 6, or 0 for none */
    uint8_t bytes[16]; /* network order; IPv4 uses the first four */
};

struct ip_prefix {
    struct ip ip; /* host bits are zero */
    uint8_t bits;
};

static inline size_t ip_len(const struct ip *ip)
{
    return ip->family == 4 ? 4 : ip->family == 6 ? 16 : 0;
}

int ip_parse(const char *text, struct ip *ret_ip) __attribute__((warn_unused_result));
int ip_parse_sloppy(const char *text, struct ip *ret_ip) __attribute__((warn_unused_result));
/* Writes at most IP_TEXT_MAX bytes; returns `out`. */
char *ip_text(const struct ip *ip, char out[IP_TEXT_MAX]);
#define IP_PORT_TEXT_MAX (IP_TEXT_MAX + 8)
/* "10.0.0.1:53", "[::1]:53"; returns `out`. */
char *ip_port_text(const struct ip *ip, uint16_t port, char out[IP_PORT_TEXT_MAX]);
bool ip_equal(const struct ip *a, const struct ip *b);
int ip_compare(const struct ip *a, const struct ip *b); /* IPv4 first, then by bytes */
bool ip_is_loopback(const struct ip *ip);
bool ip_is_any(const struct ip *ip); /* 0.0.0.0 or ::; no family: false */

/* "10.0.0.0/8"; host bits are masked off. */
int ip_prefix_parse(const char *text, struct ip_prefix *ret) __attribute__((warn_unused_result));
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip);

struct ip ip_of_sockaddr(const struct sockaddr *sa); /* IPv4-mapped IPv6 becomes IPv4 */
uint16_t port_of_sockaddr(const struct sockaddr *sa);
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ret_sa);

/* "A.B.C.D:port", "[v6]:port"; without a port, default_port. Returns 0 or ERR_PARSE. */
int ip_port_parse(const char *text, uint16_t default_port, struct ip *ret_ip, uint16_t *ret_port)
    __attribute__((warn_unused_result));
