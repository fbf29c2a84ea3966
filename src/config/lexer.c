/* Text to tokens, split as CoreDNS splits them. Bytes that are not UTF-8 are kept as they are. */
#include "base/cursor.h"
#include "base/str.h"
#include "config/parse.h"

struct lexer {
    struct cursor in;
    struct strbuf word;
    const char *file;
    int line;
    bool first; /* the next token begins a line */
};

/* White space characters of three bytes, as ranges. */
static const struct {
    uint32_t from, to;
} wide_space[] = {
    { 0xe19a80, 0xe19a80 }, { 0xe28080, 0xe2808a }, { 0xe280a8, 0xe280a9 },
    { 0xe280af, 0xe280af }, { 0xe2819f, 0xe2819f }, { 0xe38080, 0xe38080 },
};

/* Bytes of the white space character at the cursor; 0: it is something else. */
static size_t space_len(const struct cursor *c)
{
    const uint8_t *p = c->base + c->pos;
    size_t left = cursor_left(c);
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (left >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0))
        return 2;
    if (left < 3)
        return 0;
    uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    for (size_t i = 0; i < ARRAY_SIZE(wide_space); i++)
        if (v >= wide_space[i].from && v <= wide_space[i].to)
            return 3;
    return 0;
}

/* Moves to the start of the next token; false at the end of the text. */
static bool skip_space(struct lexer *l)
{
    bool comment = false;
    while (cursor_left(&l->in)) {
        uint8_t b = l->in.base[l->in.pos];
        size_t n = space_len(&l->in);
        comment = b == '#' || (comment && b != '\n');
        if (!comment && !n)
            return true;
        if (b == '\n') {
            l->line++;
            l->first = true;
        }
        (void)cursor_take(&l->in, comment || !n ? 1 : n);
    }
    return false;
}

static void bare_word(struct lexer *l)
{
    while (cursor_left(&l->in)) {
        uint8_t b = l->in.base[l->in.pos];
        if (b != '\r' && (b == '#' || space_len(&l->in)))
            return;
        (void)cursor_take(&l->in, 1);
        if (b != '\r')
            strbuf_putc(&l->word, (char)b);
    }
}

/* After the opening quote; false when the text ends inside with nothing collected. */
static bool quoted_word(struct lexer *l)
{
    while (cursor_left(&l->in)) {
        uint8_t b = cursor_u8(&l->in);
        if (b == '"')
            return true;
        if (b == '\\') {
            if (!cursor_left(&l->in))
                break;
            b = cursor_u8(&l->in);
            if (b != '"')
                strbuf_putc(&l->word, '\\');
        }
        l->line += b == '\n';
        strbuf_putc(&l->word, (char)b);
    }
    return l->word.len > 0;
}

static int next_token(struct lexer *l, struct arena *a, token_vec *ret, struct err *e)
{
    struct token t = { .file = l->file, .line = l->line, .first = l->first };
    strbuf_reset(&l->word);
    t.quoted = l->in.base[l->in.pos] == '"';
    if (!t.quoted) {
        bare_word(l);
    } else {
        (void)cursor_take(&l->in, 1);
        if (!quoted_word(l))
            return 0;
    }
    /* A word of nothing but carriage returns is none; only "" is an empty token. */
    if (!l->word.len && !t.quoted)
        return 0;
    if (l->word.len && memchr(l->word.p, 0, l->word.len))
        return token_err(&t, e, ERR_PARSE, "the text holds a NUL byte: it is not a Corefile");
    t.text = arena_strndup(a, l->word.len ? l->word.p : "", l->word.len);
    vec_push(ret, t);
    l->first = false;
    return 0;
}

static void skip_bom(struct cursor *c)
{
    if (cursor_left(c) >= 3 && memcmp(c->base, "\xef\xbb\xbf", 3) == 0)
        (void)cursor_take(c, 3);
}

int lex(const char *text, size_t len, const char *file, struct arena *a, token_vec *ret,
        struct err *e)
{
    struct lexer l = { .in = cursor_of(text, len), .file = file, .line = 1, .first = true };
    int r = 0;
    skip_bom(&l.in);
    while (r == 0 && skip_space(&l))
        r = next_token(&l, a, ret, e);
    strbuf_done(&l.word);
    return r;
}
