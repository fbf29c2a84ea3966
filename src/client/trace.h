/* A look-up of the stub resolver shown: a table of the walk for people, JSON for programs, and what
 * could be had with fewer queries. */
#pragma once

#include "client/stub.h"
#include "wire/name.h"

#include <stdio.h>

/* What was asked, and with what. `as` is the personality's name. */
struct trace {
    const char *name, *as;
    uint16_t type;
    const struct stub_conf *conf;
    const struct stub_result *result;
};

struct trace_advice {
    size_t queries;       /* that left */
    size_t before_winner; /* for candidates that were not it; all, when nothing was found */
    size_t again;         /* sent a second time or later, for whatever reason */
    char better[NAME_TEXT_MAX + 1]; /* a name with its dot that needs none of those; "" if none */
    const char *left_list_at; /* candidate whose failure ended the search list early, or NULL */
    bool not_searched; /* there is a list, but only the name as it is was tried, and not found */
    unsigned ndots;    /* with so many or fewer the winner would have been the first; 0: no help */
};

struct trace_advice trace_advise(const struct trace *t);

/* What became of a query, for people; buf may be used for it. */
const char *trace_meaning(const struct trace *t, size_t query, char *buf, size_t size);

void trace_print(const struct trace *t, FILE *out);
void trace_json(const struct trace *t, struct strbuf *out); /* one object and a line break */
