/* Who has an address, by the objects: the Service, pod or Node behind what is seen in packets. A
 * picture of a store at one moment, that may be made anew when the store has changed. */
#pragma once

#include "base/arena.h"
#include "base/ht.h"
#include "store/store.h"

/* A Service's port at one of its addresses. */
struct address_port {
    const struct address_port *next;
    const char *service; /* "shop/bar:http", "shop/bar:80" where the port has no name */
    uint16_t port;
    uint8_t protocol; /* IPPROTO_* */
};

/* Strings lie in the book. A pod of the host network is its Node. */
struct address_owner {
    const char *pod, *pod_node; /* "shop/bar-1", "node-2"; NULL: no pod */
    const char *node;           /* or NULL */
    const char *service;        /* "shop/bar": this is one of its addresses; or NULL */
    const struct address_port *ports;
};

struct addressbook {
    struct arena arena;
    struct ht by_ip;
    const struct address_port *node_ports; /* of any Node's address */
    uint64_t revision;                     /* of the store that it was made of; 0: of none */
};

void addressbook_init(struct addressbook *b);
void addressbook_done(struct addressbook *b);
/* Nothing happens when the store has not changed since. What was handed out before is gone. */
void addressbook_fill(struct addressbook *b, const struct store *s);
/* NULL: nobody that the objects know of. */
const struct address_owner *addressbook_find(const struct addressbook *b, const struct ip *ip);
/* The Service that is behind that port, by a cluster IP, an external address or a node port; or
 * NULL. */
const char *addressbook_service(const struct addressbook *b, const struct ip *ip, uint16_t port,
                                uint8_t protocol);
