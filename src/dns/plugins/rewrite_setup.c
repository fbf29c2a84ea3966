/* Rules of `rewrite` as they are written. */
#include "dns/plugins/rewrite.h"

#include <string.h>
#include <strings.h>

#define TTL_MAX INT32_MAX /* RFC 2181 section 8 */

struct words {
    const char **items;
    size_t n;
    const char *rule; /* the field's name, for errors */
};

/* ---- names and how they match ---- */

/* Lower case with a final dot, whatever kind of match: "foo" as a prefix is "foo." in the
 * reference. */
static const char *normal_name(struct setup *s, const char *word)
{
    size_t n = strlen(word);
    bool dot = n && word[n - 1] == '.';
    return str_lower(arena_printf(setup_arena(s), "%s%s", word, dot ? "" : "."));
}

static bool map_kind(const char *word, enum map_kind *ret)
{
    static const char *const kinds[] = { "exact", "prefix", "suffix", "substring", "regex" };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcasecmp(word, kinds[i]) == 0) {
            *ret = (enum map_kind)i;
            return true;
        }
    return false;
}

static int read_regex(struct setup *s, const char *pattern, struct regex **ret, struct err *e)
{
    int code = regex_compile(pattern, ret, e);
    if (code == 0)
        setup_stop(s, regex_free, *ret);
    return code;
}

/* to: NULL when names are only matched. */
static int read_map(struct setup *s, struct name_map *m, const char *from, const char *to,
                    struct err *e)
{
    int highest;
    if (m->kind != MAP_REGEX) {
        m->from = normal_name(s, from);
        m->to = to ? normal_name(s, to) : NULL;
        return 0;
    }
    int ret = read_regex(s, from, &m->re, e);
    if (ret < 0 || !to)
        return ret;
    m->to = arena_strdup(setup_arena(s), to);
    if (map_groups_used(to, &highest) > regex_groups(m->re) || highest > (int)regex_groups(m->re))
        return err_set(e, ERR_INVALID,
                       "the rewrite \"%s\" uses more groups than the pattern \"%.200s\" has", to,
                       from);
    return 0;
}

/* Takes "[TYPE] FROM" off the words; left: how many must follow FROM. */
static int read_match(struct setup *s, struct words *w, struct name_map *m, size_t left,
                      struct err *e)
{
    m->kind = MAP_EXACT;
    if (w->n == left + 2 && !map_kind(w->items[0], &m->kind))
        return err_set(e, ERR_INVALID, "unknown %s rule type \"%s\"", w->rule, w->items[0]);
    if (w->n != left + 1 && w->n != left + 2)
        return err_set(e, ERR_INVALID, "wrong number of arguments for a %s rule", w->rule);
    w->items += w->n - left - 1;
    w->n = left + 1;
    return read_map(s, m, w->items[0], NULL, e);
}

/* ---- name ---- */

/* "answer name|value FROM TO" adds a map. */
static int read_answer_map(struct setup *s, struct rewrite_rule *r, bool owners, const char **words,
                           struct err *e)
{
    struct answer_map *a = &r->answers[r->n_answers++];
    *a = (struct answer_map){ .map.kind = MAP_REGEX, .owners = owners, .values = !owners };
    return read_map(s, &a->map, words[0], words[1], e);
}

/* Suffixes are swapped back as such, wherever they stand; else the name that was asked for is known
 * when the rule applies. */
static void set_automatic(struct rewrite_rule *r)
{
    if (r->map.kind != MAP_SUFFIX) {
        r->automatic = true;
        return;
    }
    struct name_map back = { .kind = MAP_SUFFIX, .from = r->map.to, .to = r->map.from };
    r->answers[r->n_answers++] = (struct answer_map){ back, true, true };
}

/* "answer" may stand once or before each of them. */
static int read_answers(struct setup *s, struct rewrite_rule *r, const char **words, size_t n,
                        struct err *e)
{
    bool automatic = false, owners = false;
    r->answers = arena_zalloc(setup_arena(s), (n + 1) * sizeof *r->answers);
    if (n && strcmp(words[0], "answer") != 0)
        return err_set(e, ERR_INVALID, "exceeded the number of arguments for a name rule at \"%s\"",
                       words[0]);
    for (size_t i = 0; i < n;) {
        i += strcmp(words[i], "answer") == 0;
        const char *kind = i < n ? words[i++] : "";
        if (strcmp(kind, "auto") == 0) {
            automatic = true;
            continue;
        }
        bool name = strcmp(kind, "name") == 0;
        if (!name && strcmp(kind, "value") != 0)
            return err_set(e, ERR_INVALID, "invalid type \"%s\" for answer rule", kind);
        if (n - i < 2)
            return err_set(e, ERR_INVALID, "missing arguments for %s answer rule", kind);
        int ret = read_answer_map(s, r, name, words + i, e);
        if (ret < 0)
            return ret;
        owners |= name;
        i += 2;
    }
    if (automatic && owners)
        return err_set(e, ERR_INVALID, "\"answer auto\" and \"answer name\" exclude each other");
    if (automatic)
        set_automatic(r);
    return 0;
}

static int read_name(struct setup *s, struct rewrite_rule *r, struct words *w, struct err *e)
{
    r->map.kind = MAP_EXACT;
    if (w->n < 2)
        return err_set(e, ERR_INVALID, "too few arguments for a name rule");
    if (w->n > 2) {
        if (!map_kind(w->items[0], &r->map.kind))
            return err_set(e, ERR_INVALID,
                           "name rules are exact, prefix, suffix, substring or "
                           "regex, and not \"%s\"",
                           w->items[0]);
        w->items++;
        w->n--;
    }
    if (w->n < 2)
        return err_set(e, ERR_INVALID, "too few arguments for a name rule");
    int ret = read_map(s, &r->map, w->items[0], w->items[1], e);
    if (ret == 0)
        ret = read_answers(s, r, w->items + 2, w->n - 2, e);
    if (r->map.kind == MAP_EXACT)
        r->automatic = true;
    return ret;
}

/* ---- the others ---- */

static int read_numbers(struct rewrite_rule *r, struct words *w,
                        int (*read)(const char *text, uint16_t *ret), struct err *e)
{
    uint16_t *to[] = { &r->from, &r->to };
    if (w->n != 2)
        return err_set(e, ERR_INVALID, "%s rules must have exactly two arguments", w->rule);
    for (size_t i = 0; i < 2; i++)
        if (read(w->items[i], to[i]) < 0)
            return err_set(e, ERR_INVALID, "invalid %s \"%s\"", w->rule, w->items[i]);
    return 0;
}

/* "N", "MIN-", "-MAX", "MIN-MAX" */
static int read_ttl(struct setup *s, struct rewrite_rule *r, struct words *w, struct err *e)
{
    int ret = read_match(s, w, &r->map, 1, e);
    if (ret < 0)
        return ret;
    const char *word = w->items[1], *dash = strchr(word, '-');
    const char *low = dash ? arena_strndup(setup_arena(s), word, (size_t)(dash - word)) : word;
    const char *high = dash ? dash + 1 : word;
    long min = 0, max = TTL_MAX;
    if ((dash && !*low && !*high) || (*low && str_to_long(low, 0, TTL_MAX, &min) < 0) ||
        (*high && str_to_long(high, 0, TTL_MAX, &max) < 0) || min > max)
        return err_set(e, ERR_INVALID, "invalid TTL or range of TTLs: \"%s\"", word);
    r->ttl_min = (uint32_t)min;
    r->ttl_max = (uint32_t)max;
    return 0;
}

static int read_rcode_word(const char *word, uint16_t *ret)
{
    long number;
    if (str_to_long(word, 0, 4095, &number) < 0)
        return rcode_from_text(word, ret);
    *ret = (uint16_t)number;
    return 0;
}

static int read_rcode(struct setup *s, struct rewrite_rule *r, struct words *w, struct err *e)
{
    int ret = read_match(s, w, &r->map, 2, e);
    if (ret < 0)
        return ret;
    struct words codes = { w->items + 1, 2, "rcode" };
    return read_numbers(r, &codes, read_rcode_word, e);
}

static int read_cname(struct setup *s, struct rewrite_rule *r, struct words *w, struct err *e)
{
    r->map.kind = MAP_EXACT;
    if (w->n == 3 && !map_kind(w->items[0], &r->map.kind))
        return err_set(e, ERR_INVALID, "unknown cname rule type \"%s\"", w->items[0]);
    if (w->n != 2 && w->n != 3)
        return err_set(e, ERR_INVALID, "wrong number of arguments for a cname rule");
    return read_map(s, &r->map, w->items[w->n - 2], w->items[w->n - 1], e);
}

static int read_type_word(const char *word, uint16_t *ret)
{
    return rr_type_from_text(word, ret);
}

static int read_class_word(const char *word, uint16_t *ret)
{
    return rr_class_from_text(word, ret);
}

static int read_field(struct setup *s, struct rewrite_rule *r, struct words *w, struct err *e)
{
    switch (r->field) {
    case REWRITE_NAME:
        return read_name(s, r, w, e);
    case REWRITE_TYPE:
        return read_numbers(r, w, read_type_word, e);
    case REWRITE_CLASS:
        return read_numbers(r, w, read_class_word, e);
    case REWRITE_EDNS0:
        return option_rule_read(s, &r->option, w->items, w->n, e);
    case REWRITE_TTL:
        return read_ttl(s, r, w, e);
    case REWRITE_CNAME:
        return read_cname(s, r, w, e);
    case REWRITE_RCODE:
        return read_rcode(s, r, w, e);
    }
    return 0;
}

int rewrite_rule_read(struct setup *s, struct rewrite_rule *r, const char **args, size_t n,
                      struct err *e)
{
    static const char *const fields[] = {
        "name", "type", "class", "edns0", "ttl", "cname", "rcode"
    };
    struct words w = { args, n, NULL };
    r->go_on = n && strcasecmp(args[0], "continue") == 0;
    if (r->go_on || (n && strcasecmp(args[0], "stop") == 0)) {
        w.items++;
        w.n--;
    }
    if (w.n == 0)
        return err_set(e, ERR_INVALID, "no rule type specified for rewrite");
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strcasecmp(w.items[0], fields[i]) != 0)
            continue;
        w = (struct words){ w.items + 1, w.n - 1, fields[i] };
        r->field = (enum rewrite_field)i;
        return read_field(s, r, &w, e);
    }
    if (strcasecmp(w.items[0], "answer") == 0)
        return err_set(e, ERR_INVALID, "response rewrites must begin with a name rule");
    return err_set(e, ERR_INVALID, "invalid rule type \"%s\"", w.items[0]);
}
