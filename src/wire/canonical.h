/* Canonical form and order, as signatures are made over them (RFC 4034 section 6, RFC 6840 section
 * 5.1). */
#pragma once

#include "wire/rr.h"

/* Lowers the letters of the names inside expanded rdata, in place, for the types that RFC 4034
 * section 6.2 lists (NSEC is not among them any more). */
void rdata_canonical(uint16_t type, uint8_t *rdata, size_t len);
/* The order of the records of a set: as bytes, the shorter first: <0, 0, >0. */
int rdata_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/* Type bits of NSEC (RFC 4034 section 4.1.2) for n types, ascending. Windows of up to 34 bytes are
 * appended. */
void type_bitmap_put(struct wbuf *out, const uint16_t *types, size_t n);

/* A name behind `name` with as little between them as can be had; subtree: and behind all names
 * below it. Plain wire, lower case. False: the name is as long as names get and its first label has
 * nothing behind it. */
bool name_after(const uint8_t *name, bool subtree, uint8_t out[NAME_MAX_WIRE]);
