/* The verbs on resources. Each answers the call, now or later, or sets its fault and returns -1. */
#pragma once

#include "registry/call.h"

int rest_get(struct call *c);
int rest_list(struct call *c);
int rest_create(struct call *c);
int rest_update(struct call *c);
int rest_patch(struct call *c);
int rest_delete(struct call *c);
int rest_delete_collection(struct call *c);

/* ---- what they share ---- */

/* What a list or watch wants to see. */
struct filter {
    const char *namespace; /* NULL: all */
    const char *name;      /* NULL: any */
    const struct selector *labels;
    struct {
        const char *path, *value;
        bool equal;
    } fields[16];
    unsigned n_fields;
};

int filter_read(struct call *c, struct filter *ret);
bool filter_match(const struct filter *f, const struct item *i);

/* The object that the request names; NULL: the fault is set (404). */
struct item *rest_find(struct call *c);
/* The body as a document in its resource's shape. */
int rest_body(struct call *c, json_t **ret);
/* Is it of the request's kind? must: it has to say so. */
int rest_check_kind(struct call *c, const json_t *doc, bool must);
/* Are the options of a write such as there are? */
int rest_check_options(struct call *c);
/* Unknown fields: warnings, or a failure. unknown: texts. */
int rest_unknown(struct call *c, const json_t *unknown);
int rest_check_version(const char *text, const char *what, int64_t *ret, struct fault *f);

/* Makes a new object of a document (taken over). It is answered with, or the fault is set. */
int rest_store_new(struct call *c, json_t *doc);
/* Exchanges an object for a document (taken over). */
int rest_store_changed(struct call *c, struct item *old, json_t *doc);

/* ---- deleting (rest_delete.c) ---- */

struct delete_options {
    int64_t grace;             /* -1: as the object says */
    const char *uid, *version; /* preconditions, or NULL */
    bool orphan, foreground, dry_run;
};
/* Deletes, or marks as being deleted. *ret: the last state that there is to tell (a reference). */
int delete_item(struct registry *r, struct item *i, const struct delete_options *o,
                struct item **ret, bool *ret_gone, struct fault *f);
/* Takes an object out, and with a Service its Endpoints, as the original does. */
void delete_now(struct registry *r, struct item *i);
/* What goes when nobody holds it any more: an object whose deletion waited for its finalizers. */
bool delete_is_due(const json_t *doc);

/* ---- watching (watch.c) ---- */

int watch_begin(struct call *c);
void watches_close(struct server *s);
void watches_forget(struct server *s); /* what was kept for several of them */
