/* Where each kind keeps its plain values, strings and lists, as one table a kind; copying and
 * comparing objects are walks over these tables (object.c). A new field of a kind struct needs its
 * line in layout.c, or it is neither copied deeply nor compared. */
#pragma once

#include "kube/object.h"

enum field_type {
    FIELD_PLAIN,  /* bytes */
    FIELD_TEXT,   /* const char *, may be NULL */
    FIELD_ORIGIN, /* a text that does not count in comparisons */
    FIELD_LIST,   /* pointer to elements, with a counter elsewhere in the struct */
};

struct field {
    uint8_t type;
    uint8_t count_size; /* list: bytes of its counter: 1, 2 or 4 */
    uint16_t offset, size, count_offset;
    const struct layout *element; /* list */
};

struct layout {
    size_t size;
    const struct field *fields;
    size_t n_fields;
    bool flat; /* no texts or lists inside: can be copied as bytes */
};

extern const struct layout *const layouts[KIND_COUNT];
