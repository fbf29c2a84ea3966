#include "base/file.h"
#include "base/mem.h"
#include "dns/zone_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define ROOM_LEAST ((size_t)1 << 20) /* bytes that must be had to read a file, */
#define ROOM_TIMES 8                 /* and so many a byte of it, for text, records and index */
#define RDATA_MAX  65535

int zone_error(const struct zone_reader *r, struct err *e, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_PARSE, "%s:%d: %s", r->file, r->entry_line, text);
}

/* ---- words ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool zone_word(const char **at, const char **ret_word, size_t *ret_len)
{
    const char *p = *at;
    while (is_blank(*p))
        p++;
    const char *start = p;
    while (*p && !is_blank(*p))
        p += *p == '\\' && p[1] ? 2 : 1;
    *ret_word = start;
    *ret_len = (size_t)(p - start);
    *at = p;
    return p > start;
}

bool zone_seconds(const char *p, size_t n, uint32_t *ret)
{
    static const struct {
        char unit;
        uint32_t seconds;
    } units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    uint64_t total = 0, value = 0;
    bool digits = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t factor = 0;
        if (p[i] >= '0' && p[i] <= '9') {
            value = value * 10 + (uint64_t)(p[i] - '0');
            digits = true;
            if (value > ZONE_TTL_MAX)
                return false;
            continue;
        }
        for (size_t u = 0; u < ARRAY_SIZE(units); u++)
            if ((p[i] | 0x20) == units[u].unit)
                factor = units[u].seconds;
        if (!factor || !digits)
            return false;
        total += value * factor;
        value = 0;
        digits = false;
    }
    total += value;
    if (n == 0 || p[0] < '0' || p[0] > '9' || total > ZONE_TTL_MAX)
        return false;
    *ret = (uint32_t)total;
    return true;
}

/* ---- entries ---- */

static int add(struct zone_reader *r, const char *p, size_t n, struct err *e)
{
    if (r->entry.len + n > ZONE_ENTRY_MAX)
        return zone_error(r, e, "the record is longer than %d characters", ZONE_ENTRY_MAX);
    strbuf_add(&r->entry, p, n);
    return 0;
}

/* p stands on a quote; the string must end on its line. */
static int read_quoted(struct zone_reader *r, struct err *e)
{
    const char *start = r->p++;
    while (r->p < r->end && *r->p != '"' && *r->p != '\n' && *r->p)
        r->p += *r->p == '\\' && r->p + 1 < r->end && r->p[1] != '\n' && r->p[1] ? 2 : 1;
    if (r->p == r->end || *r->p != '"')
        return zone_error(r, e, "a quoted string does not end on line %d; add the closing quote",
                          r->line);
    r->p++;
    return add(r, start, (size_t)(r->p - start), e);
}

static int read_escape(struct zone_reader *r, struct err *e)
{
    if (r->p + 1 == r->end || r->p[1] == '\n' || !r->p[1])
        return zone_error(r, e, "line %d ends in a backslash", r->line);
    r->p += 2;
    return add(r, r->p - 2, 2, e);
}

/* One character that is not part of a string. *depth counts open parentheses. */
static int read_char(struct zone_reader *r, int *depth, struct err *e)
{
    char c = *r->p;
    if (c == '"')
        return read_quoted(r, e);
    if (c == '\\')
        return read_escape(r, e);
    if (c == ';') {
        while (r->p < r->end && *r->p != '\n')
            r->p++;
        return 0;
    }
    r->p++;
    if (c == 0)
        return zone_error(r, e, "line %d has a NUL byte; is this a zone file?", r->line);
    if (c == '(')
        ++*depth;
    if (c == ')' && --*depth < 0)
        return zone_error(r, e, "')' on line %d without '(' before it", r->line);
    if (c == '\n')
        r->line++;
    return c == '(' || c == ')' || c == '\n' || c == '\r' ? add(r, " ", 1, e) : add(r, &c, 1, e);
}

/* The next entry into r->entry, possibly only blanks. */
static int read_entry(struct zone_reader *r, struct err *e)
{
    int depth = 0, code = 0;
    strbuf_reset(&r->entry);
    r->entry_line = r->line;
    r->blank = is_blank(*r->p);
    while (code == 0 && r->p < r->end && (depth || *r->p != '\n'))
        code = read_char(r, &depth, e);
    if (code == 0 && depth)
        code = zone_error(r, e, "'(' without ')' up to the end of the file");
    if (r->p < r->end) {
        r->p++;
        r->line++;
    }
    strbuf_add(&r->entry, "", 0);
    return code;
}

/* ---- directives ---- */

static int take_name(struct zone_reader *r, const char **at, struct name *ret, struct err *e)
{
    const char *word;
    size_t n;
    if (!zone_word(at, &word, &n))
        return zone_error(r, e, "a domain name is missing");
    if (name_from_text_at(word, n, r->origin.wire, ret) < 0)
        return zone_error(r, e, "\"%.*s\" is not a domain name", (int)MIN(n, 80), word);
    return 0;
}

static int take_end(struct zone_reader *r, const char **at, struct err *e)
{
    const char *word;
    size_t n;
    return zone_word(at, &word, &n)
               ? zone_error(r, e, "\"%.*s\" is one word too many", (int)MIN(n, 80), word)
               : 0;
}

static int set_origin(struct zone_reader *r, const char *at, struct err *e)
{
    struct name origin;
    int code = take_name(r, &at, &origin, e);
    if (code == 0)
        code = take_end(r, &at, e);
    if (code == 0)
        r->origin = origin;
    return code;
}

static int set_ttl(struct zone_reader *r, const char *at, struct err *e)
{
    const char *word = "";
    size_t n = 0;
    uint32_t ttl;
    (void)zone_word(&at, &word, &n);
    if (!zone_seconds(word, n, &ttl))
        return zone_error(r, e, "$TTL needs a time such as 3600 or 1h, at most %d seconds",
                          ZONE_TTL_MAX);
    r->ttl = ttl;
    r->has_ttl = r->ttl_fixed = true;
    return take_end(r, &at, e);
}

static int read_file(struct zone_sink *s, const char *path, unsigned depth,
                     const struct zone_reader *from, const uint8_t *origin, struct err *e);

/* "FILE [ORIGIN]". Neither origin nor owner of the included file reach the rest of this one. */
static int include(struct zone_reader *r, const char *at, struct err *e)
{
    const char *word, *slash = strrchr(r->file, '/');
    size_t n;
    struct name origin = r->origin;
    cleanup_free char *path = NULL;
    if (r->sink->no_include)
        return zone_error(r, e, "$INCLUDE is not allowed here");
    if (r->depth >= ZONE_INCLUDE_MAX)
        return zone_error(r, e, "files include each other more than %d deep", ZONE_INCLUDE_MAX);
    if (!zone_word(&at, &word, &n))
        return zone_error(r, e, "$INCLUDE needs a file name");
    if (n > 1 && word[0] == '"' && word[n - 1] == '"') {
        word++;
        n -= 2;
    }
    const char *rest = at, *next;
    size_t next_len;
    if (zone_word(&rest, &next, &next_len)) {
        int code = take_name(r, &at, &origin, e);
        if (code == 0)
            code = take_end(r, &at, e);
        if (code < 0)
            return code;
    }
    if (asprintf(&path, "%.*s%.*s", word[0] == '/' || !slash ? 0 : (int)(slash + 1 - r->file),
                 r->file, (int)n, word) < 0)
        return -ENOMEM;
    int code = read_file(r->sink, path, r->depth + 1, r, origin.wire, e);
    return code < 0 ? err_wrap(e, "%s:%d: $INCLUDE", r->file, r->entry_line) : 0;
}

static int read_directive(struct zone_reader *r, const char *at, struct err *e)
{
    static const struct {
        const char *name;
        int (*read)(struct zone_reader *r, const char *at, struct err *e);
    } directives[] = { { "$ORIGIN", set_origin },
                       { "$TTL", set_ttl },
                       { "$INCLUDE", include },
                       { "$GENERATE", zone_generate } };
    const char *word = at;
    size_t n = 0;
    (void)zone_word(&at, &word, &n);
    for (size_t i = 0; i < ARRAY_SIZE(directives); i++)
        if (strlen(directives[i].name) == n && strncasecmp(directives[i].name, word, n) == 0)
            return directives[i].read(r, at, e);
    return zone_error(r, e,
                      "unknown directive \"%.*s\"; there are $ORIGIN, $TTL, $INCLUDE and $GENERATE",
                      (int)MIN(n, 80), word);
}

/* ---- texts and files ---- */

static int read_text(struct zone_reader *r, struct err *e)
{
    int code = 0;
    while (code == 0 && r->p < r->end) {
        code = read_entry(r, e);
        if (code < 0)
            break;
        const char *text = r->entry.p ? r->entry.p : "";
        const char *first = text + strspn(text, " \t");
        if (!*first)
            continue;
        code = *first == '$' && !r->blank ? read_directive(r, first, e)
                                          : zone_record_read(r, text, r->blank, e);
    }
    strbuf_done(&r->entry);
    return code;
}

/* from: the reader of the including file, whose TTL and owner are known here, too; or NULL. */
static int parse(struct zone_sink *s, const char *name, const char *text, size_t len,
                 unsigned depth, const struct zone_reader *from, const uint8_t *origin,
                 struct err *e)
{
    struct zone_reader r = {
        .sink = s, .file = name, .p = text, .end = text + len, .line = 1, .depth = depth
    };
    r.ttl = s->default_ttl;
    r.has_ttl = s->default_ttl > 0;
    if (from) {
        r.has_ttl = from->has_ttl;
        r.ttl_fixed = from->ttl_fixed;
        r.ttl = from->ttl;
        r.has_owner = from->has_owner;
        r.owner = from->owner;
    }
    if (!s->rdata)
        s->rdata = xmalloc(RDATA_MAX);
    name_from_wire(origin, &r.origin);
    return read_text(&r, e);
}

int zone_text_parse(struct zone_sink *s, const char *name, const char *text, size_t len,
                    const uint8_t *origin, struct err *e)
{
    return parse(s, name, text, len, 0, NULL, origin, e);
}

static int read_file(struct zone_sink *s, const char *path, unsigned depth,
                     const struct zone_reader *from, const uint8_t *origin, struct err *e)
{
    struct stat st;
    cleanup_free char *text = NULL;
    size_t len = 0;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, -errno, "open %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "open %s: not a file", path);
    if (st.st_size > ZONE_FILE_MAX)
        return err_set(e, ERR_LIMIT, "%s has more than %d bytes", path, ZONE_FILE_MAX);
    if (s->files.n >= ZONE_FILES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files are included", ZONE_FILES_MAX);
    if (!mem_has_room(ROOM_LEAST + (size_t)st.st_size * ROOM_TIMES))
        return err_set(e, ERR_LIMIT, "read %s: memory is short", path);
    vec_push(&s->files, (struct zone_stamp){ xstrdup(path), st });
    int code = file_read(fd, (size_t)st.st_size, &text, &len);
    if (code < 0)
        return err_set(e, code, "read %s: %s", path, strerror(-code));
    return parse(s, path, text, len, depth, from, origin, e);
}

int zone_file_parse(struct zone_sink *s, const char *path, const uint8_t *origin, struct err *e)
{
    return read_file(s, path, 0, NULL, origin, e);
}

void zone_sink_done(struct zone_sink *s)
{
    vec_each (f, &s->files)
        free(f->path);
    vec_done(&s->files);
    free(s->rdata);
    s->rdata = NULL;
}
