/* One resource of an API server, listed and then watched, for as long as the reflector lives.
 *
 *     waiting -> streaming -> watching -> (waiting -> watching ...)
 *                    |            ^
 *                    +-> listing -+
 *
 * A watch that begins with all objects (sendInitialEvents) is asked for first; a server that has
 * none is asked for lists from then on. A watch that is told that its revision is gone starts over.
 *
 * Objects come as protocol buffers, one by one as the bytes arrive, so that no list is ever in
 * memory as a whole; or as JSON from servers that speak nothing else. A list may come in pages.
 * When a list has ended, objects that it did not have are swept from the consumer. While the server
 * is away the consumer keeps what it has; attempts follow one another with growing pauses and
 * jitter. A watch that is silent for longer than the server's bookmarks allow is dead and begun
 * anew, on another connection.
 *
 * Sources: kubernetes.io/docs/reference/using-api/api-concepts (efficient detection of changes,
 * streaming lists, 410 Gone, bookmarks). */
#pragma once

#include "kube/object.h"
#include "source/api_client.h"

#include <stdatomic.h>

#define REFLECTOR_OBJECT_MAX                                                                       \
    (16 << 20)             /* bytes of one object, event, or page of JSON objects in the works */
#define REFLECTOR_PAGE 500 /* objects of a page of a JSON list */

struct reflector_options {
    const char *path; /* "/api/v1/services", "/api/v1/namespaces/shop/services" */
    const char *label_selector, *field_selector; /* or NULL */
    const char *api_version, *name; /* of the kind: "discovery.k8s.io/v1", "EndpointSlice" */
    enum kind kind;
    unsigned without; /* enum object_part */
};

struct reflector_sink {
    void *ctx;
    void (*put)(void *ctx, struct object *o); /* takes ownership */
    void (*del)(void *ctx, enum kind kind, const char *ns, const char *name);
    /* A list has ended: all objects of the reflector for which keep() says false are gone. */
    void (*sweep)(void *ctx, const struct reflector_options *o,
                  bool (*keep)(void *list, const char *ns, const char *name), void *list);
    void (*synced)(void *ctx);                    /* after each list */
    void (*forbidden)(void *ctx);                 /* 403, 404; it will be tried again */
    void (*problem)(void *ctx, const char *text); /* one sentence about one object */
};

enum reflector_state {
    REFLECTOR_WAIT,
    REFLECTOR_STREAM,
    REFLECTOR_LIST,
    REFLECTOR_WATCH,
    REFLECTOR_STATES
};

/* For metrics and `ready`; written on the loop's thread, read on any. */
struct reflector_status {
    _Atomic bool watching;
    _Atomic int64_t
        heard_ns; /* monotonic: when the server was last heard to be up to date; 0: never */
    _Atomic uint64_t lists, events, failures;
    _Atomic uint64_t entered[REFLECTOR_STATES]; /* how often each state was */
};

struct reflector;

/* Begins at once, from the loop. Options are kept by reference, the sink is copied. */
struct reflector *reflector_new(uv_loop_t *loop, struct api_client *client,
                                const struct reflector_options *o,
                                const struct reflector_sink *sink);
void reflector_free(
    struct reflector *r); /* NULL is fine; the loop must run on for its timer to be closed */
const struct reflector_status *reflector_status(const struct reflector *r);
const struct reflector_options *reflector_options(const struct reflector *r);
const char *reflector_state_text(enum reflector_state state); /* "watching" */
