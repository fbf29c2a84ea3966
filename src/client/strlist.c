#include "client/strlist.h"

#include <string.h>

void strlist_add(struct strlist *l, struct arena *a, const char *word)
{
    if (l->n == l->capacity)
        l->items = arena_grow(a, l->items, &l->capacity, 8, sizeof *l->items);
    l->items[l->n++] = word;
}

void strlist_add_copy(struct strlist *l, struct arena *a, const char *p, size_t len)
{
    strlist_add(l, a, arena_strndup(a, p, len));
}

void strlist_append(struct strlist *l, struct arena *a, const struct strlist *more)
{
    for (size_t i = 0; i < more->n; i++)
        strlist_add(l, a, more->items[i]);
}

static bool is_blank(char c, const char *blanks)
{
    return c && strchr(blanks, c);
}

void strlist_split(struct strlist *l, struct arena *a, const char *text, size_t len,
                   const char *blanks)
{
    size_t at = 0;
    while (at < len) {
        size_t end = at;
        while (end < len && !is_blank(text[end], blanks))
            end++;
        if (end > at)
            strlist_add_copy(l, a, text + at, end - at);
        at = end + 1;
    }
}

bool strlist_have(const struct strlist *l, const char *word)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->items[i], word))
            return true;
    }
    return false;
}

struct strlist strlist_unique(const struct strlist *l, struct arena *a)
{
    struct strlist out = { 0 };
    for (size_t i = 0; i < l->n; i++) {
        if (!strlist_have(&out, l->items[i]))
            strlist_add(&out, a, l->items[i]);
    }
    return out;
}

size_t strlist_joined_len(const struct strlist *l)
{
    size_t len = l->n ? l->n - 1 : 0;
    for (size_t i = 0; i < l->n; i++)
        len += strlen(l->items[i]);
    return len;
}

char *strlist_join(const struct strlist *l, struct arena *a, const char *glue)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    strbuf_puts(&b, "");
    for (size_t i = 0; i < l->n; i++) {
        strbuf_puts(&b, i ? glue : "");
        strbuf_puts(&b, l->items[i]);
    }
    return arena_strdup(a, b.p);
}
