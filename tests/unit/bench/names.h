/* Queries from a text, by the way that the generator takes: a file. */
#pragma once

#include "load_queries.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Returns what queries_read() does. */
static inline int queries_of(const char *text, struct queries *ret)
{
    char path[] = "/tmp/bench-names-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        abort();
    fputs(text, f);
    fclose(f);
    struct err e;
    int code = queries_read(path, 0, ret, &e);
    unlink(path);
    return code;
}
