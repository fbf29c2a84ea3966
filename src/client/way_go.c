/* Go's own resolver (package net without cgo): LookupHost() and, for other types, LookupSRV() and
 * its like. A and AAAA are asked for independently, each by a flight of its own. */
#include "base/clock.h"
#include "client/dial.h"
#include "client/way.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS    1000000LL
#define EDNS_SIZE    1232
#define NAME_LEN_MAX 253

enum go_error {
    GO_OK,
    GO_NO_SUCH_HOST,
    GO_MISBEHAVING,
    GO_LAME,
    GO_TIMEOUT,
    GO_REFUSED,
    GO_BROKEN,
    GO_BAD_NAME,
    GO_BAD_ANSWER,
    GO_NOT_SUITABLE,
};

static const char *const texts[] = {
    [GO_NO_SUCH_HOST] = "no such host",
    [GO_MISBEHAVING] = "server misbehaving",
    [GO_LAME] = "lame referral",
    [GO_TIMEOUT] = "i/o timeout",
    [GO_REFUSED] = "connection refused",
    [GO_BROKEN] = "EOF",
    [GO_BAD_NAME] = "cannot marshal DNS message",
    [GO_BAD_ANSWER] = "cannot unmarshal DNS message",
    [GO_NOT_SUITABLE] = "no suitable address found",
};

/* ---- resolv.conf ------------------------------------------------------------------------------
 */

/* Digits only; anything else is 0. */
static int leading_number(const char *s, int max)
{
    long n = 0;
    for (; *s >= '0' && *s <= '9' && n < max; s++)
        n = 10 * n + (*s - '0');
    return (int)MIN(n, (long)max);
}

static void read_option(struct stub_conf *c, struct arena *a, const char *word)
{
    static const int unlimited = 1 << 20; /* attempts and seconds; nobody waits so long */
    if (str_starts(word, "ndots:"))
        c->ndots = leading_number(word + 6, STUB_NDOTS_MAX);
    else if (str_starts(word, "timeout:"))
        c->timeout = MAX(leading_number(word + 8, unlimited), 1);
    else if (str_starts(word, "attempts:"))
        c->attempts = MAX(leading_number(word + 9, unlimited), 1);
    else if (str_eq(word, "rotate"))
        c->rotate = true;
    else if (str_eq(word, "single-request") || str_eq(word, "single-request-reopen"))
        c->single_request = true;
    else if (str_eq(word, "use-vc") || str_eq(word, "usevc") || str_eq(word, "tcp"))
        c->use_vc = true;
    else if (str_eq(word, "trust-ad"))
        c->trust_ad = true;
    else if (!str_eq(word, "edns0") && !str_eq(word, "no-reload"))
        strlist_add(&c->ignored, a, word);
}

/* A dot at the end of an element is always there for Go. */
static void add_search(struct stub_conf *c, struct arena *a, const char *word)
{
    size_t len = strlen(word);
    len -= word[len - 1] == '.';
    if (len)
        strlist_add_copy(&c->searches, a, word, len);
}

static bool read_server(struct stub_conf *c, struct arena *a, const struct strlist *fields)
{
    struct stub_server s;
    if (fields->n < 2 || c->n_servers == STUB_SERVERS_USED ||
        !stub_server_parse(fields->items[1], false, a, &s))
        return false;
    c->servers[c->n_servers++] = s;
    return true;
}

static bool read_fields(struct stub_conf *c, struct arena *a, const struct strlist *fields)
{
    const char *word = fields->items[0];
    if (str_eq(word, "nameserver"))
        return read_server(c, a, fields);
    if (str_eq(word, "options")) {
        for (size_t i = 1; i < fields->n; i++)
            read_option(c, a, fields->items[i]);
        return true;
    }
    bool domain = str_eq(word, "domain");
    if (!domain && !str_eq(word, "search"))
        return false;
    if (domain && fields->n < 2)
        return true;
    c->searches = (struct strlist){ 0 };
    for (size_t i = 1; i < (domain ? 2 : fields->n); i++)
        add_search(c, a, fields->items[i]);
    return true;
}

static void read_defaults(struct stub_conf *c, const struct stub_env *env, struct arena *a)
{
    static const struct stub_server six = { .ip = { 6, { [15] = 1 } }, .port = STUB_PORT };
    const char *domain = stub_env_domain(env);
    if (c->n_servers == 0) {
        stub_server_v4(c, INADDR_LOOPBACK);
        c->servers[c->n_servers++] = six;
    }
    if (c->searches.n == 0 && domain)
        add_search(c, a, domain);
}

static void read_conf(const char *text, const struct stub_env *env, struct arena *a,
                      struct stub_conf *ret)
{
    struct stub_conf c = { .ndots = 1, .timeout = 5, .attempts = 2 };
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        struct strlist fields = { 0 };
        strlist_split(&fields, a, text, len, " \t\r");
        bool comment = *text == '#' || *text == ';';
        if (!comment && fields.n && !read_fields(&c, a, &fields))
            strlist_add(&c.ignored, a, arena_strndup(a, text, len));
        text += len + (text[len] == '\n');
    }
    read_defaults(&c, env, a);
    c.timeout_ms = c.timeout * 1000;
    *ret = c;
}

/* ---- flights ----------------------------------------------------------------------------------
 */

struct flight {
    struct dial dial;
    unsigned query, first, tries; /* the server of the first try; how many tries were made */
    bool begun, done, found, nxdomain;
    size_t line;
    int64_t deadline;
    enum go_error error;
    const char *server, *text; /* of the error */
};

/* What lives from one candidate to the next. */
struct state {
    struct flight flights[ASK_TYPES_MAX];
    unsigned rotation;
    bool has_error;
};

static void *open_state(struct stub *s, struct arena *a)
{
    struct state *st = arena_zalloc(a, sizeof *st);
    (void)s;
    for (unsigned i = 0; i < ASK_TYPES_MAX; i++)
        dial_init(&st->flights[i].dial);
    return st;
}

static const struct stub_server *server_now(const struct ask *a, const struct flight *f)
{
    const struct stub_conf *c = a->stub->conf;
    return &c->servers[(f->first + f->tries) % c->n_servers];
}

static const char *server_text(struct ask *a, const struct stub_server *s)
{
    char text[IP_PORT_TEXT_MAX];
    return arena_strdup(a->arena, ip_port_text(&s->ip, s->port, text));
}

/* "read udp 127.0.0.1:40000->127.0.0.1:53: i/o timeout" */
static const char *socket_text(struct ask *a, const struct flight *f, enum go_error error)
{
    struct sockaddr_storage sa = { 0 };
    socklen_t len = sizeof sa;
    const char *net = f->dial.tcp ? "tcp" : "udp", *server = server_text(a, server_now(a, f));
    const char *what = error == GO_REFUSED ? "connection refused" : texts[error];
    bool dialled = f->dial.fd >= 0 && !(f->dial.tcp && f->dial.n_out);
    if (error == GO_BROKEN)
        return texts[error];
    if (!dialled || getsockname(f->dial.fd, (struct sockaddr *)&sa, &len) < 0)
        return arena_printf(a->arena, "dial %s %s: %s%s", net, server,
                            error == GO_REFUSED ? "connect: " : "", what);
    struct stub_server here = { .ip = ip_of_sockaddr((struct sockaddr *)&sa),
                                .port = port_of_sockaddr((struct sockaddr *)&sa) };
    return arena_printf(a->arena, "read %s %s->%s: %s%s", net, server_text(a, &here), server,
                        error == GO_REFUSED ? "read: " : "", what);
}

static void note_error(struct ask *a, struct flight *f, enum go_error error)
{
    bool of_socket = error == GO_TIMEOUT || error == GO_REFUSED || error == GO_BROKEN;
    f->error = error;
    f->server = server_text(a, server_now(a, f));
    f->text = of_socket ? socket_text(a, f, error) : texts[error];
}

/* The first error stays, unless that of the name as it is comes. */
static void land(struct ask *a, struct flight *f)
{
    struct state *st = a->state;
    struct stub_result *r = a->result;
    dial_close(&f->dial);
    f->done = true;
    if (f->found || (st->has_error && !a->as_is && a->address))
        return;
    st->has_error = true;
    r->error = f->error;
    r->error_text = f->server
                        ? arena_printf(a->arena, "lookup %s on %s: %s", r->name, f->server, f->text)
                        : arena_printf(a->arena, "lookup %s: %s", r->name, f->text);
}

static bool send_to_server(struct ask *a, struct flight *f, bool tcp)
{
    const struct stub_server *s = server_now(a, f);
    unsigned n = a->stub->conf->n_servers;
    int rc = dial_open(&f->dial, s, tcp, a->arena);
    if (rc == 0)
        rc = dial_send(&f->dial, &a->queries[f->query]);
    f->deadline = clock_ns() + a->stub->conf->timeout_ms * NS_PER_MS;
    if (rc < 0) {
        note_error(a, f, rc == -ECONNREFUSED ? GO_REFUSED : GO_BROKEN);
        dial_close(&f->dial);
        return false;
    }
    f->line = ask_trace_sent(a, f->query, (unsigned)(s - a->stub->conf->servers), f->tries / n, tcp,
                             f->dial.fd);
    return true;
}

static void try_next(struct ask *a, struct flight *f)
{
    const struct stub_conf *c = a->stub->conf;
    for (; f->tries < (unsigned)c->attempts * c->n_servers; f->tries++) {
        if (send_to_server(a, f, c->use_vc))
            return;
    }
    land(a, f);
}

static void begin(struct ask *a, struct flight *f)
{
    struct state *st = a->state;
    f->first = a->stub->conf->rotate ? st->rotation++ : 0;
    f->begun = true;
    try_next(a, f);
}

static void fail(struct ask *a, struct flight *f, enum go_error error, enum stub_fate fate)
{
    note_error(a, f, error);
    ask_trace_end(a, f->line, fate);
    dial_close(&f->dial);
    f->tries++;
    try_next(a, f);
}

static bool has_type(struct ask *a, const struct msg *m, uint16_t type)
{
    (void)a;
    for (unsigned i = 0; i < m->section[SECTION_ANSWER].n; i++) {
        if (m->section[SECTION_ANSWER].items[i].type == type)
            return true;
    }
    return false;
}

static enum go_error judge(struct ask *a, const struct ask_reply *r, size_t len)
{
    const struct walk_reply *b = &r->brief;
    struct msg m;
    if (b->rcode == RCODE_NXDOMAIN)
        return GO_NO_SUCH_HOST;
    if (b->rcode == RCODE_NOERROR && !b->aa && !b->ra && !b->answers && !b->additional)
        return GO_LAME;
    if (b->rcode != RCODE_NOERROR)
        return GO_MISBEHAVING;
    if (msg_parse(a->buffer, len, a->arena, &m) < 0)
        return GO_BAD_ANSWER;
    return has_type(a, &m, a->queries[r->query].type) ? GO_OK : GO_NO_SUCH_HOST;
}

static void take_reply(struct ask *a, struct flight *f, const struct ask_reply *r)
{
    ask_trace_reply(a, f->line, r);
    if (r->tc && !f->dial.tcp) {
        dial_close(&f->dial);
        if (!send_to_server(a, f, true)) {
            f->tries++;
            try_next(a, f);
        }
        return;
    }
    enum go_error error = judge(a, r, r->len);
    if (error != GO_OK && error != GO_NO_SUCH_HOST) {
        fail(a, f, error, STUB_BROKEN);
        return;
    }
    f->found = error == GO_OK;
    f->nxdomain = r->brief.rcode == RCODE_NXDOMAIN;
    if (f->found)
        ask_accept(a, r);
    else
        note_error(a, f, error);
    land(a, f);
}

static void serve(struct ask *a, struct flight *f, short events)
{
    struct ask_reply r;
    int rc = events & (POLLOUT | POLLERR) ? dial_flush(&f->dial) : 0;
    ssize_t n = rc < 0 ? rc : 0;
    while (rc == 0 &&
           (n = dial_receive(&f->dial, a->buffer, f->dial.tcp ? MSG_MAX : EDNS_SIZE)) > 0) {
        if (ask_read_reply(a, (size_t)n, &r) && r.query == f->query) {
            take_reply(a, f, &r);
            return;
        }
        if (f->dial.tcp) {
            fail(a, f, GO_BAD_ANSWER, STUB_BROKEN);
            return;
        }
    }
    if (n < 0)
        fail(a, f, n == -ECONNREFUSED ? GO_REFUSED : GO_BROKEN,
             n == -ECONNREFUSED ? STUB_REFUSED : STUB_BROKEN);
}

static bool under_way(const struct flight *f)
{
    return f->begun && !f->done;
}

static void wait_some(struct ask *a, struct flight *flights)
{
    struct pollfd p[ASK_TYPES_MAX];
    int64_t until = INT64_MAX;
    for (unsigned i = 0; i < a->n; i++) {
        struct flight *f = &flights[i];
        bool flies = under_way(f);
        p[i] = (struct pollfd){ flies ? f->dial.fd : -1, flies ? dial_events(&f->dial) : 0, 0 };
        if (flies)
            until = MIN(until, f->deadline);
    }
    int64_t left = until - clock_ns();
    if (poll(p, a->n, left > 0 ? (int)((left + NS_PER_MS - 1) / NS_PER_MS) : 0) < 0)
        return;
    for (unsigned i = 0; i < a->n; i++) {
        if (p[i].revents && under_way(&flights[i]))
            serve(a, &flights[i], p[i].revents);
        else if (under_way(&flights[i]) && clock_ns() >= flights[i].deadline)
            fail(a, &flights[i], GO_TIMEOUT, STUB_TIMED_OUT);
    }
}

static void fly(struct ask *a, struct flight *flights)
{
    bool one_by_one = a->stub->conf->single_request;
    unsigned n = a->n;
    for (unsigned i = 0; i < n; i++) {
        struct flight *f = &flights[one_by_one ? i : n - 1 - i]; /* AAAA mostly leaves first */
        begin(a, f);
        while (one_by_one && !f->done)
            wait_some(a, flights);
    }
    while (under_way(&flights[0]) || (n > 1 && under_way(&flights[1])))
        wait_some(a, flights);
}

static enum walk_outcome outcome(const struct ask *a, const struct flight *flights)
{
    bool nxdomain = false, refused = true, misbehaving = false, known = true;
    for (unsigned i = 0; i < a->n; i++) {
        const struct flight *f = &flights[i];
        if (f->found)
            return WALK_FOUND;
        nxdomain |= f->nxdomain;
        known &= f->error == GO_NO_SUCH_HOST;
        refused &= f->error == GO_REFUSED;
        misbehaving |= f->error == GO_MISBEHAVING;
    }
    if (known)
        return nxdomain ? WALK_NXDOMAIN : WALK_NODATA;
    return refused ? WALK_UNREACHABLE : misbehaving ? WALK_SERVFAIL : WALK_FAILED;
}

static enum walk_outcome ask(struct ask *a, const struct name *name)
{
    struct state *st = a->state;
    for (unsigned i = 0; i < a->n; i++) {
        struct flight *f = &st->flights[i];
        struct dial dial = f->dial;
        *f = (struct flight){ .dial = dial, .query = i };
    }
    if (!name) {
        st->flights[0].error = GO_BAD_NAME;
        st->flights[0].text = texts[GO_BAD_NAME];
        land(a, &st->flights[0]);
        return WALK_BAD;
    }
    ask_build(a, name, EDNS_SIZE, a->stub->conf->trust_ad);
    fly(a, st->flights);
    return outcome(a, st->flights);
}

/* ---- the table --------------------------------------------------------------------------------
 */

/* Letters, digits, "-" and "_", something that is no digit, no "-" at the ends of labels. */
static bool is_host_name(const char *name)
{
    size_t len = strlen(name), label = 0;
    bool not_a_number = false;
    char last = '.';
    len -= len > 0 && name[len - 1] == '.';
    if (len > NAME_LEN_MAX || strlen(name) == 0)
        return false;
    for (const char *p = name; *p; last = *p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        bool digit = *p >= '0' && *p <= '9';
        if (!letter && !digit && *p != '-' && *p != '.')
            return false;
        if ((*p == '-' && last == '.') || (*p == '.' && (last == '.' || last == '-')))
            return false;
        label = *p == '.' ? 0 : label + 1;
        not_a_number |= letter || *p == '-';
        if (label > NAME_MAX_LABEL)
            return false;
    }
    return last != '-' && not_a_number;
}

static bool is_literal(const char *name, struct ip *ret)
{
    return ip_parse(name, ret) == 0;
}

/* Only whether files and dns are there, and which of them comes first; what else is named stands
 * for dns, when that is not. */
static void order(const struct stub *s, struct arena *a, struct nss_order *ret)
{
    struct nss_order all, o = { .found = true };
    bool has_dns = false, has_files = false;
    nsswitch_parse(s->nsswitch, a, &all);
    if (!all.found) {
        nsswitch_default(ret);
        return;
    }
    for (unsigned i = 0; i < all.n; i++)
        has_dns |= all.steps[i].source == NSS_DNS;
    bool other_is_dns = !has_dns;
    for (unsigned i = 0; i < all.n; i++) {
        struct nss_step step = all.steps[i];
        if (step.source == NSS_OTHER && !other_is_dns)
            continue;
        bool files = step.source == NSS_FILES;
        if (files ? has_files : other_is_dns && step.source == NSS_OTHER && o.n && has_dns)
            continue;
        has_files |= files;
        has_dns |= !files;
        o.steps[o.n++] = (struct nss_step){ files ? NSS_FILES : NSS_DNS, files ? "files" : "dns",
                                            1 << NSS_SUCCESS };
    }
    *ret = o;
}

static const char *error_name(int error)
{
    return texts[error];
}

static const char *error_text(int error, const char *name, struct arena *a)
{
    return arena_printf(a, "lookup %s: %s", name, texts[error]);
}

static const struct walk_rules walk = { .searches_after = true,
                                        .skips_onion = true,
                                        .name_max = NAME_LEN_MAX };
static const struct hostsfile_rules hosts = { .rooted = true,
                                              .keeps_copies = true,
                                              .other_family_known = true };

const struct way way_go = {
    .name = "go",
    .function = "LookupHost()",
    .like = "Go 1.19 and later without cgo",
    .walk = &walk,
    .hosts = &hosts,
    .read_conf = read_conf,
    .order = order,
    .is_literal = is_literal,
    .is_host_name = is_host_name,
    .open = open_state,
    .ask = ask,
    .not_host_error = GO_NO_SUCH_HOST,
    .no_source_error = GO_NO_SUCH_HOST,
    .literal_error = GO_NOT_SUITABLE,
    .hosts_error = GO_NOT_SUITABLE,
    .error_name = error_name,
    .error_text = error_text,
};
