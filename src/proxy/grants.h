/* Who has a front: two Services may claim the same address, protocol and port (or node port), and
 * only one can have it: the first by name. Portals say what they want, and learn in `granted` what
 * they got. */
#pragma once

#include "base/ht.h"
#include "proxy/portal.h"

struct grants {
    struct ht by_front; /* key of the front -> the portals that claim it, first by name in front */
    /* Told when a front is claimed twice, and of every portal whose grants another one changed. */
    void (*conflict)(void *ctx, const struct portal *first, const struct portal *other,
                     const struct front *f);
    void (*moved)(void *ctx, const struct portal *p);
    void *ctx;
};

void grants_done(struct grants *c);
/* The portal must stay where it is until it is taken out. */
void grants_add(struct grants *c, const struct portal *p);
void grants_remove(struct grants *c, const struct portal *p);
