/* Tokens to server blocks, by CoreDNS's grammar.
 *
 * Imported tokens are not spliced into the text: each import pushes a frame, and a frame that has
 * been read to its end is popped before the next push, so recursion costs no depth. */
#include "config/parse.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <string.h>

struct frame {
    const struct token *tokens;
    size_t n, i;
};

/* A directive of the block being read. */
struct draft {
    const char *name;
    token_vec tokens;
};

struct parser {
    struct corefile *out;
    const struct corefile_options *options;
    struct err *e;
    VEC(struct frame) frames;
    struct token cur; /* the last one read; it stays at the end of the text */
    bool held;        /* next() gives cur once more */
    struct ht snippets;
    size_t n_snippets, n_files, n_tokens, n_zones; /* against the limits */
    VEC(struct block) blocks;
    token_vec keys;
    VEC(struct draft) drafts;
};

static void pop_finished(struct parser *p)
{
    while (p->frames.n && p->frames.items[p->frames.n - 1].i == p->frames.items[p->frames.n - 1].n)
        p->frames.n--;
}

static bool next(struct parser *p)
{
    if (p->held) {
        p->held = false;
        return true;
    }
    pop_finished(p);
    if (!p->frames.n)
        return false;
    struct frame *f = &p->frames.items[p->frames.n - 1];
    p->cur = f->tokens[f->i];
    /* What is imported starts a line, wherever it stood in the snippet. */
    p->cur.first |= f->i == 0;
    f->i++;
    p->n_tokens++;
    return true;
}

static bool next_arg(struct parser *p)
{
    const struct frame *f = &p->frames.items[p->frames.n - 1];
    return f->i < f->n && !f->tokens[f->i].first && next(p);
}

static void push_frame(struct parser *p, const struct token *tokens, size_t n)
{
    pop_finished(p);
    vec_push(&p->frames, (struct frame){ .tokens = tokens, .n = n });
}

static int too_large(struct parser *p)
{
    if (p->n_tokens <= COREFILE_TOKENS_MAX)
        return 0;
    return token_err(&p->cur, p->e, ERR_LIMIT, "more than %d words after imports",
                     COREFILE_TOKENS_MAX);
}

static int syntax_err(struct parser *p, const char *expected)
{
    return err_set(p->e, ERR_PARSE, "%s:%d - Syntax error: Unexpected token '%s', expecting '%s'",
                   p->cur.file, p->cur.line, p->cur.text, expected);
}

static int eof_err(struct parser *p)
{
    return token_err(&p->cur, p->e, ERR_PARSE, "Unexpected EOF");
}

static int push_files(struct parser *p)
{
    token_vec tokens = { 0 };
    struct arena *a = &p->out->arena;
    int r = import_files(&p->cur, a, &p->n_files, &tokens, p->e);
    if (r == 0)
        push_frame(p, arena_memdup(a, tokens.items, tokens.n * sizeof *tokens.items), tokens.n);
    vec_done(&tokens);
    return r;
}

static int push_snippet(struct parser *p, const struct snippet *s)
{
    if (++p->n_snippets > COREFILE_SNIPPETS_MAX)
        return token_err(&p->cur, p->e, ERR_LIMIT, "maximum snippet import depth (%d) exceeded",
                         COREFILE_SNIPPETS_MAX);
    push_frame(p, s->tokens, s->n);
    return 0;
}

/* cur is the word `import`; afterwards next() gives the first imported token. */
static int do_import(struct parser *p)
{
    if (!next_arg(p))
        return token_err(&p->cur, p->e, ERR_PARSE,
                         "Wrong argument count or unexpected line ending after '%s'", p->cur.text);
    int r = token_expand(&p->cur, &p->out->arena, p->e);
    if (r < 0)
        return r;
    if (!p->cur.text[0])
        return token_err(&p->cur, p->e, ERR_PARSE, "import of an empty name: is the variable set?");
    struct token pattern = p->cur;
    if (next_arg(p))
        return token_err(&p->cur, p->e, ERR_PARSE,
                         "Import takes only one argument (glob pattern or file)");
    p->cur = pattern;
    const struct snippet *s = ht_get_str(&p->snippets, pattern.text);
    r = s ? push_snippet(p, s) : push_files(p);
    return r < 0 ? r : too_large(p);
}

/* Adds cur as a key; *more tells whether another must follow its comma. */
static void add_key(struct parser *p, bool *more)
{
    struct token t = p->cur;
    size_t n = strlen(t.text);
    if (!n)
        return;
    *more = t.text[n - 1] == ',';
    if (*more)
        t.text = arena_strndup(&p->out->arena, t.text, n - 1);
    vec_push(&p->keys, t);
}

/* From cur on; afterwards cur is what follows the keys, unless *ret_eof. */
static int read_keys(struct parser *p, bool *ret_eof)
{
    bool more = false;
    for (;;) {
        int r = token_expand(&p->cur, &p->out->arena, p->e);
        bool import = token_is(&p->cur, "import") && p->cur.first;
        if (r < 0)
            return r;
        if (!import && token_is(&p->cur, "{"))
            break;
        if (import)
            r = do_import(p);
        else
            add_key(p, &more);
        if (r < 0)
            return r;
        *ret_eof = !next(p);
        if (*ret_eof)
            return more ? eof_err(p) : 0;
        if (!import && !more && p->cur.first)
            return 0;
    }
    if (more)
        return token_err(&p->cur, p->e, ERR_PARSE,
                         "Expected another address but had '{' - check for extra comma");
    return 0;
}

static struct draft *draft_of(struct parser *p, const char *name)
{
    vec_each (d, &p->drafts)
        if (str_eq(d->name, name))
            return d;
    vec_push(&p->drafts, (struct draft){ .name = name });
    return &p->drafts.items[p->drafts.n - 1];
}

static int check_directive(struct parser *p)
{
    const struct corefile_options *o = p->options;
    const char *name = p->cur.text;
    const char *why = o->why_unsupported ? o->why_unsupported(name) : NULL;
    const char *const *known = o->directives;
    if (why)
        return token_err(&p->cur, p->e, ERR_UNSUPPORTED, "%s", why);
    while (known && *known && !str_eq(*known, name))
        known++;
    if (known && !*known)
        return token_err(&p->cur, p->e, ERR_INVALID, "Unknown directive '%s'", name);
    if (p->drafts.n >= COREFILE_NAMES_MAX)
        return token_err(&p->cur, p->e, ERR_LIMIT, "more than %d different directives in a block",
                         COREFILE_NAMES_MAX);
    return 0;
}

/* Looks at cur as a part of a directive. Returns 1 to add it, 0 when the directive has ended. */
static int directive_part(struct parser *p, int *depth, bool *closed)
{
    bool open = token_is(&p->cur, "{"), close = token_is(&p->cur, "}");
    if (*depth == 0 && p->cur.first && open)
        return token_err(&p->cur, p->e, ERR_PARSE,
                         "Unexpected '{' at the start of a line: it belongs on the line of its "
                         "directive");
    if (*depth == 0 && p->cur.first)
        return 0;
    if (*depth == 0 && close)
        return token_err(&p->cur, p->e, ERR_PARSE,
                         "Unexpected '}' because no matching opening brace");
    if (*depth == 0 && *closed)
        return token_err(&p->cur, p->e, ERR_PARSE, "Unexpected '%s' after '}': start a new line",
                         p->cur.text);
    *depth += open ? 1 : close ? -1 : 0;
    *closed = close && *depth == 0;
    return 1;
}

static int read_directive(struct parser *p)
{
    struct arena *a = &p->out->arena;
    int depth = 0, r = token_expand(&p->cur, a, p->e);
    bool closed = false;
    if (r < 0 || (r = check_directive(p)) < 0)
        return r;
    struct draft *d = draft_of(p, p->cur.text);
    p->cur.name = p->cur.first = true;
    vec_push(&d->tokens, p->cur);
    while (next(p)) {
        if (depth > 0 && p->cur.first && token_is(&p->cur, "import")) {
            if ((r = do_import(p)) < 0)
                return r;
            continue;
        }
        r = directive_part(p, &depth, &closed);
        if (r <= 0) {
            p->held = r == 0;
            return r;
        }
        if ((r = token_expand(&p->cur, a, p->e)) < 0 || (r = too_large(p)) < 0)
            return r;
        vec_push(&d->tokens, p->cur);
    }
    return depth > 0 ? eof_err(p) : 0;
}

static int read_directives(struct parser *p)
{
    int r = 0;
    while (r == 0 && next(p)) {
        if (token_is(&p->cur, "}"))
            return 0;
        r = token_is(&p->cur, "import") ? do_import(p) : read_directive(p);
    }
    return r;
}

static void close_block(struct parser *p)
{
    struct arena *a = &p->out->arena;
    struct directive *list = arena_alloc(a, (p->drafts.n + 1) * sizeof *list);
    size_t n = 0;
    vec_each (d, &p->drafts) {
        list[n++] = (struct directive){
            .name = d->name,
            .tokens = arena_memdup(a, d->tokens.items, d->tokens.n * sizeof *d->tokens.items),
            .n_tokens = d->tokens.n,
        };
        vec_done(&d->tokens);
    }
    vec_clear(&p->drafts);
    p->blocks.items[p->blocks.n - 1].directives = list;
    p->blocks.items[p->blocks.n - 1].n_directives = n;
}

/* The keys are judged when the whole text has been read, so that syntax errors come first; until
 * then the block's keys are only their tokens. */
static int open_block(struct parser *p)
{
    struct arena *a = &p->out->arena;
    const struct token *first = &p->keys.items[0];
    if (p->blocks.n == COREFILE_BLOCKS_MAX)
        return token_err(first, p->e, ERR_LIMIT, "more than %d server blocks", COREFILE_BLOCKS_MAX);
    struct key *keys = arena_zalloc(a, p->keys.n * sizeof *keys);
    for (size_t i = 0; i < p->keys.n; i++)
        keys[i].token = arena_memdup(a, &p->keys.items[i], sizeof *p->keys.items);
    vec_push(&p->blocks,
             (struct block){
                 .keys = keys, .n_keys = p->keys.n, .file = first->file, .line = first->line });
    return 0;
}

static bool is_snippet(const struct parser *p)
{
    if (p->keys.n != 1)
        return false;
    const char *key = p->keys.items[0].text;
    return str_starts(key, "(") && str_ends(key, ")") && strlen(key) >= 2;
}

/* The tokens up to the closing brace, which becomes cur. */
static int snippet_tokens(struct parser *p, const char *name, token_vec *ret)
{
    bool self = false, import = false;
    int depth = 1;
    while (next(p)) {
        depth += token_is(&p->cur, "{") ? 1 : token_is(&p->cur, "}") ? -1 : 0;
        if (depth == 0)
            break;
        self |= import && str_eq(p->cur.text, name);
        import = p->cur.first && token_is(&p->cur, "import");
        vec_push(ret, p->cur);
        int r = too_large(p);
        if (r < 0)
            return r;
    }
    if (depth > 0)
        return syntax_err(p, "}");
    if (self)
        return token_err(&p->cur, p->e, ERR_LIMIT,
                         "maximum snippet import depth (%d) exceeded: snippet %s imports itself",
                         COREFILE_SNIPPETS_MAX, name);
    return 0;
}

static int read_snippet(struct parser *p)
{
    struct arena *a = &p->out->arena;
    const char *key = p->keys.items[0].text;
    const char *name = arena_strndup(a, key + 1, strlen(key) - 2);
    token_vec tokens = { 0 };
    if (!token_is(&p->cur, "{"))
        return syntax_err(p, "{");
    if (ht_get_str(&p->snippets, name))
        return token_err(&p->cur, p->e, ERR_INVALID,
                         "redeclaration of previously declared snippet %s", name);
    int r = snippet_tokens(p, name, &tokens);
    if (r == 0) {
        struct snippet *s = arena_zalloc(a, sizeof *s);
        s->n = tokens.n;
        s->tokens = arena_memdup(a, tokens.items, tokens.n * sizeof *tokens.items);
        ht_put_str(&p->snippets, name, s);
    }
    vec_done(&tokens);
    return r;
}

/* A snippet or a server block; cur is its first token. */
static int read_block(struct parser *p)
{
    bool eof = false, braces;
    vec_clear(&p->keys);
    int r = read_keys(p, &eof);
    if (r < 0)
        return r;
    if (is_snippet(p))
        return read_snippet(p);
    if (p->keys.n == 0)
        return eof ? 0
                   : token_err(&p->cur, p->e, ERR_PARSE,
                               "a server block needs a zone before its '{', such as \".:53\"");
    if ((r = open_block(p)) < 0)
        return r;
    braces = !eof && token_is(&p->cur, "{");
    p->held = !eof && !braces; /* without braces, cur is the first directive */
    if (!eof)
        r = read_directives(p);
    if (r == 0)
        close_block(p);
    /* CoreDNS, too, takes the closing brace of the last directive for that of the block. */
    return r == 0 && braces && !token_is(&p->cur, "}") ? syntax_err(p, "}") : r;
}

static int expand_keys(struct parser *p, struct block *b)
{
    uint16_t port = p->options->default_port ? p->options->default_port : 53;
    struct arena *a = &p->out->arena;
    key_vec keys = { 0 };
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->n_keys; i++) {
        const struct token *t = b->keys[i].token;
        r = key_expand(t, port, a, &keys, p->e);
        if (r == 0 && p->n_zones + keys.n > COREFILE_ZONES_MAX)
            r = token_err(t, p->e, ERR_LIMIT, "more than %d zones in the keys", COREFILE_ZONES_MAX);
    }
    p->n_zones += keys.n;
    b->keys = arena_memdup(a, keys.items, keys.n * sizeof *keys.items);
    b->n_keys = keys.n;
    vec_done(&keys);
    return r;
}

static void hash_token(EVP_MD_CTX *ctx, const struct token *t)
{
    const char *mark = t->first ? "\n" : " ";
    (void)EVP_DigestUpdate(ctx, mark, 1);
    (void)EVP_DigestUpdate(ctx, "\"", t->quoted); /* a quoted brace is text */
    (void)EVP_DigestUpdate(ctx, t->text, strlen(t->text) + 1);
}

static int hash_blocks(struct parser *p)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha512(), NULL);
    for (size_t i = 0; ok && i < p->blocks.n; i++) {
        const struct block *b = &p->blocks.items[i];
        for (size_t k = 0; k < b->n_keys; k++)
            hash_token(ctx, b->keys[k].token);
        for (size_t d = 0; d < b->n_directives; d++)
            for (size_t t = 0; t < b->directives[d].n_tokens; t++)
                hash_token(ctx, &b->directives[d].tokens[t]);
        (void)EVP_DigestUpdate(ctx, "\n}", 3);
    }
    ok = ok && EVP_DigestFinal_ex(ctx, p->out->sha512, NULL);
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : err_set(p->e, ERR_UNSUPPORTED, "libcrypto offers no SHA-512");
}

static int parse_all(struct parser *p)
{
    int r = 0;
    while (r == 0 && next(p))
        r = read_block(p);
    if (r == 0)
        r = hash_blocks(p);
    for (size_t i = 0; r == 0 && i < p->blocks.n; i++)
        r = expand_keys(p, &p->blocks.items[i]);
    p->out->n_blocks = p->blocks.n;
    p->out->blocks =
        arena_memdup(&p->out->arena, p->blocks.items, p->blocks.n * sizeof *p->blocks.items);
    return r;
}

static void parser_done(struct parser *p)
{
    vec_each (d, &p->drafts)
        vec_done(&d->tokens);
    vec_done(&p->drafts);
    vec_done(&p->blocks);
    vec_done(&p->keys);
    vec_done(&p->frames);
    ht_done(&p->snippets);
}

int corefile_parse(const char *text, size_t len, const char *file,
                   const struct corefile_options *options, struct corefile **ret, struct err *e)
{
    static const struct corefile_options anything = { 0 };
    if (len > COREFILE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%s:1 - the file is larger than the limit of 1 MiB", file);
    struct corefile *c = xcalloc(1, sizeof *c);
    struct parser p = { .out = c, .options = options ? options : &anything, .e = e };
    token_vec tokens = { 0 };
    arena_init(&c->arena, 32 * 1024);
    int r = lex(text, len, arena_strdup(&c->arena, file), &c->arena, &tokens, e);
    if (r == 0) {
        push_frame(&p, tokens.items, tokens.n);
        r = parse_all(&p);
    }
    vec_done(&tokens);
    parser_done(&p);
    if (r < 0) {
        corefile_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int corefile_load(const char *path, const struct corefile_options *options, struct corefile **ret,
                  struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    int r = import_read(path, false, &text, &len, e);
    return r < 0 ? r : corefile_parse(text, len, path, options, ret, e);
}

void corefile_free(struct corefile *c)
{
    if (!c)
        return;
    arena_done(&c->arena);
    free(c);
}
