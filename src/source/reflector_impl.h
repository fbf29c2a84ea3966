/* The inside of a reflector: reflector.c decides what is asked when, reflector_read.c takes what
 * comes. */
#pragma once

#include "base/arena.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sm.h"
#include "base/str.h"
#include "base/vec.h"
#include "config/tree.h"
#include "kube/decode.h"
#include "source/reflector.h"

#define REFLECTOR_TOLD_MAX 4 /* different failures in a row that are logged */

/* Where the reading of a list in protocol buffers stands. */
enum list_part { LIST_HEAD, LIST_ITEMS, LIST_JSON };

struct reflector {
    struct api_client *client;
    const struct reflector_options *o;
    struct reflector_sink sink;
    struct reflector_status status;
    struct decoder *decoder;
    struct arena arena; /* of one object's tree */
    struct sm sm;
    uv_timer_t *timer; /* of WAIT; on the heap: it outlives us until the loop has closed it */
    struct http_call *call;
    struct rand rand;
    unsigned failures; /* in a row */
    uint64_t
        told[REFLECTOR_TOLD_MAX]; /* hashes of the failures that were logged, until all is well */
    unsigned n_told;

    struct strbuf revision; /* from which to watch; "": list first */
    struct strbuf in;       /* what has come and was not read yet */
    struct mem_room room;   /* to read it */
    enum list_part part;
    uint64_t raw_left;  /* bytes of the list's own message that are still to come */
    struct strbuf page; /* token of the list's next page */
    VEC(uint64_t) seen; /* hashes of the keys that the list had; sorted before the sweep */
    bool initial;       /* the watch's events are still those that stand for a list */
    bool no_stream;     /* the server has no such watches: lists it is */
    bool refused;       /* instead of an event it has told an error */
    bool gone;          /* the revision is too old, or newer than what the server knows */
    unsigned n_gone;    /* such answers in a row */
    bool broken;        /* what has come could not be read: e says why */
    struct err e;
    int64_t begun_ns; /* the request */
};

/* Each takes what can be read of r->in and leaves the rest. 0, or a negative code with a sentence.
 */
int reflector_read_list(struct reflector *r, struct err *e);
int reflector_read_watch(struct reflector *r, struct err *e);
/* The list's bytes have ended. */
int reflector_list_end(struct reflector *r, struct err *e);
/* Objects that the list did not have are gone. A watch's reader does it by itself when the initial
 * events have ended. */
void reflector_sweep(struct reflector *r);
