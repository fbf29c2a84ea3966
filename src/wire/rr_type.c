/* Names of record types, classes and rcodes (IANA, "Domain Name System Parameters"). */
#include "base/cleanup.h"
#include "base/err.h"
#include "wire/rdata_table.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct named {
    uint16_t value;
    const char *name;
};

static const struct named classes[] = {
    { CLASS_IN, "IN" },     { CLASS_CH, "CH" },   { CLASS_HS, "HS" },
    { CLASS_NONE, "NONE" }, { CLASS_ANY, "ANY" },
};

static const struct named rcodes[] = {
    { RCODE_NOERROR, "NOERROR" },
    { RCODE_FORMERR, "FORMERR" },
    { RCODE_SERVFAIL, "SERVFAIL" },
    { RCODE_NXDOMAIN, "NXDOMAIN" },
    { RCODE_NOTIMP, "NOTIMP" },
    { RCODE_REFUSED, "REFUSED" },
    { RCODE_YXDOMAIN, "YXDOMAIN" },
    { RCODE_YXRRSET, "YXRRSET" },
    { RCODE_NXRRSET, "NXRRSET" },
    { RCODE_NOTAUTH, "NOTAUTH" },
    { RCODE_NOTZONE, "NOTZONE" },
    { 11, "DSOTYPENI" },
    { RCODE_BADVERS, "BADVERS" },
    { RCODE_BADKEY, "BADKEY" },
    { RCODE_BADTIME, "BADTIME" },
    { 19, "BADMODE" },
    { 20, "BADNAME" },
    { 21, "BADALG" },
    { 22, "BADTRUNC" },
    { RCODE_BADCOOKIE, "BADCOOKIE" },
};

static const char *text_of(const struct named *table, size_t n, uint16_t value, const char *prefix,
                           char buf[16])
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].value == value)
            return table[i].name;
    }
    snprintf(buf, 16, "%s%u", prefix, value);
    return buf;
}

/* "TYPE" and a decimal number. */
static int prefixed_number(const char *text, const char *prefix, uint16_t *ret)
{
    long v;
    size_t n = strlen(prefix);
    if (strncasecmp(text, prefix, n) != 0 || str_to_long(text + n, 0, UINT16_MAX, &v) != 0)
        return ERR_PARSE;
    *ret = (uint16_t)v;
    return 0;
}

static int value_of(const struct named *table, size_t n, const char *text, const char *prefix,
                    uint16_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(table[i].name, text) == 0) {
            *ret = table[i].value;
            return 0;
        }
    }
    return prefixed_number(text, prefix, ret);
}

const char *rr_type_text(uint16_t type, char buf[16])
{
    const struct rr_row *row = rr_row(type);
    return row->name ? row->name : text_of(NULL, 0, type, "TYPE", buf);
}

int rr_type_from_text(const char *text, uint16_t *ret)
{
    for (unsigned i = 0; i < RR_ROWS; i++) {
        if (rr_rows[i].name && strcasecmp(rr_rows[i].name, text) == 0) {
            *ret = (uint16_t)i;
            return 0;
        }
    }
    return prefixed_number(text, "TYPE", ret);
}

const char *rr_class_text(uint16_t class, char buf[16])
{
    return text_of(classes, ARRAY_SIZE(classes), class, "CLASS", buf);
}

int rr_class_from_text(const char *text, uint16_t *ret)
{
    return value_of(classes, ARRAY_SIZE(classes), text, "CLASS", ret);
}

const char *rcode_text(uint16_t rcode, char buf[16])
{
    return text_of(rcodes, ARRAY_SIZE(rcodes), rcode, "RCODE", buf);
}

int rcode_from_text(const char *text, uint16_t *ret)
{
    return value_of(rcodes, ARRAY_SIZE(rcodes), text, "RCODE", ret);
}
