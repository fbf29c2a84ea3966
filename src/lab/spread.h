/* Many requests of a pod to one URL, and which pods answered. */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SPREAD_PODS_MAX 16

struct spread_count {
    char pod[64];
    uint64_t count;
};

struct spread {
    struct spread_count pods[SPREAD_PODS_MAX]; /* by name */
    unsigned n;
    uint64_t answered, failed;
    int64_t ns;
};

/* By an unmodified curl inside of the pod with this process; each request is a connection, and
 * gives up when it takes more than `patience` seconds ("0.5"). */
int spread_measure(pid_t client, const char *name, unsigned requests, const char *patience,
                   struct spread *ret, struct err *e);
uint64_t spread_of(const struct spread *s, const char *pod);
void spread_print(const struct spread *s, const char *title, FILE *out);
/* All requests answered, by exactly these pods (NULL at the end), none of them by less than half of
 * its fair share; otherwise an error that says what is wrong. */
int spread_check(const struct spread *s, unsigned requests, const char *const *pods, struct err *e);
