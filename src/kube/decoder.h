/* What the decoders of all kinds share. A decoder fails softly: the first wrong field sets `failed`
 * and the error, every later read gives a default, and the caller checks once at the end.
 *
 * Strings and arrays that the readers give lie in the tree or in the decoder's arena; object_copy()
 * makes the object out of them. */
#pragma once

#include "base/arena.h"
#include "config/tree.h"
#include "kube/slice_builder.h"

#define DECODE_LIST_MAX 65535 /* elements of a list whose counter has 16 bits */

struct decoder {
    const char *file;
    const struct tree *root; /* the object; field paths in errors are relative to it */
    struct arena arena;
    struct slice_builder slice;
    struct err *e;
    const char *kind, *namespace, *name; /* for errors; NULL as long as unknown */
    unsigned without;                    /* enum object_part */
    bool failed;
};

/* "FILE:LINE: Service shop/web: spec.ports[0].port: <text>". key: a member of `at` that is missing
 * or wrong, or NULL for `at` itself. */
void decode_fail(struct decoder *d, const struct tree *at, const char *key, const char *fmt, ...)
    printf_like(4, 5);

/* Members by key; absent and null give NULL (or the default). Another type fails. */
const struct tree *decode_map(struct decoder *d, const struct tree *t, const char *key);
const struct tree *decode_list(struct decoder *d, const struct tree *t, const char *key,
                               size_t max);
size_t decode_count(const struct tree *list);
const char *decode_text(struct decoder *d, const struct tree *t, const char *key); /* "" is NULL */
bool decode_bool(struct decoder *d, const struct tree *t, const char *key, bool absent);
long decode_int(struct decoder *d, const struct tree *t, const char *key, long min, long max,
                long absent);
/* The index of the text among names[0..n); case counts. */
unsigned decode_enum(struct decoder *d, const struct tree *t, const char *key,
                     const char *const *names, unsigned n, unsigned absent);
enum protocol decode_protocol(struct decoder *d, const struct tree *t);
/* A text that passes one of the checks of kube/check.h. */
const char *decode_checked(struct decoder *d, const struct tree *t, const char *key,
                           const char *(*check)(const char *));
/* A map of texts, in the arena; either check may be NULL. */
uint16_t decode_labels(struct decoder *d, const struct tree *map,
                       const char *(*check_key)(const char *),
                       const char *(*check_value)(const char *), const struct label **ret);

/* One element of a list or member: */
const char *decode_scalar_text(struct decoder *d, const struct tree *t);
struct ip decode_ip(struct decoder *d, const struct tree *t);
struct ip_prefix decode_prefix(struct decoder *d, const struct tree *t, const char *text);
/* A list of addresses, at most 255. */
uint8_t decode_ips(struct decoder *d, const struct tree *list, const struct ip **ret);
/* RFC 3339, Unix ns; absent or unreadable: 0 (it only feeds a metric). */
int64_t decode_time(struct decoder *d, const struct tree *t, const char *key);

void decode_meta(struct decoder *d, enum kind kind, struct meta *m);

/* One a kind: fills *ret (already zeroed, kind set) from d->root, metadata included. */
struct endpoints;
struct node;
struct pod;
struct target_ref;
struct namespace;
struct service_cidr;
struct configmap;
struct service;
void decode_service(struct decoder *d, struct service *ret);
void decode_slice(struct decoder *d, struct slice *ret);
void decode_pod(struct decoder *d, struct pod *ret);
void decode_node(struct decoder *d, struct node *ret);
void decode_service_cidr(struct decoder *d, struct service_cidr *ret);
void decode_namespace(struct decoder *d, struct namespace *ret);
void decode_configmap(struct decoder *d, struct configmap *ret);
void decode_endpoints(struct decoder *d, struct endpoints *ret);

/* What EndpointSlices and Endpoints have in common. Texts of what is not there are "". */
struct target_ref decode_target_ref(struct decoder *d, const struct tree *t);
uint16_t decode_slice_ports(struct decoder *d, const struct tree *t, const struct slice_port **ret);
/* All but the trigger time, which has a field of its own. */
uint16_t decode_annotations(struct decoder *d, const struct tree *metadata,
                            const struct label **ret);
