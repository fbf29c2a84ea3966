/* How `rewrite` changes names: on their text, as the reference does, so that "exa" is a prefix of
 * "example.org." though no label ends there. */
#include "dns/plugins/rewrite.h"

#include <string.h>
#include <strings.h>

struct text {
    char *p;
    size_t n;
    bool full;
};

static void put(struct text *t, const char *p, size_t n)
{
    if (n >= NAME_TEXT_MAX - t->n) {
        t->full = true;
        return;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

static enum map_outcome finish(struct text *t)
{
    t->p[t->n] = 0;
    return t->full ? MAP_TOO_LONG : MAP_DONE;
}

/* "{12}": its number and length; 0 when there is none at p. */
static size_t group_at(const char *p, unsigned *ret)
{
    size_t n = *p == '{' ? strspn(p + 1, "0123456789") : 0;
    if (n == 0 || n > 3 || p[1 + n] != '}')
        return 0;
    *ret = (unsigned)strtoul(p + 1, NULL, 10);
    return n + 2;
}

unsigned map_groups_used(const char *to, int *ret_highest)
{
    bool used[1000] = { 0 };
    unsigned n = 0, group;
    *ret_highest = -1;
    while (*to) {
        size_t len = group_at(to, &group);
        if (len) {
            n += !used[group];
            used[group] = true;
            *ret_highest = MAX(*ret_highest, (int)group);
        }
        to += len ? len : 1;
    }
    return n;
}

static void put_groups(struct text *t, const char *to, const struct regex_match *m)
{
    unsigned group;
    while (*to) {
        size_t n, len = group_at(to, &group);
        if (len) {
            const char *p = regex_text(m, group, &n);
            put(t, p, n);
            to += len;
        } else {
            put(t, to++, 1);
        }
    }
}

static void replace_all(struct text *t, const struct name_map *m, const char *text)
{
    size_t n = strlen(m->from);
    for (const char *at; (at = strcasestr(text, m->from)); text = at + n) {
        put(t, text, (size_t)(at - text));
        put(t, m->to, strlen(m->to));
    }
    put(t, text, strlen(text));
}

static bool is_suffix(const char *text, const char *suffix, size_t *ret_rest)
{
    size_t n = strlen(text), k = strlen(suffix);
    *ret_rest = n - k;
    return n >= k && strcasecmp(text + n - k, suffix) == 0;
}

/* "a.b." lies below "b.", "ab." does not. */
static bool is_below(const char *text, const char *name, size_t *ret_rest)
{
    return is_suffix(text, name, ret_rest) && (*ret_rest == 0 || text[*ret_rest - 1] == '.');
}

/* *ret_rest: what stays of the text in front of a suffix. */
static bool matches(const struct name_map *m, const char *text, struct regex_match *ret_match,
                    size_t *ret_rest)
{
    *ret_rest = 0;
    switch (m->kind) {
    case MAP_EXACT:
        return strcasecmp(text, m->from) == 0;
    case MAP_PREFIX:
        return strncasecmp(text, m->from, strlen(m->from)) == 0;
    case MAP_SUFFIX:
        return is_suffix(text, m->from, ret_rest);
    case MAP_BELOW:
        return is_below(text, m->from, ret_rest);
    case MAP_SUBSTRING:
        return strcasestr(text, m->from) != NULL;
    case MAP_REGEX:
        break;
    }
    return regex_match(m->re, text, strlen(text), ret_match);
}

bool name_map_matches(const struct name_map *m, const char *text)
{
    struct regex_match match;
    size_t rest;
    return matches(m, text, &match, &rest);
}

enum map_outcome name_map_apply(const struct name_map *m, const char *text, char out[NAME_TEXT_MAX])
{
    struct text t = { .p = out };
    struct regex_match match;
    size_t rest;
    if (!matches(m, text, &match, &rest))
        return MAP_NONE;
    if (m->kind == MAP_REGEX) {
        put_groups(&t, m->to, &match);
        return finish(&t);
    }
    if (m->kind == MAP_SUBSTRING) {
        replace_all(&t, m, text);
        return finish(&t);
    }
    put(&t, text, rest);
    put(&t, m->to, strlen(m->to));
    if (m->kind == MAP_PREFIX)
        put(&t, text + strlen(m->from), strlen(text) - strlen(m->from));
    return finish(&t);
}
