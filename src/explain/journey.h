/* A request's journey from a name to a reply, as steps: what was asked to be seen at each, and what
 * was seen. Filled by whoever watches (a lab, a trace on a live node); printed the same way for
 * all. A step of which nothing was seen is kept, and makes the journey incomplete: nothing is
 * assumed. */
#pragma once

#include "base/str.h"
#include "base/vec.h"
#include "explain/outcome.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct journey_line {
    char *text;
    int64_t at_ns; /* since the start of the journey; -1: no moment of its own */
};

struct journey_step {
    const char *title; /* static */
    VEC(struct journey_line) lines;
    bool missing; /* what belongs here was not seen; the line says what */
    bool blind;   /* it could not be looked at; the line says why */
};

struct journey {
    VEC(struct journey_step) steps;
};

void journey_done(struct journey *j);
/* Begins a step; the lines that follow belong to it. */
void journey_step(struct journey *j, const char *title);
void journey_saw(struct journey *j, int64_t at_ns, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Not seen: the journey is incomplete. */
void journey_missed(struct journey *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Could not be looked at: for want of a right or of something in the kernel, or because it is not
 * at hand. */
void journey_blind(struct journey *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The title of the first step that was not observed (one without lines counts), or NULL. */
const char *journey_first_missing(const struct journey *j);
void journey_print(const struct journey *j, const char *title, FILE *out);

/* Why it ended there or took so long, and what to change. */
struct journey_cause {
    const char *code, *text, *change; /* as in explain/explain.h */
    bool seen;                        /* the packets tell it, not the objects */
};

/* All that is to be said of one request; borrowed. */
struct journey_report {
    const struct journey *journey;
    const struct sightings *seen;
    const char *verdict;
    const struct journey_cause *causes;
    size_t n_causes;
};

void journey_json(const struct journey_report *r, struct strbuf *out);
/* One page that needs nothing else: the verdict, the way drawn as a sequence, and every step. */
void journey_html(const struct journey_report *r, struct strbuf *out);
