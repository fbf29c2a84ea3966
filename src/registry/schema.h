/* The types of the API as one table: which fields an object has, in which order they are written,
 * their numbers in protocol buffers, how patches merge them and how they are applied. Everything
 * that treats objects field by field works from it: reading (shape.h), patches, apply, protocol
 * buffers, OpenAPI.
 *
 * The text is schema.txt, whose head explains its lines; tools/make_schema.py writes it. Read once
 * by schema_init(), constant from then on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEMA_KEYS_MAX   4  /* of a list that is applied as a map */
#define SCHEMA_FIELDS_MAX 64 /* of one type */

enum schema_base {
    SCHEMA_STRING,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_BOOL,
    SCHEMA_BYTES, /* base64 in JSON */
    SCHEMA_DOUBLE,
    SCHEMA_QUANTITY,
    SCHEMA_INT_OR_STRING,
    SCHEMA_TIME,
    SCHEMA_MICRO_TIME,
    SCHEMA_FIELDS, /* a set of fields (managedFields) as JSON */
    SCHEMA_RAW,    /* any JSON */
    SCHEMA_TYPE,   /* field.type */
};

enum schema_shape { SCHEMA_ONE, SCHEMA_LIST, SCHEMA_MAP };

/* How server-side apply sees a field. */
enum schema_apply { APPLY_USUAL, APPLY_ATOMIC, APPLY_SET, APPLY_MAP };

struct schema_field {
    const char *name; /* JSON name; of an inline field that of its type */
    uint32_t number;
    uint8_t base, shape, apply;
    bool pointer;   /* may be absent: its zero value is kept */
    bool omit;      /* left out when zero */
    bool omit_zero; /* even when it is a struct */
    bool required, inlined, merge, retain;
    const struct schema_type *type;    /* SCHEMA_TYPE */
    const char *keys[SCHEMA_KEYS_MAX]; /* APPLY_MAP; ends with NULL */
    const char *merge_key;             /* of a patch that merges; NULL: a list of plain values */
    const char *fallback;              /* the default, or NULL */
};

struct schema_type {
    const char *name; /* "core.ServiceSpec" */
    bool atomic;
    uint16_t n;
    uint8_t by_number[SCHEMA_FIELDS_MAX]; /* indices of fields in the order of their numbers */
    struct schema_field *fields;
};

void schema_init(void);
/* NULL: there is no such type. */
const struct schema_type *schema_type(const char *name);
/* A field by its JSON name, those of inline fields included; NULL: none. */
const struct schema_field *schema_field(const struct schema_type *t, const char *name);
/* All types, in the order of the text. */
const struct schema_type *schema_all(size_t *ret_n);
/* The part of a type's name behind the dot: "ServiceSpec". */
const char *schema_short(const struct schema_type *t);
