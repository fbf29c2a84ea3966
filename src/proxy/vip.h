/* What the proxy serves: a virtual address (cluster IP, protocol, port) and the backends behind it.
 *
 * This is the whole vocabulary between the model, which derives it from Kubernetes objects, and the
 * renderers, which never see a Kubernetes object. Both types are plain bytes, so that they can be
 * hashed, compared and sorted with memcmp(); padding is explicit and zero. */
#pragma once

#include "kube/object.h"

#include <string.h>

/* numgen's modulus and the slots of one virtual address; further backends are left out by name. */
#define VIP_BACKENDS_MAX 65535

struct vip_key {
    uint8_t family;   /* 4 or 6 */
    uint8_t protocol; /* enum protocol */
    uint16_t port;    /* host order */
    uint8_t ip[16];   /* network order; IPv4 uses the first four, the rest is zero */
};
_Static_assert(sizeof(struct vip_key) == 20, "vip_key is hashed as bytes");

struct backend {
    uint8_t ip[16];
    uint16_t port;
    /* On this node, or nobody said where: only such a backend can meet itself through this node's
     * rules (hairpin). Not part of the identity. */
    uint16_t maybe_local;
};
_Static_assert(sizeof(struct backend) == 20, "backend is compared as bytes");

#define BACKEND_ID_LEN 18 /* ip and port */

/* Immutable; one allocation. */
struct vip {
    struct vip_key key;
    const char *owner;   /* "namespace/name:port", or "namespace/name" for a port without name */
    uint32_t owner_len;  /* of the "namespace/name" in it */
    uint32_t n_backends; /* 0: the Service has no endpoint, clients are rejected */
    struct backend backends[]; /* sorted by ip and port, each once */
};

/* A step from one state to the next: what is behind key from now on, NULL: nothing. */
struct vip_change {
    struct vip_key key;
    const struct vip *vip;
};

static inline int backend_compare(const struct backend *a, const struct backend *b)
{
    int ret = memcmp(a->ip, b->ip, sizeof a->ip);
    return ret != 0 ? ret : (a->port > b->port) - (a->port < b->port);
}

static inline struct ip ip_of_bytes(uint8_t family, const uint8_t bytes[16])
{
    struct ip ip = { .family = family };
    memcpy(ip.bytes, bytes, sizeof ip.bytes);
    return ip;
}
