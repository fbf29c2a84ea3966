/* A Node's connection table as text: what `conntrack -L` prints, and /proc/net/nf_conntrack. */
#pragma once

#include "base/ip.h"

struct entry {
    uint8_t protocol;           /* IPPROTO_* */
    struct ip from, to, chosen; /* chosen: where it is sent on to */
    uint16_t from_port, to_port, chosen_port;
};

/* Tells each line that is an entry with ports; others are passed over. */
void entries_read(const char *text, void (*fn)(void *ctx, const struct entry *e), void *ctx);
