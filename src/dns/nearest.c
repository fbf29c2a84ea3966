#include "dns/nearest.h"

#include "base/cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    return MIN(MIN(a, b), c);
}

/* Row by row of the usual table; a swap looks two rows back. */
unsigned edit_distance(const char *a, const char *b, unsigned limit)
{
    unsigned rows[3][NEAREST_WORD];
    size_t n = strlen(a), m = strlen(b);
    if (n >= NEAREST_WORD || m >= NEAREST_WORD || (n > m ? n - m : m - n) > limit)
        return limit + 1;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *two = rows[(i + 1) % 3];
        unsigned best = row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], two[j - 2] + 1);
            best = MIN(best, row[j]);
        }
        if (best > limit + 1) /* a swap may still gain one */
            return limit + 1;
    }
    return MIN(rows[n % 3][m], limit + 1);
}

void nearest_init(struct nearest *n, const char *wanted, bool any)
{
    *n = (struct nearest){ 0 };
    (void)snprintf(n->wanted, sizeof n->wanted, "%s", wanted);
    n->limit = any ? NEAREST_WORD : 1 + (unsigned)strlen(n->wanted) / 4;
}

void nearest_offer(struct nearest *n, const char *candidate, const char *shown)
{
    n->cut |= n->looked == NEAREST_LOOKED_MAX;
    if (n->cut)
        return;
    n->looked++;
    unsigned distance = edit_distance(n->wanted, candidate, n->limit), at = 0;
    if (distance > n->limit)
        return;
    while (at < n->n &&
           (n->items[at].distance < distance ||
            (n->items[at].distance == distance && strcmp(n->items[at].text, shown) < 0)))
        at++;
    if (at == NEAREST_MAX || (at < n->n && strcmp(n->items[at].text, shown) == 0))
        return;
    n->n = MIN(n->n + 1, (unsigned)NEAREST_MAX);
    memmove(&n->items[at + 1], &n->items[at], (n->n - 1 - at) * sizeof n->items[0]);
    (void)snprintf(n->items[at].text, sizeof n->items[at].text, "%s", shown);
    n->items[at].distance = distance;
}
