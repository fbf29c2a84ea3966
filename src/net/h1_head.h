/* The head of an HTTP/1.1 request (RFC 9112), for whoever serves it. Texts lie in the buffer that
 * was read and have no NUL behind them. Nothing is copied, nothing is kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h1_text {
    const char *p;
    size_t len;
};

struct h1_head {
    struct h1_text method, target;
    size_t body; /* Content-Length */
    bool has_length;
    bool coded;   /* there is a Transfer-Encoding */
    bool chunked; /* and it is "chunked" alone */
    bool close;   /* the connection ends behind the response */
    bool expects; /* 100-continue */
    int status;   /* of a failure behind which the connection is of no use; 0: none */
};

/* Length of the head with the empty line behind it; 0: it is not there yet. *scanned: how far the
 * bytes were looked at before; 0 at first. */
size_t h1_head_len(const uint8_t *data, size_t len, size_t *scanned);
/* A whole head, of h1_head_len() bytes. A body beyond body_max is status 413. */
struct h1_head h1_head_read(const uint8_t *data, size_t len, size_t body_max);
/* The first field of that name (in lower case); false: there is none. */
bool h1_head_find(const uint8_t *data, size_t len, const char *name, struct h1_text *ret);
/* Equal to the word, whatever the case? */
bool h1_is(struct h1_text t, const char *word);
