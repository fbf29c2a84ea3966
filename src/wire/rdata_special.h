/* The fields of rdata whose text form has a grammar of its own (private to wire/): LOC, APL,
 * service parameters, and the mnemonics of DNSSEC algorithms and certificates. */
#pragma once

#include "base/cursor.h"
#include "base/str.h"
#include "wire/words.h"

#include <stdint.h>

/* Each returns false when the value cannot be expressed (then RFC 3597's form stands in). */
bool loc_to_text(const uint8_t p[16], struct strbuf *out);
bool apl_to_text(const uint8_t *p, size_t n, struct strbuf *out);
bool params_to_text(const uint8_t *p, size_t n, struct strbuf *out);

/* The words are all those that are left of the record. */
bool loc_from_text(const struct word *t, size_t n, struct wbuf *out);
bool apl_from_text(const struct word *t, struct wbuf *out); /* one item */
bool params_from_text(const struct word *t, size_t n, struct wbuf *out);

const char *cert_type_text(uint16_t value); /* may be NULL */
bool cert_type_from_text(const char *p, size_t n, uint64_t *ret);
bool algorithm_from_text(const char *p, size_t n, uint64_t *ret);
