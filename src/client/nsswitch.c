#include "client/nsswitch.h"

#include <ctype.h>
#include <string.h>

#define BLANKS     " \t\r\v\f"
#define BY_DEFAULT (1 << NSS_SUCCESS)

static enum nss_source source_of(const char *word)
{
    return str_eq(word, "files") ? NSS_FILES : str_eq(word, "dns") ? NSS_DNS : NSS_OTHER;
}

static void add_step(struct nss_order *o, const char *word)
{
    if (o->n == NSS_STEPS_MAX)
        return;
    o->steps[o->n++] = (struct nss_step){ source_of(word), word, BY_DEFAULT };
}

static uint8_t statuses(const char *word, size_t len)
{
    static const char *const names[NSS_STATUS_COUNT] = { "SUCCESS", "NOTFOUND", "UNAVAIL",
                                                         "TRYAGAIN" };
    for (int i = 0; i < NSS_STATUS_COUNT; i++) {
        if (strlen(names[i]) == len && strncasecmp(names[i], word, len) == 0)
            return (uint8_t)(1 << i);
    }
    return 0;
}

/* "!UNAVAIL=return": all but that one. */
static bool read_action(struct nss_step *s, const char *word)
{
    bool not = *word == '!';
    const char *status = word + not, *equal = strchr(status, '=');
    uint8_t bits = equal ? statuses(status, (size_t)(equal - status)) : 0;
    if (bits == 0)
        return false;
    if (not )
        bits = (uint8_t)(~bits & ((1 << NSS_STATUS_COUNT) - 1));
    if (strcasecmp(equal + 1, "return") == 0)
        s->returns |= bits;
    else if (strcasecmp(equal + 1, "continue") == 0)
        s->returns &= (uint8_t)~bits;
    else
        return false;
    return true;
}

static void read_actions(struct nss_order *o, struct arena *a, const char *text, size_t len)
{
    struct strlist words = { 0 };
    strlist_split(&words, a, text, len, BLANKS);
    for (size_t i = 0; i < words.n; i++) {
        if (o->n == 0 || !read_action(&o->steps[o->n - 1], words.items[i]))
            strlist_add(&o->ignored, a, arena_printf(a, "[%s]", words.items[i]));
    }
}

static void read_sources(struct nss_order *o, struct arena *a, const char *p, const char *end)
{
    while (p < end) {
        size_t blanks = strspn(p, BLANKS);
        p += blanks;
        size_t len = *p == '[' ? strcspn(p, "]") : strcspn(p, BLANKS "[");
        len = MIN(len, (size_t)(end - p));
        if (*p == '[' && p < end)
            read_actions(o, a, p + 1, len ? len - 1 : 0);
        else if (len)
            add_step(o, arena_strndup(a, p, len));
        p += len + (p + len < end && p[len] == ']');
    }
}

void nsswitch_parse(const char *text, struct arena *a, struct nss_order *ret)
{
    struct nss_order o = { 0 };
    while (text && *text && !o.found) {
        size_t len = strcspn(text, "\n");
        const char *line = arena_strndup(a, text, strcspn(text, "#\n"));
        const char *p = line + strspn(line, BLANKS);
        if (str_starts(p, "hosts") && *(p += 5 + strspn(p + 5, BLANKS)) == ':') {
            read_sources(&o, a, p + 1, p + strlen(p));
            o.found = o.n > 0;
        }
        text += len + (text[len] == '\n');
    }
    *ret = o;
}

void nsswitch_default(struct nss_order *ret)
{
    *ret = (struct nss_order){ .n = 2 };
    ret->steps[0] = (struct nss_step){ NSS_FILES, "files", BY_DEFAULT };
    ret->steps[1] = (struct nss_step){ NSS_DNS, "dns", BY_DEFAULT };
}
