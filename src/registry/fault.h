/* A request's failure as the API tells it: a Status with code, reason, details and causes. Source:
 * Kubernetes API conventions, "Response Status Kind". A fault begins zeroed; code 0 says that
 * nothing went wrong. Causes may be added first: fault_invalid() makes a failure of them. */
#pragma once

#include "base/cleanup.h"

#include <jansson.h>

struct resource;

#define FAULT_CAUSES_MAX 100 /* further ones are not told */

struct fault {
    int code; /* HTTP status; 0: none */
    const char *reason;
    char *message;
    char *name, *uid;
    const char *group, *kind; /* details; NULL: none */
    json_t *causes;
    int retry_after;
};

void fault_done(struct fault *f);

/* Each sets the fault and returns -1. resource may be NULL. */
int fault_set(struct fault *f, int code, const char *reason, const char *fmt, ...)
    printf_like(4, 5);
int fault_bad_request(struct fault *f, const char *fmt, ...) printf_like(2, 3);
int fault_not_found(struct fault *f, const struct resource *r, const char *name);
int fault_exists(struct fault *f, const struct resource *r, const char *name);
int fault_conflict(struct fault *f, const struct resource *r, const char *name, const char *why);
int fault_forbidden(struct fault *f, const struct resource *r, const char *name, const char *why);
/* Nothing new can be made in the namespace. */
#define FAULT_ENDING "NamespaceTerminating" /* the cause that says so */
int fault_ending(struct fault *f, const struct resource *r, const char *namespace);
int fault_method(struct fault *f);
int fault_gone(struct fault *f, const char *reason, const char *fmt, ...) printf_like(3, 4);

/* Causes: what is wrong with which field. type: "FieldValueRequired" and so on. */
void fault_required(struct fault *f, const char *field, const char *why);
void fault_value(struct fault *f, const char *field, const json_t *value, const char *why);
void fault_text(struct fault *f, const char *field, const char *value, const char *why);
/* allowed: ends with NULL. */
void fault_unsupported(struct fault *f, const char *field, const char *value,
                       const char *const *allowed);
void fault_duplicate(struct fault *f, const char *field, const json_t *value);
void fault_field_forbidden(struct fault *f, const char *field, const char *why);
void fault_too_long(struct fault *f, const char *field, size_t max);
void fault_too_many(struct fault *f, const char *field, size_t n, size_t max);
/* An option of the request that has no such value. kind: "CreateOptions" and so on. */
int fault_option(struct fault *f, const char *kind, const char *field, const char *value,
                 const char *const *allowed);
/* 422 when there are causes: -1; else 0. */
int fault_invalid(struct fault *f, const struct resource *r, const char *name);

/* The Status; a new reference. */
json_t *fault_status(const struct fault *f);
