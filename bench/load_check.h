/* Is this the answer that was expected? Reads the answer with care: it comes from the server that
 * is measured. */
#pragma once

#include "load_queries.h"

#include <stddef.h>

/* NULL when right, else what is wrong in a few words (a constant text, safe inside JSON). */
const char *check_answer(const struct queries *all, const struct query *q, const uint8_t *answer,
                         size_t len);
