/* The server's own state; for serve.c and watch.c. */
#pragma once

#include "registry/serve.h"

struct watch;
struct call;

struct server {
    struct serve_options o;
    struct exchange_server *http;
    struct watch *watches;
    unsigned n_watches, n_waiting;
    bool closing;
    uint64_t asked; /* requests so far */
};
