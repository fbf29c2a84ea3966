#include "base/str.h"
#include "config/tree.h"

#include <string.h>

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* RFC 8259, section 6 */
static bool is_number(const char *s)
{
    s += *s == '-';
    size_t n = digits(s);
    if (!n || (*s == '0' && n > 1))
        return false;
    s += n;
    if (*s == '.') {
        n = digits(++s);
        s += n;
    }
    if (n && (*s == 'e' || *s == 'E')) {
        s++;
        s += *s == '-' || *s == '+';
        n = digits(s);
        s += n;
    }
    return n && !*s;
}

static void print_scalar(struct strbuf *out, const struct tree *t)
{
    if (!t->quoted && (is_number(t->text) || str_eq(t->text, "true") || str_eq(t->text, "false")))
        strbuf_puts(out, t->text);
    else
        strbuf_json(out, t->text);
}

/* As deep as the reader of trees lets them be. */
void tree_print_json(struct strbuf *out, const struct tree *t)
{
    if (!t || t->kind == TREE_NULL) {
        strbuf_puts(out, "null");
        return;
    }
    if (t->kind == TREE_SCALAR) {
        print_scalar(out, t);
        return;
    }
    bool map = t->kind == TREE_MAPPING;
    strbuf_putc(out, map ? '{' : '[');
    for (const struct tree *c = t->child; c; c = c->next) {
        if (c != t->child)
            strbuf_putc(out, ',');
        if (map) {
            strbuf_json(out, c->key);
            strbuf_putc(out, ':');
        }
        tree_print_json(out, c);
    }
    strbuf_putc(out, map ? '}' : ']');
}
