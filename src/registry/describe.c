#include "registry/describe.h"

#include "base/ht.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 160

extern const char descriptions_text[];

/* Read once; "TYPE.FIELD: TEXT" becomes an entry. */
static const struct ht *sentences(void)
{
    static struct ht all;
    char *rest = NULL, *colon;
    if (all.n)
        return &all;
    char *text = xstrdup(descriptions_text); /* the entries point into it */
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (*line == '#' || !(colon = strstr(line, ": ")))
            continue;
        *colon = 0;
        ht_put_str(&all, line, colon + 2);
    }
    return &all;
}

const char *describe(const struct schema_type *t, const struct schema_field *field)
{
    char key[KEY_MAX];
    (void)snprintf(key, sizeof key, "%s%s%s", t->name, field ? "." : "", field ? field->name : "");
    return ht_get_str(sentences(), key);
}
