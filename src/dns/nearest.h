/* Names that exist and are spelled much as one that does not. Pure; the work is bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define NEAREST_MAX        4
#define NEAREST_TEXT       320    /* bytes of what is shown */
#define NEAREST_WORD       64     /* bytes compared: a label; longer words are not compared */
#define NEAREST_LOOKED_MAX 100000 /* candidates; further ones are passed over, and `cut` set */

struct nearest {
    char wanted[NEAREST_WORD];
    unsigned limit; /* edits up to which a candidate counts */
    unsigned looked, n;
    bool cut;
    struct {
        char text[NEAREST_TEXT];
        unsigned distance;
    } items[NEAREST_MAX]; /* the nearest first; equally near ones by text */
};

/* any: every candidate counts, the nearest are kept. Else only what could be a slip of the pen: up
 * to one edit for each four letters, and one. */
void nearest_init(struct nearest *n, const char *wanted, bool any);
/* shown: what stands for it in items; the same text is kept once. */
void nearest_offer(struct nearest *n, const char *candidate, const char *shown);

/* Insertions, deletions, exchanges of a letter and swaps of neighbours that lead from a to b; more
 * than limit: limit + 1. Words of at most NEAREST_WORD - 1 bytes; longer ones are limit + 1 away.
 */
unsigned edit_distance(const char *a, const char *b, unsigned limit);
