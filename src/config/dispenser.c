/* The view that a plugin's set-up has of its directive's tokens. */
#include "base/str.h"
#include "config/parse.h"

#include <stdarg.h>

static int token_verr(const struct token *t, struct err *e, int code, const char *fmt, va_list ap)
{
    char text[sizeof e->text];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    return err_set(e, code, "%s:%d - Error during parsing: %s", t->file, t->line, text);
}

int token_err(const struct token *t, struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = token_verr(t, e, code, fmt, ap);
    va_end(ap);
    return r;
}

bool token_is(const struct token *t, const char *word)
{
    return !t->quoted && str_eq(t->text, word);
}

struct dispenser dispenser_of(const struct directive *d)
{
    return (struct dispenser){ .directive = d };
}

/* The next token of the same repeat, or NULL. */
static const struct token *peek(const struct dispenser *d)
{
    if (d->i == 0 || d->i >= d->directive->n_tokens)
        return NULL;
    const struct token *t = &d->directive->tokens[d->i];
    return t->name ? NULL : t;
}

bool dispenser_next_directive(struct dispenser *d)
{
    while (d->i < d->directive->n_tokens && !d->directive->tokens[d->i].name)
        d->i++;
    d->nesting = 0;
    if (d->i >= d->directive->n_tokens)
        return false;
    d->i++;
    return true;
}

bool dispenser_next_arg(struct dispenser *d)
{
    const struct token *t = peek(d);
    if (!t || t->first || token_is(t, "{"))
        return false;
    d->i++;
    return true;
}

static bool enter_block(struct dispenser *d)
{
    const struct token *t = peek(d);
    if (!t || t->first || !token_is(t, "{"))
        return false;
    d->i++;
    d->nesting++;
    return true;
}

bool dispenser_next_block(struct dispenser *d)
{
    if (d->nesting == 0 && !enter_block(d))
        return false;
    const struct token *t = peek(d);
    if (t)
        d->i++;
    if (t && !token_is(t, "}"))
        return true;
    d->nesting = 0;
    return false;
}

const struct token *dispenser_token(const struct dispenser *d)
{
    return &d->directive->tokens[d->i ? d->i - 1 : 0];
}

const char *dispenser_val(const struct dispenser *d)
{
    return dispenser_token(d)->text;
}

size_t dispenser_rest(struct dispenser *d, struct arena *a, const char ***ret_args)
{
    struct dispenser ahead = *d;
    size_t n = 0;
    while (dispenser_next_arg(&ahead))
        n++;
    const char **args = arena_alloc(a, (n + 1) * sizeof *args);
    for (size_t i = 0; dispenser_next_arg(d); i++)
        args[i] = dispenser_val(d);
    args[n] = NULL;
    *ret_args = args;
    return n;
}

int dispenser_end(struct dispenser *d, struct err *e)
{
    const struct token *t = peek(d);
    if (!t || t->first)
        return 0;
    d->i++;
    return dispenser_arg_err(d, e);
}

int dispenser_err(const struct dispenser *d, struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = token_verr(dispenser_token(d), e, ERR_INVALID, fmt, ap);
    va_end(ap);
    return r;
}

int dispenser_arg_err(const struct dispenser *d, struct err *e)
{
    const struct token *t = dispenser_token(d);
    if (token_is(t, "{"))
        return token_err(t, e, ERR_PARSE, "Unexpected token '{', expecting argument");
    return token_err(t, e, ERR_PARSE, "Wrong argument count or unexpected line ending after '%s'",
                     t->text);
}

int dispenser_unknown(const struct dispenser *d, struct err *e)
{
    return dispenser_err(d, e, "unknown property '%s'", dispenser_val(d));
}
