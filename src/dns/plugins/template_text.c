/* Texts of `template`, compiled at set-up: the part of Go's text/template that records need. */
#include "dns/plugins/template.h"

#include <ctype.h>
#include <string.h>

#define PIECES_MAX 256

struct open_if {
    size_t unless; /* the piece that jumps when the condition is false; SIZE_MAX: passed */
    size_t jumps[PIECES_MAX / 4], n_jumps; /* to the end, from each branch */
};

struct reader {
    struct arena *a;
    const char *p;
    struct err *e;
    struct piece pieces[PIECES_MAX];
    size_t n;
    struct open_if ifs[TEMPLATE_NESTING];
    size_t n_ifs;
    bool trim; /* the last action ended with "-}}" */
};

/* ---- words of an action ---- */

static void skip_space(struct reader *r)
{
    while (isspace((unsigned char)*r->p))
        r->p++;
}

/* At "}}" or " -}}". */
static bool at_end(struct reader *r)
{
    skip_space(r);
    return str_starts(r->p, "}}") || str_starts(r->p, "-}}");
}

/* A name: letters, digits, and dots when it is a field. */
static const char *take_word(struct reader *r)
{
    const char *from = r->p;
    while (isalnum((unsigned char)*r->p) || *r->p == '_' || (*from == '.' && *r->p == '.'))
        r->p++;
    return arena_strndup(r->a, from, (size_t)(r->p - from));
}

static bool take_keyword(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    skip_space(r);
    if (strncmp(r->p, word, n) != 0 || isalnum((unsigned char)r->p[n]) || r->p[n] == '_')
        return false;
    r->p += n;
    return true;
}

/* "..." with \" \\ \n \t, or `...` */
static const char *take_string(struct reader *r)
{
    char quote = *r->p++, *out = arena_alloc(r->a, strlen(r->p) + 1);
    size_t n = 0;
    while (*r->p && *r->p != quote) {
        char c = *r->p++;
        if (quote == '"' && c == '\\' && *r->p) {
            c = *r->p++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        out[n++] = c;
    }
    out[n] = 0;
    if (*r->p != quote)
        return NULL;
    r->p++;
    return out;
}

/* ---- expressions ---- */

static struct expr *new_expr(struct reader *r, enum expr_kind kind)
{
    struct expr *x = arena_zalloc(r->a, sizeof *x);
    x->kind = kind;
    return x;
}

static int read_operand(struct reader *r, const struct expr **ret);
static int read_command(struct reader *r, const struct expr **ret);

static int read_field(struct reader *r, const struct expr **ret)
{
    static const struct {
        const char *name;
        enum expr_kind kind;
    } fields[] = {
        { ".Name", EXPR_NAME },
        { ".Zone", EXPR_ZONE },
        { ".Type", EXPR_TYPE },
        { ".Class", EXPR_CLASS },
        { ".Remote", EXPR_REMOTE },
        { ".Message.Id", EXPR_ID },
        { ".Question.Name", EXPR_QNAME },
        { ".Question.Qtype", EXPR_QTYPE },
        { ".Question.Qclass", EXPR_QCLASS },
    };
    const char *word = take_word(r);
    struct expr *x = new_expr(r, EXPR_GROUP);
    *ret = x;
    if (str_starts(word, ".Group.") && word[7] && !strchr(word + 7, '.')) {
        x->text = word + 7;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (strcmp(word, fields[i].name) == 0) {
            x->kind = fields[i].kind;
            return 0;
        }
    if (strcmp(word, ".Meta") != 0)
        return err_set(r->e, ERR_UNSUPPORTED, "template: '%s' is not supported", word);
    x->kind = EXPR_META;
    skip_space(r);
    x->text = *r->p == '"' || *r->p == '`' ? take_string(r) : NULL;
    return x->text ? 0 : err_set(r->e, ERR_PARSE, "template: .Meta needs a label in quotes");
}

static int read_number(struct reader *r, const struct expr **ret)
{
    char *end;
    struct expr *x = new_expr(r, EXPR_NUMBER);
    x->number = strtoll(r->p, &end, 0);
    *ret = x;
    if (isalnum((unsigned char)*end) || *end == '.' || end == r->p)
        return err_set(r->e, ERR_PARSE, "template: bad number at \"%.40s\"", r->p);
    r->p = end;
    return 0;
}

static int read_operand(struct reader *r, const struct expr **ret)
{
    skip_space(r);
    char c = *r->p;
    if (c == '.')
        return read_field(r, ret);
    if (c == '"' || c == '`') {
        struct expr *x = new_expr(r, EXPR_STRING);
        *ret = x;
        x->text = take_string(r);
        return x->text ? 0 : err_set(r->e, ERR_PARSE, "template: a string is not closed");
    }
    if (isdigit((unsigned char)c) || c == '-')
        return read_number(r, ret);
    if (c == '(') {
        r->p++;
        int code = read_command(r, ret);
        skip_space(r);
        if (code == 0 && *r->p++ != ')')
            return err_set(r->e, ERR_PARSE, "template: ')' is missing");
        return code;
    }
    return err_set(r->e, ERR_PARSE, "template: an operand is missing at \"%.40s\"", r->p);
}

static int read_index(struct reader *r, const struct expr **ret)
{
    const struct expr *at;
    bool match = take_keyword(r, ".Match");
    if (!match && !take_keyword(r, ".Group"))
        return err_set(r->e, ERR_UNSUPPORTED, "template: 'index' is for .Match and .Group only");
    int code = read_operand(r, &at);
    if (code < 0)
        return code;
    if (at->kind != (match ? EXPR_NUMBER : EXPR_STRING))
        return err_set(r->e, ERR_INVALID, "template: 'index' needs %s",
                       match ? "a number" : "a group's name in quotes");
    struct expr *x = new_expr(r, match ? EXPR_MATCH : EXPR_GROUP);
    x->number = at->number;
    x->text = at->text;
    *ret = x;
    return 0;
}

static int read_function(struct reader *r, enum expr_kind kind, size_t n, const struct expr **ret)
{
    struct expr *x = new_expr(r, kind);
    *ret = x;
    for (size_t i = 0; i < n; i++) {
        int code = read_operand(r, &x->args[i]);
        if (code < 0)
            return code;
    }
    return 0;
}

static int read_command(struct reader *r, const struct expr **ret)
{
    skip_space(r);
    if (!isalpha((unsigned char)*r->p) && *r->p != '$')
        return read_operand(r, ret);
    if (take_keyword(r, "index"))
        return read_index(r, ret);
    if (take_keyword(r, "parseInt"))
        return read_function(r, EXPR_PARSE_INT, 3, ret);
    if (take_keyword(r, "eq"))
        return read_function(r, EXPR_EQ, 2, ret);
    if (take_keyword(r, "ne"))
        return read_function(r, EXPR_NE, 2, ret);
    return err_set(r->e, ERR_UNSUPPORTED, "template: '%.*s' is not supported",
                   (int)strcspn(r->p, " }"), r->p);
}

/* ---- actions ---- */

static int add_piece(struct reader *r, struct piece piece)
{
    if (r->n == PIECES_MAX)
        return err_set(r->e, ERR_LIMIT, "template: more than %d pieces", PIECES_MAX);
    r->pieces[r->n++] = piece;
    return 0;
}

static int read_condition(struct reader *r, struct open_if *f)
{
    const struct expr *x;
    int code = read_command(r, &x);
    if (code < 0)
        return code;
    f->unless = r->n;
    return add_piece(r, (struct piece){ .kind = PIECE_UNLESS, .expr = x });
}

/* "else" and "else if": the branch before it jumps to the end, a false condition comes here. */
static int read_else(struct reader *r)
{
    struct open_if *f = r->n_ifs ? &r->ifs[r->n_ifs - 1] : NULL;
    if (!f || f->unless == SIZE_MAX)
        return err_set(r->e, ERR_PARSE, "template: 'else' without 'if'");
    if (f->n_jumps == ARRAY_SIZE(f->jumps))
        return err_set(r->e, ERR_LIMIT, "template: too many branches");
    f->jumps[f->n_jumps++] = r->n;
    int code = add_piece(r, (struct piece){ .kind = PIECE_JUMP });
    r->pieces[f->unless].to = r->n;
    f->unless = SIZE_MAX;
    if (code == 0 && take_keyword(r, "if"))
        code = read_condition(r, f);
    return code;
}

static int read_end(struct reader *r)
{
    if (r->n_ifs == 0)
        return err_set(r->e, ERR_PARSE, "template: 'end' without 'if'");
    struct open_if *f = &r->ifs[--r->n_ifs];
    if (f->unless != SIZE_MAX)
        r->pieces[f->unless].to = r->n;
    for (size_t i = 0; i < f->n_jumps; i++)
        r->pieces[f->jumps[i]].to = r->n;
    return 0;
}

static int read_if(struct reader *r)
{
    if (r->n_ifs == TEMPLATE_NESTING)
        return err_set(r->e, ERR_LIMIT, "template: 'if' nests deeper than %d", TEMPLATE_NESTING);
    struct open_if *f = &r->ifs[r->n_ifs++];
    f->n_jumps = 0;
    return read_condition(r, f);
}

static int read_statement(struct reader *r)
{
    const struct expr *x;
    if (take_keyword(r, "if"))
        return read_if(r);
    if (take_keyword(r, "else"))
        return read_else(r);
    if (take_keyword(r, "end"))
        return read_end(r);
    int code = read_command(r, &x);
    return code < 0 ? code : add_piece(r, (struct piece){ .kind = PIECE_VALUE, .expr = x });
}

/* Behind a comment, which begins at p. */
static int skip_comment(struct reader *r)
{
    const char *end = strstr(r->p, "*/");
    if (!end)
        return err_set(r->e, ERR_PARSE, "template: a comment is not closed");
    r->p = end + 2;
    return 0;
}

static int read_action(struct reader *r)
{
    r->p += str_starts(r->p, "- ") ? 2 : 0;
    skip_space(r);
    int code = str_starts(r->p, "/*") ? skip_comment(r) : read_statement(r);
    if (code < 0)
        return code;
    if (!at_end(r))
        return err_set(r->e, *r->p ? ERR_UNSUPPORTED : ERR_PARSE,
                       *r->p ? "template: \"%.40s\" is not supported here"
                             : "template: '}}' is missing%s",
                       r->p);
    r->trim = *r->p == '-';
    r->p += r->trim ? 3 : 2;
    return 0;
}

/* The text up to the next action, white space cut where the actions want that. */
static int read_text(struct reader *r, const char *end)
{
    if (r->trim)
        while (r->p < end && isspace((unsigned char)*r->p))
            r->p++;
    const char *from = r->p, *to = end;
    if (str_starts(end, "{{- "))
        while (to > from && isspace((unsigned char)to[-1]))
            to--;
    r->p = end;
    r->trim = false;
    if (to == from)
        return 0;
    return add_piece(r, (struct piece){ .kind = PIECE_TEXT,
                                        .text = arena_strndup(r->a, from, (size_t)(to - from)) });
}

int template_text_read(struct arena *a, const char *source, struct template_text *ret,
                       struct err *e)
{
    struct reader r = { .a = a, .p = source, .e = e };
    int code = 0;
    while (code == 0 && *r.p) {
        const char *open = strstr(r.p, "{{");
        code = read_text(&r, open ? open : r.p + strlen(r.p));
        if (code == 0 && *r.p) {
            r.p += 2;
            code = read_action(&r);
        }
    }
    if (code == 0 && r.n_ifs)
        code = err_set(e, ERR_PARSE, "template: 'end' is missing");
    if (code < 0)
        return code;
    *ret = (struct template_text){ arena_strdup(a, source),
                                   arena_memdup(a, r.pieces, r.n * sizeof *r.pieces), r.n };
    return 0;
}
