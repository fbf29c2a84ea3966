/* The parser of zone files, shared by its files only (zone_file.c, zone_record.c, zone_generate.c).
 */
#pragma once

#include "base/str.h"
#include "dns/zone_file.h"

struct zone_reader {
    struct zone_sink *sink;
    const char *file;
    const char *p, *end;
    int line;       /* that p is on */
    int entry_line; /* that the entry began on */
    unsigned depth; /* of $INCLUDE */
    bool blank;     /* the entry begins with a space: the owner is left out */
    bool has_owner, has_ttl;
    bool ttl_fixed; /* by $TTL; else an entry without one has the last that was written */
    uint32_t ttl;
    struct name owner, origin;
    struct strbuf entry; /* one line: without comments, parentheses and line ends */
};

/* The next word of an entry, in place; false: there is none. */
bool zone_word(const char **at, const char **ret_word, size_t *ret_len);
/* "3600" or "1h30m". */
bool zone_seconds(const char *p, size_t n, uint32_t *ret);
int zone_error(const struct zone_reader *r, struct err *e, const char *fmt, ...) printf_like(3, 4);

/* One record as text; blank: the owner is left out. */
int zone_record_read(struct zone_reader *r, const char *text, bool blank, struct err *e);
/* What follows "$GENERATE" in an entry. */
int zone_generate(struct zone_reader *r, const char *text, struct err *e);
