/* Checks of values that several kinds have. Each adds what is wrong to the fault, in the words of
 * the original. Source: Kubernetes API reference. */
#pragma once

#include "registry/fault.h"

#include <jansson.h>
#include <stdbool.h>

#define VALUE_NO_IP "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

extern const char *const value_protocols[]; /* of a port; ends with NULL */

/* list: ends with NULL. text NULL: no. */
bool value_is_one_of(const char *text, const char *const *list);
/* One of the list; NULL and "" are missing. */
void value_check_choice(const char *text, const char *const *list, const char *field,
                        struct fault *f);
/* A port's number. */
void value_check_port(const json_t *n, const char *field, struct fault *f);
/* A resource quantity: not below 0. */
void value_check_quantity(const json_t *v, const char *field, struct fault *f);
/* An address beyond the node: none that leads nowhere, to the node itself, or no further than its
 * link. */
void value_check_address(const char *text, const char *field, struct fault *f);
