/* The server's own state; for serve.c and watch.c. */
#pragma once

#include "base/str.h"
#include "registry/serve.h"

struct watch;
struct call;
struct item;

enum { EVENT_ADDED, EVENT_MODIFIED, EVENT_DELETED, EVENT_TYPES };
enum { EVENT_JSON, EVENT_PROTO, EVENT_FORMS };

/* What was sent last of its form and type: many watches send the same, one after the other. */
struct shared_event {
    struct item *item; /* NULL: none */
    struct strbuf frame;
};

struct server {
    struct serve_options o;
    struct exchange_server *http;
    struct watch *watches;
    unsigned n_watches, n_waiting;
    bool closing;
    uint64_t asked; /* requests so far */
    struct shared_event shared[EVENT_FORMS][EVENT_TYPES];
};
