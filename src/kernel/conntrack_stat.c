#include "kernel/conntrack_stat.h"

#include <stdlib.h>
#include <string.h>

static unsigned column_of(char *header, const char *name)
{
    char *rest = NULL;
    unsigned n = 0;
    for (char *w = strtok_r(header, " ", &rest); w; w = strtok_r(NULL, " ", &rest), n++)
        if (strcmp(w, name) == 0)
            return n;
    return CONNTRACK_STAT_COLUMNS;
}

static unsigned long number_at(char *row, unsigned column)
{
    char *rest = NULL, *w = strtok_r(row, " ", &rest);
    for (unsigned n = 0; w && n < column; n++)
        w = strtok_r(NULL, " ", &rest);
    return w ? strtoul(w, NULL, 16) : 0;
}

unsigned long conntrack_stat_sum(char *text, const char *name)
{
    char *rest = NULL, *line = strtok_r(text, "\n", &rest);
    unsigned long sum = 0;
    unsigned column = line ? column_of(line, name) : CONNTRACK_STAT_COLUMNS;
    while (column < CONNTRACK_STAT_COLUMNS && (line = strtok_r(NULL, "\n", &rest)))
        sum += number_at(line, column);
    return sum;
}
