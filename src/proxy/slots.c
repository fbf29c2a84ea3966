#include "proxy/slots.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    return backend_compare(a, b);
}

void slots_plan(const struct backend *old, uint32_t n_old, const struct backend *new, uint32_t n,
                struct backend *out)
{
    if (n_old == 0 && n > 0)
        memcpy(out, new, n * sizeof *out);
    if (n_old == 0 || n == 0)
        return;
    bool *placed = xcalloc(n, sizeof *placed); /* by place in new */
    bool *filled = xcalloc(n, sizeof *filled); /* by slot */
    for (uint32_t i = 0; i < n_old && i < n; i++) {
        const struct backend *b = bsearch(&old[i], new, n, sizeof *new, compare);
        if (!b)
            continue;
        out[i] = *b;
        filled[i] = placed[b - new] = true;
    }
    for (uint32_t i = 0, next = 0; i < n; i++) {
        if (filled[i])
            continue;
        while (placed[next])
            next++;
        out[i] = new[next++];
    }
    free(placed);
    free(filled);
}
