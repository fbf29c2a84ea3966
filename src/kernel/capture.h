/* Packets on one link, as they pass, in both directions (AF_PACKET). Nothing is held up or changed.
 *
 * The socket belongs to the network namespace in which it was opened. It sees what passes from then
 * on; the kernel drops copies when they are not read in time. */
#pragma once

#include "base/ip.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CAPTURE_BYTES 2048 /* of each packet; more than an Ethernet frame */

struct capture {
    int fd; /* for poll(); -1: not open */
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

struct packet {
    int64_t time_ns;  /* CLOCK_REALTIME, by the kernel */
    bool outgoing;    /* sent by this namespace; otherwise received */
    bool loopback;    /* on its link `lo`, where sender and receiver are one: told once */
    uint8_t protocol; /* IPPROTO_*; ports for TCP and UDP, payload for these and ICMP errors */
    uint8_t icmp_type, icmp_code; /* of ICMP and ICMPv6 */
    uint8_t tcp_flags;
    uint16_t from_port, to_port;
    struct ip from, to;
    const uint8_t *payload; /* in the buffer given to capture_read(); of an ICMP error the packet
                             * that it is about, cut short */
    size_t payload_len;
};

/* On the link of that name, or all (NULL), in the thread's network namespace. Returns 0 or a
 * negated errno. */
int capture_open(struct capture *c, const char *link) __attribute__((warn_unused_result));
/* On all links of the namespace, and of the packets only what begins and ends flows: DNS, TCP
 * segments with SYN, FIN or RST, the first bytes of UDP datagrams, ICMP. */
int capture_open_flows(struct capture *c) __attribute__((warn_unused_result));
/* And from now on also all whole packets from and to that port. */
int capture_follow(struct capture *c, uint16_t port) __attribute__((warn_unused_result));
void capture_done(struct capture *c);

/* The next IP packet; buf has CAPTURE_BYTES. Returns 1, 0 when there is none now, or a negated
 * errno. Other traffic (ARP, fragments behind the first, broken headers) is passed over. */
int capture_read(struct capture *c, uint8_t *buf, struct packet *ret_packet);
/* How many packets were lost since the last call. */
unsigned capture_lost(struct capture *c);

/* An IP packet from its first byte; false when it is not a whole header of IPv4 or IPv6, or a later
 * fragment. Times and direction are left alone. */
bool packet_parse(const uint8_t *p, size_t len, struct packet *ret_packet);
/* An ICMP error, of either family; the packet that it is about. */
bool packet_icmp_error(const struct packet *p, struct packet *ret_about);
/* Of the ICMP errors the one that says that nobody listens, or that a rule rejects. */
bool packet_is_port_unreachable(const struct packet *p);
