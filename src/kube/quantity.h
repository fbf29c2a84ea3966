/* Resource quantities: "4", "3920m", "0.5", "1e3", "2Ki". Source: Kubernetes API reference,
 * resource.Quantity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether a text is one, however big. */
bool quantity_is(const char *text);
/* In thousandths, rounded up. Returns 0, ERR_PARSE, or ERR_LIMIT when it does not fit. */
int quantity_milli(const char *text, int64_t *ret);
