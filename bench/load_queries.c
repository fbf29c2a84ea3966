#include "load_queries.h"

#include "base/cursor.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define LABEL_MAX    63
#define LINE_MAX_LEN 512

static const struct {
    const char *name;
    uint16_t type;
} types[] = { { "A", 1 },    { "NS", 2 },    { "SOA", 6 }, { "PTR", 12 },
              { "TXT", 16 }, { "AAAA", 28 }, { "SRV", 33 } };

static uint16_t type_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (str_eq(types[i].name, text))
            return types[i].type;
    return 0;
}

/* Letters that need no escape in JSON or in a presentation name; cluster names have no others. */
static bool plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("-_*", s[i]))
            return false;
    return true;
}

static int put_name(struct wbuf *w, const char *name)
{
    for (const char *at = name; *at;) {
        size_t n = strcspn(at, ".");
        if (n == 0 || n > LABEL_MAX || !plain(at, n))
            return ERR_PARSE;
        wbuf_u8(w, (uint8_t)n);
        wbuf_put(w, at, n);
        at += n + (at[n] == '.');
    }
    wbuf_u8(w, 0);
    return w->bad || w->pos > QUERY_HEADER_LEN + QUERY_NAME_MAX ? ERR_PARSE : 0;
}

/* RFC 6891: root owner, type 41, class as size, TTL and data empty. */
static void put_opt(struct wbuf *w, uint16_t size)
{
    wbuf_u8(w, 0);
    wbuf_u16(w, 41);
    wbuf_u16(w, size);
    wbuf_u32(w, 0);
    wbuf_u16(w, 0);
}

static int build(struct wbuf *w, const char *name, uint16_t type, uint16_t edns)
{
    wbuf_u16(w, 0);      /* id: set when sent */
    wbuf_u16(w, 0x0100); /* recursion desired, as every stub resolver sets it */
    wbuf_u16(w, 1);
    wbuf_u32(w, 0);
    wbuf_u16(w, edns ? 1 : 0);
    if (put_name(w, name) < 0)
        return ERR_PARSE;
    wbuf_u16(w, type);
    wbuf_u16(w, 1);
    return w->bad ? ERR_PARSE : 0;
}

/* OLD|NEW/N */
static int expect_either(const char *text, struct query *q)
{
    char old[16] = "", new[16] = "", count[8] = "", rest[2] = "";
    long n;
    int parts = sscanf(text, "%15[0-9.]|%15[0-9.]/%7[0-9]%1s", old, new, count, rest);
    if (parts != 3 || inet_pton(AF_INET, old, q->address) != 1 ||
        inet_pton(AF_INET, new, q->other) != 1 || str_to_long(count, 1, UINT16_MAX, &n) < 0)
        return ERR_PARSE;
    q->expect = EXPECT_EITHER;
    q->count = (uint16_t)n;
    return 0;
}

static int expect_of(const char *text, struct query *q)
{
    static const struct {
        const char *name;
        enum expect expect;
    } words[] = { { "", EXPECT_ANY },
                  { "NXDOMAIN", EXPECT_NXDOMAIN },
                  { "NODATA", EXPECT_NODATA },
                  { "NOERROR", EXPECT_ANSWER } };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_eq(words[i].name, text)) {
            q->expect = (uint8_t)words[i].expect;
            return 0;
        }
    if (strchr(text, '|'))
        return expect_either(text, q);
    q->expect = EXPECT_ADDRESS;
    return inet_pton(AF_INET, text, q->address) == 1 ? 0 : ERR_PARSE;
}

static int add(struct queries *all, const char *name, uint16_t type, uint16_t edns,
               const char *expect)
{
    uint8_t packet[QUERY_LEN_MAX];
    struct wbuf w = wbuf_of(packet, sizeof packet);
    struct query q = { .offset = (uint32_t)all->bytes.n };
    if (type == 0 || expect_of(expect, &q) < 0 || build(&w, name, type, edns) < 0)
        return ERR_PARSE;
    q.question_len = (uint16_t)(w.pos - QUERY_HEADER_LEN);
    if (edns)
        put_opt(&w, edns);
    q.len = (uint16_t)w.pos;
    vec_reserve(&all->bytes, all->bytes.n + w.pos);
    memcpy(all->bytes.items + all->bytes.n, packet, w.pos);
    all->bytes.n += w.pos;
    vec_push(&all->list, q);
    return 0;
}

static int read_line(struct queries *all, char *line, uint16_t edns)
{
    char name[300] = "", type[8] = "", expect[64] = "", rest[2] = "";
    line[strcspn(line, "#\n")] = 0;
    int n = sscanf(line, "%299s %7s %63s %1s", name, type, expect, rest);
    if (n <= 0)
        return 0;
    return n == 1 || n > 3 ? ERR_PARSE : add(all, name, type_of(type), edns, expect);
}

int queries_read(const char *file, uint16_t edns, struct queries *ret, struct err *e)
{
    cleanup_fclose FILE *f = fopen(file, "re");
    if (!f)
        return err_set(e, -errno, "%s: %s", file, strerror(errno));
    struct queries all = { 0 };
    char line[LINE_MAX_LEN];
    int code = 0;
    for (unsigned at = 1; code == 0 && fgets(line, sizeof line, f); at++) {
        if (all.list.n == QUERIES_MAX)
            code = err_set(e, ERR_LIMIT, "%s: more than %d queries", file, QUERIES_MAX);
        else if (read_line(&all, line, edns) < 0)
            code = err_set(e, ERR_PARSE, "%s:%u: not NAME TYPE [EXPECT]", file, at);
    }
    if (code == 0 && all.list.n == 0)
        code = err_set(e, ERR_INVALID, "%s: no queries in it", file);
    if (code < 0)
        queries_done(&all);
    else
        *ret = all;
    return code;
}

void queries_done(struct queries *q)
{
    vec_done(&q->bytes);
    vec_done(&q->list);
}
