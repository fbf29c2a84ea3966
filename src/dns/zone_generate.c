/* "$GENERATE FIRST-LAST[/STEP] OWNER [TTL] [CLASS] TYPE RDATA": "$" stands for the number, and
 * "${OFFSET[,WIDTH[,BASE]]}" for it with something added, zeros in front, in base d, o, x or X. */
#include "dns/zone_reader.h"

#include <string.h>

#define WIDTH_MAX 32

struct range {
    long first, last, step;
};

static bool take_number(const char **p, long *ret)
{
    long v = 0;
    const char *start = *p;
    for (; **p >= '0' && **p <= '9'; ++*p) {
        v = v * 10 + (**p - '0');
        if (v > ZONE_TTL_MAX)
            return false;
    }
    *ret = v;
    return *p > start;
}

static bool read_range(const char *p, size_t n, struct range *ret)
{
    const char *end = p + n;
    ret->step = 1;
    if (!take_number(&p, &ret->first) || *p++ != '-' || !take_number(&p, &ret->last))
        return false;
    if (*p == '/') {
        p++;
        if (!take_number(&p, &ret->step))
            return false;
    }
    return p == end && ret->first <= ret->last && ret->step > 0;
}

/* p stands behind "${". Returns what follows the '}', or NULL. */
static const char *put_formatted(struct strbuf *out, const char *p, long i)
{
    long offset, width = 0;
    char base = 'd';
    bool minus = *p == '-';
    p += minus;
    if (!take_number(&p, &offset))
        return NULL;
    if (*p == ',') {
        p++;
        if (!take_number(&p, &width) || width > WIDTH_MAX)
            return NULL;
    }
    if (*p == ',') {
        base = p[1];
        p += base ? 2 : 1;
    }
    i += minus ? -offset : offset;
    if (*p != '}' || i < 0)
        return NULL;
    switch (base) {
    case 'd':
        strbuf_printf(out, "%0*ld", (int)width, i);
        break;
    case 'o':
        strbuf_printf(out, "%0*lo", (int)width, (unsigned long)i);
        break;
    case 'x':
        strbuf_printf(out, "%0*lx", (int)width, (unsigned long)i);
        break;
    case 'X':
        strbuf_printf(out, "%0*lX", (int)width, (unsigned long)i);
        break;
    default:
        return NULL;
    }
    return p + 1;
}

static bool expand(struct strbuf *out, const char *p, long i)
{
    while (p && *p) {
        if (*p == '\\' && p[1] == '$') {
            strbuf_putc(out, '$');
            p += 2;
        } else if (*p == '\\' && p[1]) {
            strbuf_add(out, p, 2);
            p += 2;
        } else if (*p == '$' && p[1] == '{') {
            p = put_formatted(out, p + 2, i);
        } else if (*p == '$') {
            strbuf_printf(out, "%ld", i);
            p++;
        } else {
            strbuf_putc(out, *p++);
        }
    }
    return p != NULL;
}

int zone_generate(struct zone_reader *r, const char *text, struct err *e)
{
    struct range range;
    const char *word = "";
    size_t n = 0;
    struct strbuf line = { 0 };
    int code = 0;
    (void)zone_word(&text, &word, &n);
    if (!read_range(word, n, &range))
        return zone_error(r, e, "$GENERATE needs a range such as 1-10 or 0-100/2");
    if ((range.last - range.first) / range.step >= ZONE_GENERATE_MAX)
        return zone_error(r, e, "$GENERATE makes at most %d records", ZONE_GENERATE_MAX);
    text += strspn(text, " \t");
    for (long i = range.first; code == 0 && i <= range.last; i += range.step) {
        strbuf_reset(&line);
        if (!expand(&line, text, i))
            code = zone_error(r, e,
                              "$GENERATE: after \"${\" comes OFFSET[,WIDTH[,d|o|x|X]]} and no "
                              "number may be negative");
        else
            code = zone_record_read(r, line.p ? line.p : "", false, e);
    }
    strbuf_done(&line);
    return code;
}
