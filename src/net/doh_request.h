/* What of an HTTP request is a DNS query (RFC 8484 section 4.1). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOH_PATH "/dns-query"

/* Reads a request's target ("/dns-query?dns=..." or the absolute form). is_get: the message of its
 * `dns` parameter is written to out, which has room for len bytes. Returns 0, or the HTTP status
 * for the client: 404 for another path, 400 for what is no query. */
int doh_target(const char *target, size_t len, bool is_get, uint8_t *out, size_t *ret_len);
