#include "kernel_picture.h"

#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void kernel_picture_done(struct kernel_picture *k)
{
    ht_each (e, &k->elements)
        free(e->value);
    ht_done(&k->elements);
    ht_done(&k->chains);
}

static void one_element(struct kernel_picture *k, bool add, const char *map, char *text)
{
    char *colon = strstr(text, " : ");
    struct strbuf key = { 0 };
    if (colon)
        *colon = '\0';
    strbuf_printf(&key, "%s %s", map, text);
    bool there = ht_get(&k->elements, key.p, key.len) != NULL;
    if (there == add)
        fail_msg("%s of %s, which is %s", add ? "addition" : "deletion", key.p,
                 there ? "there" : "not there");
    if (add)
        ht_put(&k->elements, key.p, key.len, xstrdup(colon ? colon + 3 : ""));
    else
        free(ht_del(&k->elements, key.p, key.len));
    strbuf_done(&key);
}

static void elements(struct kernel_picture *k, bool add, char *line)
{
    char *open = strchr(line, '{'), *close = strchr(line, '}'), *save;
    assert_non_null(open);
    assert_non_null(close);
    open[-1] = close[-1] = '\0';
    const char *map = strrchr(line, ' ') + 1;
    for (char *p = strtok_r(open + 1, ",", &save); p; p = strtok_r(NULL, ",", &save))
        one_element(k, add, map, p + strspn(p, " "));
}

static void one_line(struct kernel_picture *k, char *line)
{
    if (str_starts(line, "add element") || str_starts(line, "delete element"))
        elements(k, line[0] == 'a', line);
    else if (str_starts(line, "add chain"))
        ht_put_str(&k->chains, strrchr(line, ' ') + 1, k);
    else if (str_starts(line, "add rule"))
        k->n_rules++;
}

void kernel_picture_apply(struct kernel_picture *k, const char *text)
{
    char *copy = xstrdup(text), *save;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        one_line(k, line);
    free(copy);
}

const char *kernel_picture_get(const struct kernel_picture *k, const char *map, const char *key)
{
    struct strbuf full = { 0 };
    strbuf_printf(&full, "%s %s", map, key);
    const char *value = ht_get(&k->elements, full.p, full.len);
    strbuf_done(&full);
    return value;
}
