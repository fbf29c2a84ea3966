/* `signpost trace` of one request: watched, made, told. */
#pragma once

#include "cmd/trace_place.h"
#include "explain/journey.h"

struct trace_request_options {
    struct trace_place_options place;
    const char *protocol, *as, *data;
    long wait;
};

/* take() is called once, on success; the report is gone when it returns. from: NULL with a pid. */
int trace_request(const struct trace_request_options *o, const char *from, const char *to,
                  void (*take)(void *ctx, const struct journey_report *r), void *ctx,
                  struct err *e);
