/* What a Service asks of its proxy beyond the cluster IP: found and put into words, so that nothing
 * is left out in silence. A feature that gets built leaves this list. */
#pragma once

#include "proxy/select.h"

enum feature {
    FEATURE_NODE_PORTS = 1,
    FEATURE_EXTERNAL_IPS = 2,
    FEATURE_LB_ADDRESSES = 4,
    FEATURE_SOURCE_RANGES = 8,
    FEATURE_AFFINITY = 16,
    FEATURE_INTERNAL_LOCAL = 32,
    FEATURE_EXTERNAL_LOCAL = 64,
    FEATURE_HINTS = 128,
};

/* Bits of enum feature. */
unsigned unserved_features(const struct service *s, const struct slice_list *slices);
/* "node ports, session affinity"; returns out. */
const char *unserved_text(unsigned features, char *out, size_t size);
