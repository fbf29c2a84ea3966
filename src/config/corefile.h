/* The Corefile: server blocks with their keys and directives in CoreDNS's own format.
 *
 * Text goes through a lexer (tokens with file and line), a parser (imports, snippets and
 * environment variables expanded) and comes out as an immutable `struct corefile`. Plugins read
 * their directive's tokens with a `struct dispenser`. All memory belongs to the corefile's arena:
 * free it as one, after the chains that were built from it. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

#include <stdbool.h>

struct token {
    const char *text; /* NUL-terminated */
    const char *file;
    int line;
    bool quoted; /* never a brace */
    bool first;  /* of its line */
    bool name;   /* of a directive: a repeat begins here */
};

/* One directive of a server block with all its tokens: tokens[0] is its name. The same directive
 * repeated in the block has its tokens appended (the dispenser tells the repeats apart). */
struct directive {
    const char *name;
    const struct token *tokens;
    size_t n_tokens;
};

enum scheme {
    SCHEME_DNS,
    SCHEME_TLS,
    SCHEME_QUIC,
    SCHEME_GRPC,
    SCHEME_HTTPS,
    SCHEME_HTTPS3,
    SCHEME_COUNT
};

const char *scheme_text(enum scheme s); /* "dns", "tls" */

/* One server block key after expansion: "dns://example.org:53", "10.0.0.0/8". */
struct key {
    enum scheme scheme;
    const char *zone; /* lower case, fully qualified text: "cluster.local.", "." */
    uint16_t port;
    const struct token *token; /* where it stands */
};

struct block {
    const struct key *keys; /* CIDR keys already expanded into their reverse zones */
    size_t n_keys;          /* 0 when all its keys are unix:// ones, which serve nothing */
    const struct directive *directives; /* in the order of first appearance */
    size_t n_directives;
    const char *file;
    int line; /* of the first key */
};

struct corefile {
    struct arena arena;
    const struct block *blocks;
    size_t n_blocks;
    uint8_t sha512[64]; /* of the text with imports and variables expanded; for `reload` */
};

struct corefile_options {
    uint16_t default_port;         /* for dns keys without a port; 0: 53 */
    const char *const *directives; /* known names, NULL-terminated; NULL: any name is taken */
    /* Refuses a known but unsupported directive with one sentence that names it; may be NULL.
     * Returns NULL when it has nothing to say. */
    const char *(*why_unsupported)(const char *directive);
};

/* Reads text (file names it in errors; imports are relative to its folder). On failure *ret is
 * untouched and e->text starts with "FILE:LINE - ". Not more than 1 MiB a file. options may be
 * NULL. That two keys stand for the same listener and zone is not judged here: `bind` and `view`
 * matter. */
int corefile_parse(const char *text, size_t len, const char *file,
                   const struct corefile_options *options, struct corefile **ret, struct err *e);
/* Reads a file; "stdin" reads standard input. A file that cannot be read has no line to name:
 * "open FILE: No such file or directory". */
int corefile_load(const char *path, const struct corefile_options *options, struct corefile **ret,
                  struct err *e);
void corefile_free(struct corefile *c); /* NULL is fine */

/* A name or CIDR as plugins take it for zones: "example.org", "10.0.0.0/16" -> one or more zones
 * appended to *zones (arena strings, lower case, final dot). Returns 0 or a negative code. */
struct zone_list {
    const char **items; /* in the arena too */
    size_t n, capacity;
};
int zone_expand(const char *text, struct arena *a, struct zone_list *zones, struct err *e);

/* Walks the tokens of one directive, over all its repeats:
 *
 *     while (dispenser_next_directive(&d))          once a repeat
 *         while (dispenser_next_arg(&d)) ...        arguments on its line: dispenser_val()
 *         while (dispenser_next_block(&d)) ...      lines of its { } block: first word in
 *             while (dispenser_next_arg(&d)) ...    dispenser_val(), then that line's arguments
 */
struct dispenser {
    const struct directive *directive;
    size_t i; /* current token + 1; 0 before the first */
    int nesting;
};

struct dispenser dispenser_of(const struct directive *d);
bool dispenser_next_directive(struct dispenser *d);
bool dispenser_next_arg(struct dispenser *d);
bool dispenser_next_block(struct dispenser *d);
const char *dispenser_val(const struct dispenser *d);
const struct token *dispenser_token(const struct dispenser *d);
/* All arguments left on this line, in the arena; returns how many. */
size_t dispenser_rest(struct dispenser *d, struct arena *a, const char ***ret_args);
/* Errors at the current token: "FILE:LINE - Error during parsing: <text>"; return the code. */
int dispenser_err(const struct dispenser *d, struct err *e, const char *fmt, ...) printf_like(3, 4);
/* "Wrong argument count or unexpected line ending after 'X'". */
int dispenser_arg_err(const struct dispenser *d, struct err *e);
/* "unknown property 'X'". */
int dispenser_unknown(const struct dispenser *d, struct err *e);
/* For lines that must end here: 0, or the argument error when an argument or a '{' follows. */
int dispenser_end(struct dispenser *d, struct err *e);
