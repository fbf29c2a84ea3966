/* `hosts`: the table of names and addresses that the step reads. Built as a whole from a file and
 * the Corefile's own lines, never changed afterwards, published by RCU. */
#pragma once

#include "base/ht.h"
#include "dns/plugin.h"

#define HOSTS_FILE_MAX (64 << 20) /* bytes */
#define HOSTS_PER_NAME 4000  /* addresses of a name and names of an address that a message holds */
#define HOSTS_LINE_MAX 65536 /* bytes of a line */

/* The addresses of a name. */
struct hosts_name {
    const uint8_t *v4, *v6; /* back to back, as rdata */
    uint16_t n4, n6;
};

/* The names of an address. */
struct hosts_addr {
    const uint8_t *names; /* each behind its length, as rdata of PTR records */
    uint16_t n;
};

struct hosts_table {
    struct arena arena;
    struct ht names; /* lower-case wire -> struct hosts_name */
    struct ht addrs; /* the bytes of struct ip -> struct hosts_addr */
    bool wildcards;  /* some name begins with "*" */
    size_t entries;  /* as the reference counts them: both directions */
};

struct hosts_source {
    const char *name; /* in log lines: the file, or "FILE:LINE" of the Corefile */
    const char *text;
    size_t len;
};

struct hosts_rules {
    const struct zone_set *zones; /* names elsewhere are left out */
    bool reverse;                 /* addresses lead to names too */
};

/* From several texts in hosts(5) format, in order. What cannot be read is left out and logged, the
 * first line of each source by number. */
struct hosts_table *hosts_table_new(const struct hosts_source *sources, size_t n,
                                    const struct hosts_rules *rules);
void hosts_table_free(void *table);
