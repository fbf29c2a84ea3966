#include "dns/plugins/loadbalance.h"

#include "base/ht.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>

#define LINE_WORDS 3 /* one more than a line may have */

struct weight {
    struct ip ip;
    uint32_t weight, order; /* the later line of two for one address counts */
};

struct weight_list {
    VEC(struct weight) all; /* by address once the file is read */
};

struct weights {
    struct ht names; /* lower-case wire -> struct weight_list */
};

void weights_free(void *p)
{
    struct weights *w = p;
    if (!w)
        return;
    ht_each (entry, &w->names) {
        struct weight_list *list = entry->value;
        vec_done(&list->all);
        free(list);
    }
    ht_done(&w->names);
    free(w);
}

static struct weight_list *list_of(struct weights *w, const struct name *name)
{
    uint8_t lower[NAME_MAX_WIRE];
    name_lower(lower, name->wire, name->len);
    struct weight_list *list = ht_get(&w->names, lower, name->len);
    if (!list) {
        list = xcalloc(1, sizeof *list);
        ht_put(&w->names, lower, name->len, list);
    }
    return list;
}

/* Cuts a line into words; returns how many, LINE_WORDS for all that is too much. */
static size_t words_of(char *line, char *ret_words[LINE_WORDS])
{
    size_t n = 0;
    char *rest = NULL;
    for (char *p = strtok_r(line, " \t\r\v\f", &rest); p; p = strtok_r(NULL, " \t\r\v\f", &rest)) {
        if (n == LINE_WORDS)
            break;
        ret_words[n++] = p;
    }
    return n;
}

static int read_weight(struct weight_list *list, char *const *words, struct err *e)
{
    struct weight weight = { 0 };
    long number;
    if (ip_parse(words[0], &weight.ip) < 0)
        return err_set(e, ERR_PARSE, "wrong IP address:\"%s\"", words[0]);
    if (str_to_long(words[1], 1, WEIGHT_MAX, &number) < 0)
        return err_set(e, ERR_PARSE, "wrong weight value:\"%s\" is not 1 to %d", words[1],
                       WEIGHT_MAX);
    if (!list)
        return err_set(e, ERR_PARSE, "missing domain name above \"%s %s\"", words[0], words[1]);
    weight.weight = (uint32_t)number;
    weight.order = (uint32_t)list->all.n;
    vec_push(&list->all, weight);
    return 0;
}

/* *list: of the name that was read last. */
static int read_line(struct weights *w, char *line, struct weight_list **list, struct err *e)
{
    char *words[LINE_WORDS];
    struct name name;
    size_t n = words_of(line, words);
    if (n == 0 || words[0][0] == '#')
        return 0;
    if (n == 2)
        return read_weight(*list, words, e);
    if (n > 2)
        return err_set(e, ERR_PARSE, "a line is a name, or an address and its weight: \"%s %s %s\"",
                       words[0], words[1], words[2]);
    if (name_from_text(words[0], &name) < 0)
        return err_set(e, ERR_PARSE, "not a domain name:\"%s\"", words[0]);
    *list = list_of(w, &name);
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct weight *x = a, *y = b;
    int order = ip_compare(&x->ip, &y->ip);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static void sort_lists(struct weights *w)
{
    ht_each (entry, &w->names) {
        struct weight_list *list = entry->value;
        size_t n = 0;
        if (list->all.n)
            qsort(list->all.items, list->all.n, sizeof(struct weight), by_address);
        for (size_t i = 0; i < list->all.n; i++) {
            n -= n && ip_equal(&list->all.items[n - 1].ip, &list->all.items[i].ip);
            list->all.items[n++] = list->all.items[i];
        }
        list->all.n = n;
    }
}

int weights_parse(const char *text, size_t len, const char *path, struct weights **ret,
                  struct err *e)
{
    struct weights *w = xcalloc(1, sizeof *w);
    struct weight_list *list = NULL;
    const char *end = text + len;
    int code = 0, number = 1;
    for (; text < end && code == 0; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        cleanup_free char *line = xstrndup(text, (size_t)((stop ? stop : end) - text));
        code = read_line(w, line, &list, e);
        if (code < 0)
            (void)err_wrap(e, "weight file %s:%d", path, number);
        text = stop ? stop + 1 : end;
    }
    if (code < 0) {
        weights_free(w);
        return code;
    }
    sort_lists(w);
    *ret = w;
    return 0;
}

const struct weight_list *weights_find(const struct weights *w, const uint8_t *owner, size_t len)
{
    return w ? ht_get(&w->names, owner, len) : NULL;
}

uint32_t weight_of(const struct weight_list *list, const struct ip *ip)
{
    size_t low = 0, high = list ? list->all.n : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = ip_compare(&list->all.items[middle].ip, ip);
        if (order == 0)
            return list->all.items[middle].weight;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return WEIGHT_DEFAULT;
}
