/* The order in which a resolver tries the search list, and what ends the walk: pure logic, no
 * sockets and no time. What differs between resolvers is in `struct walk_rules`.
 *
 *     struct walk w;
 *     walk_init(&w, &walk_glibc, "bar", &conf, arena);
 *     while ((name = walk_next(&w)))
 *         walk_report(&w, outcome of asking for `name`);
 *     error = walk_error(&w);
 */
#pragma once

#include "client/stub_conf.h"

/* What became of one candidate name, over all servers and attempts. */
enum walk_outcome {
    WALK_FOUND,
    WALK_NXDOMAIN,
    WALK_NODATA,
    WALK_SERVFAIL,
    WALK_FAILED,      /* no usable answer: refused, not implemented, silence */
    WALK_BAD,         /* not to be asked (too long) or an answer such as FORMERR */
    WALK_UNREACHABLE, /* nothing listens at any server */
    WALK_OUTCOME_COUNT,
};

/* What the walk does after an outcome of an element of the list. */
enum walk_move { WALK_NEXT, WALK_LEAVE_LIST, WALK_STOP };

struct walk_rules {
    bool searches_after; /* the list is walked even when the name was tried first and not found */
    bool first_may_stop; /* `moves` count for the name as it is, too, when that is tried first */
    bool dot_is_root;    /* "." in the list is the name as it is, and ".x" is "x" */
    bool skips_onion;    /* names below "onion" are never asked for (RFC 7686) */
    size_t name_max; /* longer candidates (text, without a final dot) are passed over; 0: none */
    enum walk_move moves[WALK_OUTCOME_COUNT];
};

extern const struct walk_rules walk_glibc;

/* h_errno's values in words. */
enum walk_error {
    WALK_OK,
    WALK_HOST_NOT_FOUND,
    WALK_TRY_AGAIN,
    WALK_NO_RECOVERY,
    WALK_NO_DATA,
};

const char *walk_outcome_text(enum walk_outcome o); /* "NXDOMAIN" */

struct walk {
    const struct walk_rules *rules;
    const char *name;
    const struct stub_conf *conf;
    struct arena *arena;
    enum { WALK_AS_IS_FIRST, WALK_LIST, WALK_AS_IS_LAST, WALK_OVER } stage;
    size_t next; /* element of the list */
    unsigned dots;
    bool absolute; /* ends in a dot: never searched */
    bool as_is_tried, root_tried, searched, got_nodata, got_servfail;
    enum walk_error first_error; /* of the name as it is, when it was tried first */
    enum walk_error last_error;
    bool found;
};

/* name and conf must outlive the walk; candidates lie in the arena, but for the name as it is,
 * which is `name` itself. */
void walk_init(struct walk *w, const struct walk_rules *rules, const char *name,
               const struct stub_conf *conf, struct arena *a);
/* The next name to ask for, or NULL when the walk is over. Each must be reported before the next.
 */
const char *walk_next(struct walk *w);
void walk_report(struct walk *w, enum walk_outcome o);
/* As glibc counts. */
enum walk_error walk_error(const struct walk *w);

bool walk_is_onion(const char *name); /* it ends in "onion" */

/* A reply, as far as the walk cares. */
struct walk_reply {
    uint16_t rcode, answers, additional;
    bool aa, ra;
};

/* A reply over UDP that makes glibc turn to the next server: SERVFAIL, NOTIMP, REFUSED, and the
 * empty answer of a server that neither knows the name nor recurses. */
bool walk_reply_useless(const struct walk_reply *r);
/* The outcome of the replies to the A and the AAAA query, in the order in which they came; second
 * is NULL when there is only one. */
enum walk_outcome walk_judge(const struct walk_reply *first, const struct walk_reply *second);
