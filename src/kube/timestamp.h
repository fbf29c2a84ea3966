/* RFC 3339 times as Kubernetes writes them ("2026-01-02T03:04:05Z", with a fraction, with an
 * offset). */
#pragma once

#include <stdint.h>

/* Unix nanoseconds. Returns 0 or ERR_PARSE. Years 1970 to 2261 (what 63 bits of nanoseconds hold).
 */
int timestamp_parse(const char *text, int64_t *ret_ns);

#define TIMESTAMP_TEXT_MAX 48
/* "2026-01-02T03:04:05Z", with microseconds when there are some. Returns out. */
char *timestamp_text(int64_t seconds, int64_t nanos, char out[TIMESTAMP_TEXT_MAX]);
