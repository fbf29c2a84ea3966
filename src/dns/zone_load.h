/* A zone and the file it comes from: reading it aside, publishing it, and reading it again when it
 * has changed. Control thread, but for `zone`, which workers read. */
#pragma once

#include "base/rcu.h"
#include "dns/zone_data.h"

struct zone_slot {
    const char *plugin;               /* in log lines */
    const char *path;                 /* the owner's, as is origin */
    const uint8_t *origin;            /* lower-case wire */
    bool by_mtime;                    /* publish every change of the file, not only of the serial */
    uint64_t told;                    /* a hash of the error that was logged last; 0: all is well */
    _Atomic(struct zone_data *) zone; /* NULL: nothing read so far */
    VEC(struct zone_stamp) files;     /* that the zone was made of */
};

enum zone_loaded { ZONE_UNCHANGED, ZONE_PUBLISHED };

/* Reads the file if it has changed since. Returns enum zone_loaded or a negative code; what was
 * published stays on failure. */
int zone_slot_load(struct zone_slot *s, struct err *e);
/* The same on a timer: what happens is logged, the same failure once. True: a new zone was
 * published. */
bool zone_slot_reload(struct zone_slot *s);
/* The owner has logged that failure of a load himself. */
void zone_slot_told(struct zone_slot *s, const char *error);
/* No readers any more; the slot itself is the caller's. */
void zone_slot_done(struct zone_slot *s);
