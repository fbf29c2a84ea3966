/* The server's own state; for serve.c and watch.c. */
#pragma once

#include "base/str.h"
#include "registry/serve.h"

struct watch;
struct call;
struct item;

struct server {
    struct serve_options o;
    struct exchange_server *http;
    struct watch *watches;
    unsigned n_watches, n_waiting;
    bool closing;
    uint64_t asked; /* requests so far */
    /* The object that a watch was told of last, in protocol buffers; NULL: none. */
    struct item *last_item;
    struct strbuf last_proto;
};
