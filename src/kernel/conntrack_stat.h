/* The counters of a connection table, as /proc/net/stat/nf_conntrack has them: a line of names, and
 * for each processor one of hexadecimal numbers. */
#pragma once

#define CONNTRACK_STAT_COLUMNS 64 /* further ones are not looked at */

/* The sum of all processors; 0, too, when there is no such column. text is taken apart. */
unsigned long conntrack_stat_sum(char *text, const char *name);
