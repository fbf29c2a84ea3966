/* Resource quantities: "4", "3920m", "0.5", "1e3", "2Ki". Source: Kubernetes API reference,
 * resource.Quantity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether a text is one, however big. */
bool quantity_is(const char *text);
/* In thousandths, rounded up. Returns 0, ERR_PARSE, or ERR_LIMIT when it does not fit. */
int quantity_milli(const char *text, int64_t *ret);

#define QUANTITY_TEXT_MAX 64
/* As the original writes it: a whole number that is as small as its suffix allows, suffixes of the
 * given kind, at most so many decimal places (up to 9; what lies beyond is rounded away from zero).
 * A text that says such a number already stays, with its sign, zeros in front and "E" for "e".
 * Returns out, or text where it is none, or so big that it is best left alone. */
const char *quantity_canonical(const char *text, unsigned places, char out[QUANTITY_TEXT_MAX]);
