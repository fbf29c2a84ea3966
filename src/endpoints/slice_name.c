#include "endpoints/slice_name.h"

#include "base/hash.h"

#include <string.h>

const char *slice_name(struct arena *a, const char *ns, const char *service, unsigned counter)
{
    const char *seed = arena_printf(a, "%s/%s/%u", ns, service, counter);
    unsigned h = (unsigned)(hash_stable(seed, strlen(seed)) >> 20) & 0xfffff;
    return arena_printf(a, "%s-%05x", service, h);
}
