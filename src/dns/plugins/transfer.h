/* `transfer`: shared by its files only. */
#pragma once

#include "dns/transfer.h"

#define NOTIFY_TRIES      3
#define NOTIFY_TIMEOUT_MS 2000

struct transfer_target {
    struct ip ip; /* family 0: everybody */
    uint16_t port;
};

/* One directive. */
struct transfer_rule {
    struct transfer_target *to;
    size_t n;
    struct ip source; /* of NOTIFY messages; family 0: the system's choice */
};

struct transfer {
    struct transfers shared;
    struct zone_set *zones;
    struct zone_list names;
    const struct transfer_rule **rules; /* by zone's position */
    uv_loop_t *loop;
    struct notify *notifies; /* under way */
};

/* transfer_notify.c: control thread. */
void transfer_notify(void *transfer, const uint8_t *zone);
void transfer_notify_stop(struct transfer *t);
