/* The `template` plugin: records made from patterns. Shared by its files only. */
#pragma once

#include "dns/plugin.h"
#include "dns/plugins/metadata.h"
#include "dns/regex.h"

/* ---- texts with actions: template_text.c, template_run.c ---- */

#define TEMPLATE_NESTING 8    /* "if" within "if" */
#define TEMPLATE_OUT_MAX 8192 /* bytes of what a text becomes */

enum expr_kind {
    EXPR_STRING,
    EXPR_NUMBER,
    EXPR_NAME,
    EXPR_ZONE,
    EXPR_TYPE,
    EXPR_CLASS,
    EXPR_REMOTE,
    EXPR_ID,        /* .Message.Id */
    EXPR_QNAME,     /* .Question.Name: as it was typed */
    EXPR_QTYPE,     /* .Question.Qtype: the number */
    EXPR_QCLASS,    /* .Question.Qclass: the number */
    EXPR_MATCH,     /* index .Match number */
    EXPR_GROUP,     /* text: the group's name or number */
    EXPR_META,      /* .Meta text */
    EXPR_PARSE_INT, /* parseInt args[0] args[1] args[2] */
    EXPR_EQ,        /* eq args[0] args[1] */
    EXPR_NE,
};

struct expr {
    enum expr_kind kind;
    const char *text;
    long long number;
    const struct expr *args[3];
};

enum piece_kind {
    PIECE_TEXT,
    PIECE_VALUE,
    PIECE_UNLESS, /* goes on at `to` when expr is false */
    PIECE_JUMP,   /* goes on at `to` */
};

struct piece {
    enum piece_kind kind;
    const char *text;
    const struct expr *expr;
    size_t to;
};

struct template_text {
    const char *source;
    struct piece *pieces;
    size_t n;
};

/* Compiles a text; what is left out of Go's templates is refused by name. */
int template_text_read(struct arena *a, const char *source, struct template_text *ret,
                       struct err *e);

/* What the actions may speak of. */
struct template_data {
    struct query *q;
    const char *name, *zone; /* lower case, final dot */
    uint16_t type, class;    /* the query's, or the template's where the query's is ANY */
    const struct regex *re;
    struct regex_match match;
    const struct metadata *metadata;
};

/* Writes the text into out[0..TEMPLATE_OUT_MAX). False: it cannot be done; *ret_why says why. */
bool template_text_run(const struct template_text *t, const struct template_data *d, char *out,
                       const char **ret_why);
