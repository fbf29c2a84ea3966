/* What etcd's JSON gateway says, as structs. Replies are text from outside: everything is checked,
 * unknown members are left alone. Keys and values are base64 there and bytes here. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* gRPC's status codes, as far as they matter. */
enum etcd_code {
    ETCD_OK = 0,
    ETCD_INVALID = 3,
    ETCD_DENIED = 7,
    ETCD_FAILED_PRECONDITION = 9,
    ETCD_OUT_OF_RANGE = 11,
    ETCD_UNAUTHENTICATED = 16,
};

struct etcd_event {
    bool deleted;
    const char *key, *value; /* bytes, NUL behind them */
    size_t key_len, value_len;
    int64_t lease; /* 0: none */
    int64_t revision;
};

/* One reply, or one line of a watch. */
struct etcd_reply {
    int code;          /* enum etcd_code or another of gRPC's */
    const char *error; /* with a code */
    int64_t revision;
    uint64_t cluster;
    bool more;                       /* of a list */
    bool created, cancelled;         /* of a watch */
    bool fragment;                   /* of a watch: the same revision goes on in the next line */
    int64_t watch;                   /* which one, as etcd_put_watch() was told */
    int64_t compact_revision;        /* of a watch that asked for one that is gone */
    const char *reason;              /* of a cancelled watch, or NULL */
    const char *token;               /* of an authentication, or NULL */
    int64_t ttl;                     /* of a lease; -1 when it is gone */
    const struct etcd_event *events; /* of a watch, or the pairs of a list */
    size_t n;
};

/* All memory is in the arena. Returns 0 or a negative code; *ret is untouched then. */
int etcd_reply_parse(const char *text, size_t len, struct arena *a, struct etcd_reply *ret,
                     struct err *e) must_check;

/* Bodies of requests; appended. end NULL: that key alone. revision 0: the newest. */
void etcd_put_range(struct strbuf *out, const char *start, size_t start_len, const char *end,
                    unsigned limit, int64_t revision);
/* id: above 0; replies carry it. */
void etcd_put_watch(struct strbuf *out, unsigned id, const char *start, const char *end,
                    int64_t revision);
void etcd_put_login(struct strbuf *out, const char *user, const char *password);
