/* musl: getaddrinfo(). Two versions: what 1.2.4 changed is in struct musl. */
#include "client/musl.h"
#include "client/way.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <string.h>

#define ATTEMPTS_MAX  10
#define TIMEOUT_MAX   60  /* seconds */
#define LINE_MAX_LEN  254 /* bytes of a line of resolv.conf; longer ones are passed over */
#define NAME_LEN_MAX  253
#define ADDRESSES_MAX 48
#define SPACES        " \t\n\v\f\r"

static const struct musl now = { .tcp_after_tc = true,
                                 .checks_dots = true,
                                 .reply_max = 4800,
                                 .typed = true,
                                 .no_data = EAI_NODATA };
static const struct musl before = { .reply_max = 512, .no_data = EAI_NONAME };

/* ---- resolv.conf ------------------------------------------------------------------------------
 */

/* The first "NAME:" anywhere in the line, when a digit follows. */
static void read_number(const char *line, const char *name, int max, int *ret)
{
    const char *p = strstr(line, name);
    if (!p || !isdigit((unsigned char)p[strlen(name)]))
        return;
    unsigned long n = strtoul(p + strlen(name), NULL, 10);
    *ret = n > (unsigned long)max ? max : (int)n;
}

static void read_options(struct stub_conf *c, struct arena *a, const char *line)
{
    struct strlist words = { 0 };
    read_number(line, "ndots:", STUB_NDOTS_MAX, &c->ndots);
    read_number(line, "attempts:", ATTEMPTS_MAX, &c->attempts);
    read_number(line, "timeout:", TIMEOUT_MAX, &c->timeout);
    strlist_split(&words, a, line + 7, strlen(line + 7), SPACES);
    for (size_t i = 0; i < words.n; i++) {
        const char *w = words.items[i];
        if (!strstr(w, "ndots:") && !strstr(w, "attempts:") && !strstr(w, "timeout:"))
            strlist_add(&c->ignored, a, w);
    }
}

static bool read_server(struct stub_conf *c, struct arena *a, const char *rest)
{
    struct stub_server s;
    rest += strspn(rest, SPACES);
    const char *word = arena_strndup(a, rest, strcspn(rest, SPACES));
    if (c->n_servers == STUB_SERVERS_USED || !stub_server_parse(word, true, a, &s))
        return false;
    c->servers[c->n_servers++] = s;
    return true;
}

/* "domain" may have several words, too. */
static void read_searches(struct stub_conf *c, struct arena *a, const char *rest)
{
    c->searches = (struct strlist){ 0 };
    strlist_split(&c->searches, a, rest, strlen(rest), SPACES);
}

static bool has_keyword(const char *line, const char *word)
{
    size_t len = strlen(word);
    return strncmp(line, word, len) == 0 && line[len] && strchr(SPACES, line[len]);
}

/* line: with its line break. */
static bool read_line(struct stub_conf *c, struct arena *a, const char *line)
{
    if (has_keyword(line, "options"))
        read_options(c, a, line);
    else if (has_keyword(line, "nameserver"))
        return read_server(c, a, line + 10);
    else if (has_keyword(line, "search") || has_keyword(line, "domain"))
        read_searches(c, a, line + 6);
    else
        return line[0] == '#' || line[0] == ';' || line[strspn(line, SPACES)] == '\0';
    return true;
}

static void read_conf(const char *text, const struct stub_env *env, struct arena *a,
                      struct stub_conf *ret)
{
    struct stub_conf c = { .ndots = 1, .timeout = 5, .attempts = 2 };
    (void)env; /* neither the host's name nor the environment has a say */
    while (text && *text) {
        size_t len = strcspn(text, "\n"), end = text[len] == '\n';
        const char *line = arena_strndup(a, text, len + end);
        bool fits = len <= LINE_MAX_LEN || (!end && len == LINE_MAX_LEN + 1);
        if (!fits || !read_line(&c, a, line))
            strlist_add(&c.ignored, a, arena_strndup(a, text, len));
        text += len + end;
    }
    if (c.n_servers == 0)
        stub_server_v4(&c, INADDR_LOOPBACK);
    c.attempts = c.attempts ? c.attempts : 1; /* musl itself divides by it */
    c.timeout_ms = 1000 * c.timeout;
    *ret = c;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* Labels are what stands between dots, whatever it is. One dot at the end is passed over; of a
 * second one 1.2.3 sends the dot as if it were the length of a label. */
static bool build_name(const struct musl *m, const char *text, uint8_t *out, size_t *ret_len)
{
    size_t len = strlen(text), start = 0;
    len -= len > 0 && text[len - 1] == '.';
    if (len == 0 || len > NAME_LEN_MAX || (m->checks_dots && text[len - 1] == '.'))
        return false;
    bool stray = text[len - 1] == '.';
    size_t end = len - stray;
    while (start <= end) {
        const char *dot = memchr(text + start, '.', end - start);
        size_t label = (dot ? (size_t)(dot - text) : end) - start;
        if (label == 0 || label > NAME_MAX_LABEL)
            return false;
        out[start] = (uint8_t)label;
        memcpy(out + start + 1, text + start, label);
        start += label + 1;
    }
    if (stray)
        out[start++] = '.';
    out[start++] = 0;
    *ret_len = start;
    return true;
}

static bool build_queries(struct ask *a, const struct musl *m)
{
    static const struct name root = { .len = 1 };
    uint8_t name[NAME_MAX_WIRE + 3];
    size_t len;
    if (!build_name(m, a->text, name, &len))
        return false;
    ask_build(a, &root, 0, false);
    for (unsigned i = 0; i < a->n; i++) {
        struct ask_query *q = &a->queries[i];
        struct wbuf w = wbuf_of(q->bytes + 2 + MSG_HEADER, sizeof q->bytes - 2 - MSG_HEADER);
        wbuf_put(&w, name, len);
        wbuf_u16(&w, q->type);
        wbuf_u16(&w, CLASS_IN);
        q->len = MSG_HEADER + w.pos;
        put_u16(q->bytes, (uint16_t)q->len);
    }
    return true;
}

static bool is_address(const struct ask *a, const struct musl *m, unsigned query, uint16_t type,
                       size_t len)
{
    if (m->typed && type != a->queries[query].type)
        return false;
    return (type == RR_A && len == 4) || (type == RR_AAAA && len == 16);
}

/* The addresses of a reply as far as it goes: one that was cut has some. */
static unsigned take_addresses(struct ask *a, const struct musl *m, unsigned query,
                               const struct musl_reply *reply)
{
    struct cursor c = cursor_of(reply->bytes, reply->len);
    struct name name;
    unsigned n = 0;
    cursor_take(&c, 4);
    uint16_t questions = cursor_u16(&c), answers = cursor_u16(&c);
    cursor_take(&c, 4);
    for (; questions && name_parse(&c, &name) == 0; questions--)
        cursor_take(&c, 4);
    for (; answers && !c.bad && questions == 0 && name_parse(&c, &name) == 0; answers--) {
        uint16_t type = cursor_u16(&c);
        cursor_take(&c, 6);
        uint16_t len = cursor_u16(&c);
        const uint8_t *rdata = cursor_take(&c, len);
        if (c.bad || !is_address(a, m, query, type, len) || a->result->n_ips == ADDRESSES_MAX)
            continue;
        struct ip ip = { .family = len == 4 ? 4 : 6 };
        memcpy(ip.bytes, rdata, len);
        stub_add_ip(a->result, a->arena, &ip);
        n++;
    }
    return n;
}

/* The first query's reply has the first word, and a name that one of the two does not know is not
 * there. */
static enum walk_outcome judge(struct ask *a, const struct musl *m,
                               const struct musl_reply *replies)
{
    struct stub_result *r = a->result;
    unsigned n = 0;
    for (unsigned i = 0; i < a->n; i++) {
        unsigned rcode = replies[i].len ? replies[i].bytes[3] & 15 : 0;
        r->error = EAI_AGAIN;
        if (replies[i].len == 0)
            return WALK_FAILED;
        r->error = EAI_NONAME;
        if (rcode == RCODE_NXDOMAIN)
            return WALK_NXDOMAIN;
    }
    for (unsigned i = 0; i < a->n; i++) {
        n += take_addresses(a, m, i, &replies[i]);
        a->replies[a->n_replies++] =
            (struct ask_reply){ .bytes = replies[i].bytes, .len = replies[i].len, .query = i };
    }
    a->took_ips = true;
    r->error = n ? 0 : m->no_data;
    return n ? WALK_FOUND : WALK_NODATA;
}

static enum walk_outcome ask_as(struct ask *a, const struct musl *m)
{
    struct musl_reply replies[ASK_TYPES_MAX] = { 0 };
    a->result->error = EAI_NONAME;
    if (!build_queries(a, m))
        return WALK_BAD;
    musl_send(a, m, replies);
    return judge(a, m, replies);
}

static enum walk_outcome ask_now(struct ask *a, const struct name *name)
{
    (void)name;
    return ask_as(a, &now);
}

static enum walk_outcome ask_before(struct ask *a, const struct name *name)
{
    (void)name;
    return ask_as(a, &before);
}

/* ---- the tables -------------------------------------------------------------------------------
 */

static bool is_literal(const char *name, struct ip *ret)
{
    struct in_addr four;
    char bare[64];
    size_t len = strcspn(name, "%");
    if (inet_aton(name, &four)) {
        *ret = (struct ip){ .family = 4 };
        memcpy(ret->bytes, &four, 4);
        return true;
    }
    if (len >= sizeof bare)
        return false;
    memcpy(bare, name, len);
    bare[len] = '\0';
    return ip_parse(bare, ret) == 0 && ret->family == 6;
}

/* nsswitch.conf is not read. */
static void order(const struct stub *s, struct arena *a, struct nss_order *ret)
{
    (void)s;
    (void)a;
    nsswitch_default(ret);
}

static bool is_host_name(const char *name)
{
    return strlen(name) <= 254;
}

static const char *error_name(int error)
{
    return error == EAI_NONAME ? "EAI_NONAME" : error == EAI_NODATA ? "EAI_NODATA" : "EAI_AGAIN";
}

static const char *error_text(int error, const char *name, struct arena *a)
{
    (void)name;
    (void)a;
    return error == EAI_NONAME   ? "Name does not resolve"
           : error == EAI_NODATA ? "Name has no usable address"
                                 : "Try again";
}

#define MOVES(BAD)                                                                                 \
    {                                                                                              \
        [WALK_NODATA] = WALK_STOP, [WALK_SERVFAIL] = WALK_STOP, [WALK_FAILED] = WALK_STOP,         \
        [WALK_BAD] = BAD, [WALK_UNREACHABLE] = WALK_STOP                                           \
    }

static const struct walk_rules walk_now = { .name_max = 255, .moves = MOVES(WALK_NEXT) };
static const struct walk_rules walk_before = { .name_max = 255, .moves = MOVES(WALK_STOP) };

static const struct hostsfile_rules hosts = { .line_max = 511,
                                              .exact_case = true,
                                              .from_column_0 = true,
                                              .needs_end = true,
                                              .old_addresses = true,
                                              .keeps_copies = true,
                                              .other_family_known = true };

#define MUSL                                                                                       \
    .function = "getaddrinfo()", .hosts = &hosts, .only_addresses = true, .read_conf = read_conf,  \
    .order = order, .is_literal = is_literal, .is_host_name = is_host_name,                        \
    .not_host_error = EAI_NONAME, .no_source_error = EAI_NONAME, .literal_error = EAI_NONAME,      \
    .error_name = error_name, .error_text = error_text

const struct way way_musl = {
    .name = "musl",
    .like = "musl 1.2.4 and later",
    .walk = &walk_now,
    .ask = ask_now,
    .hosts_error = EAI_NODATA,
    MUSL,
};

const struct way way_musl_old = {
    .name = "musl-1.2.3",
    .like = "musl 1.1.13 to 1.2.3",
    .walk = &walk_before,
    .ask = ask_before,
    .hosts_error = EAI_NONAME,
    MUSL,
};
