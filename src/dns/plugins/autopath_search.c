/* The search list of a resolv.conf (resolv.conf(5)): the last `search` or `domain` line counts. */
#include "dns/plugins/autopath.h"

#include "base/file.h"

#include <string.h>

static int add_element(struct autopath *a, const char *text, const char *path, int line,
                       struct err *e)
{
    struct name n;
    if (a->n_search == AUTOPATH_SEARCH_MAX)
        return err_set(e, ERR_LIMIT, "%s:%d: more than %d search elements", path, line,
                       AUTOPATH_SEARCH_MAX);
    if (name_from_text(text, &n) < 0)
        return err_set(e, ERR_PARSE, "%s:%d: not a domain name: %s", path, line, text);
    uint8_t *wire = arena_alloc(a->arena, n.len);
    name_lower(wire, n.wire, n.len);
    a->search[a->n_search++] = wire;
    return 0;
}

/* "search a b c", "domain a". */
static int read_line(struct autopath *a, char *line, const char *path, int number, struct err *e)
{
    char *rest;
    const char *key = strtok_r(line, " \t\r", &rest);
    bool domain = key && strcmp(key, "domain") == 0;
    if (!key || (!domain && strcmp(key, "search") != 0))
        return 0;
    int ret = 0;
    a->n_search = 0;
    for (const char *word; ret == 0 && (word = strtok_r(NULL, " \t\r", &rest));) {
        ret = add_element(a, word, path, number, e);
        if (domain)
            break;
    }
    return ret;
}

int autopath_read_search(struct autopath *a, const char *path, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    char *line, *rest;
    int ret = file_load(path, AUTOPATH_FILE_MAX, &text, &len, e), number = 0;
    for (rest = text; ret == 0 && (line = strsep(&rest, "\n"));)
        ret = read_line(a, line, path, ++number, e);
    return ret;
}
