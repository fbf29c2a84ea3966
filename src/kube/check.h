/* The grammars of names that the Kubernetes API server checks before it takes an object.
 * Each function says with one sentence part what is wrong ("must be ..."), or NULL when nothing is.
 * Source: Kubernetes, object names and IDs; labels and selectors. */
#pragma once

#include <stddef.h>

const char *check_dns_label(const char *s);     /* DNS-1123 label, at most 63 characters */
const char *check_dns_subdomain(const char *s); /* labels joined by dots, at most 253 */
const char *check_port_name(const char *s);     /* IANA service name, at most 15 */
const char *check_label_key(const char *s);     /* [subdomain/]name */
const char *check_label_value(const char *s);   /* at most 63, may be empty */
