/* From one portal to its elements, apart from the endpoints' slots: pure. */
#pragma once

#include "base/vec.h"
#include "proxy/element.h"

typedef VEC(struct element) elements;

/* Counted sets have one element for many portals: appended to `shared`, maybe more than once. */
struct expansion {
    elements own, shared; /* own: sorted */
    bool has_list[2];     /* LIST_CLUSTER, LIST_LOCAL: somebody may be sent there */
};

/* The modulus with which one of n slots is drawn: n itself for few, a little more for many, so that
 * the number of different ones is small whatever the Services have (less than 230 a protocol). */
uint32_t draw_modulus(uint32_t n);

/* number: the portal's, 30 bits. *ret: zero, or of a portal before, whose memory is used again. */
void portal_expand(const struct portal *p, uint32_t number, struct expansion *ret);
void expansion_done(struct expansion *x);

void elements_sort(elements *v);
void elements_drop_doubles(elements *v); /* of sorted ones with the same key the first stays */
