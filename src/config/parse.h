/* What the files of the Corefile parser share; not for other rooms. */
#pragma once

#include "base/ht.h"
#include "base/vec.h"
#include "config/corefile.h"

/* Limits of one parse. The two expansion limits are those of CoreDNS; the others keep a small
 * text from growing into a large configuration. */
#define COREFILE_BYTES_MAX    (1024 * 1024) /* of one file */
#define COREFILE_TOKENS_MAX   1000000       /* after imports */
#define COREFILE_ZONES_MAX    65536         /* keys after CIDR expansion */
#define COREFILE_BLOCKS_MAX   10000
#define COREFILE_NAMES_MAX    256 /* distinct directives in a block */
#define COREFILE_SNIPPETS_MAX 10000
#define COREFILE_FILES_MAX    100000
#define COREFILE_VALUE_MAX    65536 /* bytes of a token after variables */
#define COREFILE_VARS_MAX     100   /* replacements in one token */

typedef VEC(struct token) token_vec;
typedef VEC(struct key) key_vec;

/* "FILE:LINE - Error during parsing: <text>"; returns code. */
int token_err(const struct token *t, struct err *e, int code, const char *fmt, ...)
    printf_like(4, 5);
bool token_is(const struct token *t, const char *word); /* not for quoted ones */

/* Splits text into tokens, appended to *ret; texts are copied into the arena, file is kept. */
int lex(const char *text, size_t len, const char *file, struct arena *a, token_vec *ret,
        struct err *e);

/* Replaces {%NAME%} and {$NAME} in the token's text; the new text is in the arena. */
int token_expand(struct token *t, struct arena *a, struct err *e);

/* Appends the keys that one key token stands for. */
int key_expand(const struct token *t, uint16_t default_port, struct arena *a, key_vec *keys,
               struct err *e);

struct snippet {
    const struct token *tokens;
    size_t n;
};

/* Reads the files that the pattern of an import line names; `at` is the pattern's token. *n_files
 * counts files over the whole parse. */
int import_files(const struct token *at, struct arena *a, size_t *n_files, token_vec *ret,
                 struct err *e);
/* The whole file as malloc'ed text; "stdin" reads standard input. Errors name the path only. */
int import_read(const char *path, bool regular, char **ret_text, size_t *ret_len, struct err *e);
