/* What this process itself asks of its registry: on the same way as requests that come over HTTP,
 * with their checks, defaults, managedFields and events, but with no connection, no identity and no
 * waiting. What was written counts at once for everybody in the process, is durable with the next
 * commit, and is told to watches after it. Control thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define INSIDE_NAME 320 /* a name of 253 characters, and some room */
#define INSIDE_TEXT 512

struct registry;

struct inside_request {
    const char *method, *target; /* "PUT", "/api/v1/namespaces/shop/endpoints/web" */
    const char *type;            /* of the body; NULL: JSON */
    const char *body;            /* or NULL */
    size_t body_len;
};

struct inside_reply {
    int status;                /* as in HTTP; 2xx: it was done */
    bool ending;               /* refused, as its namespace is being deleted */
    char name[INSIDE_NAME];    /* of the object that there is now, */
    char uid[64], version[24]; /* or "" */
    char text[INSIDE_TEXT];    /* what went wrong */
};

void inside_send(struct registry *r, const struct inside_request *q, struct inside_reply *ret);
