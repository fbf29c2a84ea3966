/* Zone files (RFC 1035 section 5) as a row of records.
 *
 * Understood: $ORIGIN, $TTL, $INCLUDE, $GENERATE, parentheses, comments, quoted strings, names
 * relative to the origin, and records that leave out owner, TTL or class. Class IN only. Errors
 * begin with "FILE:LINE". */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "wire/rr.h"

#include <sys/stat.h>

#define ZONE_FILE_MAX     (256 << 20) /* bytes of one file */
#define ZONE_ENTRY_MAX    (256 << 10) /* characters of one record */
#define ZONE_INCLUDE_MAX  7           /* files inside files */
#define ZONE_FILES_MAX    1000        /* files of one zone, each $INCLUDE counted */
#define ZONE_GENERATE_MAX 65536       /* records of one $GENERATE */
#define ZONE_TTL_MAX      0x7fffffff  /* RFC 2181 section 8 */

struct zone_record {
    const uint8_t *owner; /* plain wire, lower case */
    const uint8_t *rdata;
    uint32_t ttl;
    uint16_t type, rdlen;
};

/* Pointers are valid during the call only. Returns 0 or a negative code with e set. */
typedef int zone_record_fn(void *ctx, const struct zone_record *r, struct err *e);

/* A file that was read, as it was then. */
struct zone_stamp {
    char *path;
    struct stat st;
};

struct zone_sink {
    zone_record_fn *record;
    void *ctx;
    bool no_include;              /* $INCLUDE is an error */
    uint32_t default_ttl;         /* where neither $TTL nor a record says one; 0: an error */
    VEC(struct zone_stamp) files; /* what was read; zone_sink_done() frees it */
    /* --- the parser's own --- */
    uint8_t *rdata; /* 65535 bytes */
};

void zone_sink_done(struct zone_sink *s);

/* name: in errors, and what $INCLUDE is relative to. origin: plain wire. */
int zone_text_parse(struct zone_sink *s, const char *name, const char *text, size_t len,
                    const uint8_t *origin, struct err *e);
int zone_file_parse(struct zone_sink *s, const char *path, const uint8_t *origin, struct err *e);
