/* The stub resolver against a scripted server on loopback. What takes seconds (silence) and the
 * comparison with the C library are in tests/functional/test_lookup.py. */
#include "client/stub.h"

#include "base/cursor.h"
#include "client/trace.h"
#include "wire/rr.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define STRAYS 3

/* "NAME TYPE WORDS": RCODE number, or answers "a IP", "cname NAME", "srv NAME"; "tc" over UDP only.
 * What is not listed does not exist. */
struct rule {
    const char *name;
    uint16_t type; /* 0: any */
    unsigned rcode;
    bool tc, strays;
    const char *answers[4]; /* "10.0.0.1", "=alias.target", "!srv.target" */
};

struct server {
    int udp, tcp, stop[2];
    uint16_t port;
    const struct rule *rules;
    size_t n;
    pthread_t thread;
};

static void put_name(struct wbuf *w, const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(text, &n), 0);
    wbuf_put(w, n.wire, n.len);
}

/* Owner: the question's name, or after an alias its target. */
static void put_answer(struct wbuf *w, const char *text, const char **owner, uint16_t type)
{
    struct ip ip;
    uint8_t rdata[300];
    struct wbuf d = wbuf_of(rdata, sizeof rdata);
    uint16_t rtype = type;
    put_name(w, *owner);
    if (text[0] == '=') {
        rtype = RR_CNAME;
        put_name(&d, text + 1);
        *owner = text + 1;
    } else if (text[0] == '!') {
        rtype = RR_SRV;
        wbuf_put(&d, "\0\0\0\144\0\120", 6);
        put_name(&d, text + 1);
    } else {
        assert_int_equal(ip_parse(text, &ip), 0);
        wbuf_put(&d, ip.bytes, ip_len(&ip));
    }
    wbuf_u16(w, rtype);
    wbuf_u16(w, CLASS_IN);
    wbuf_u32(w, 5);
    wbuf_u16(w, (uint16_t)d.pos);
    wbuf_put(w, rdata, d.pos);
}

static const struct rule *rule_for(const struct server *s, const char *name, uint16_t type)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcasecmp(s->rules[i].name, name) == 0 &&
            (s->rules[i].type == 0 || s->rules[i].type == type))
            return &s->rules[i];
    }
    static const struct rule none = { .rcode = RCODE_NXDOMAIN };
    return &none;
}

static size_t reply_to(const struct server *s, const uint8_t *q, size_t len, bool tcp, uint8_t *out,
                       const struct rule **ret_rule)
{
    struct cursor c = cursor_of(q, len);
    struct wbuf w = wbuf_of(out, 2048);
    struct name name;
    char text[NAME_TEXT_MAX];
    const char *owner = text;
    cursor_take(&c, 12);
    assert_int_equal(name_parse(&c, &name), 0);
    uint16_t type = cursor_u16(&c);
    const struct rule *r = *ret_rule = rule_for(s, name_to_text(name.wire, text), type);
    bool cut = r->tc && !tcp;
    unsigned n = 0;
    while (!cut && n < ARRAY_SIZE(r->answers) && r->answers[n])
        n++;
    wbuf_put(&w, q, 2);
    wbuf_u16(&w, (uint16_t)(0x8180 | (cut ? 0x200 : 0) | r->rcode));
    wbuf_u16(&w, 1);
    wbuf_u16(&w, (uint16_t)n);
    wbuf_u32(&w, 0);
    wbuf_put(&w, name.wire, name.len);
    wbuf_u16(&w, type);
    wbuf_u16(&w, CLASS_IN);
    for (unsigned i = 0; i < n; i++)
        put_answer(&w, r->answers[i], &owner, type);
    assert_false(w.bad);
    return w.pos;
}

/* Replies that must not be taken: other ID, other question, a query, and cut off. */
static void send_strays(const struct server *s, const uint8_t *good, size_t len,
                        const struct sockaddr *peer, socklen_t peer_len)
{
    uint8_t bad[STRAYS][2048];
    for (int i = 0; i < STRAYS; i++)
        memcpy(bad[i], good, len);
    bad[0][0] ^= 0xff;
    bad[1][13] ^= 0x03; /* first letter of the name */
    bad[2][2] &= 0x7f;
    for (int i = 0; i < STRAYS; i++)
        sendto(s->udp, bad[i], len, 0, peer, peer_len);
    sendto(s->udp, good, 11, 0, peer, peer_len);
}

static void serve_udp(const struct server *s)
{
    uint8_t in[512], out[2048];
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    const struct rule *r;
    ssize_t n = recvfrom(s->udp, in, sizeof in, 0, (struct sockaddr *)&peer, &peer_len);
    if (n < 12)
        return;
    size_t len = reply_to(s, in, (size_t)n, false, out, &r);
    if (r->strays)
        send_strays(s, out, len, (struct sockaddr *)&peer, peer_len);
    sendto(s->udp, out, len, 0, (struct sockaddr *)&peer, peer_len);
}

static void serve_tcp(const struct server *s)
{
    cleanup_close int fd = accept(s->tcp, NULL, NULL);
    uint8_t head[2], in[512], out[2 + 2048];
    const struct rule *r;
    while (recv(fd, head, 2, MSG_WAITALL) == 2) {
        uint16_t n = get_u16(head);
        assert_int_equal(recv(fd, in, n, MSG_WAITALL), n);
        size_t len = reply_to(s, in, n, true, out + 2, &r);
        put_u16(out, (uint16_t)len);
        assert_int_equal(send(fd, out, len + 2, MSG_NOSIGNAL), len + 2);
    }
}

static void *serve(void *p)
{
    struct server *s = p;
    struct pollfd fds[] = { { s->udp, POLLIN, 0 },
                            { s->tcp, POLLIN, 0 },
                            { s->stop[0], POLLIN, 0 } };
    while (poll(fds, 3, -1) > 0 && !fds[2].revents) {
        if (fds[0].revents)
            serve_udp(s);
        if (fds[1].revents)
            serve_tcp(s);
    }
    return NULL;
}

static int bound(int kind, uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A port that is free for both. */
static void start(struct server *s, const struct rule *rules, size_t n)
{
    *s = (struct server){ .rules = rules, .n = n, .tcp = -1 };
    for (int tries = 0; tries < 20 && s->tcp < 0; tries++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        s->udp = bound(SOCK_DGRAM, 0);
        assert_int_equal(getsockname(s->udp, (struct sockaddr *)&sa, &len), 0);
        s->port = port_of_sockaddr((struct sockaddr *)&sa);
        s->tcp = bound(SOCK_STREAM, s->port);
        if (s->tcp < 0)
            close(s->udp);
    }
    assert_true(s->tcp >= 0);
    assert_int_equal(listen(s->tcp, 4), 0);
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
    assert_int_equal(write(s->stop[1], "", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->udp);
    close(s->tcp);
    close(s->stop[0]);
    close(s->stop[1]);
}

/* A look-up at that server; queries as "NAME TYPE RCODE proto" in words. */
struct done {
    struct arena arena;
    struct stub_conf conf;
    struct stub_result r;
    const char *queries, *ips;
};

static void look_up_as(struct done *d, const struct way *way, uint16_t port, const char *conf,
                       const char *hosts, const char *name, uint16_t type)
{
    struct stub s;
    struct err e = { 0 };
    char buf[2][16], text[IP_TEXT_MAX];
    arena_init(&d->arena, 16384);
    way->read_conf(conf, NULL, &d->arena, &d->conf);
    for (unsigned i = 0; i < d->conf.n_servers; i++)
        d->conf.servers[i].port = port;
    stub_init(&s, way, &d->conf, hosts, NULL);
    if (stub_lookup(&s, name, type, &d->arena, &d->r, &e) < 0)
        fail_msg("%s", e.text);
    d->queries = d->ips = "";
    for (size_t i = 0; i < d->r.n_queries; i++) {
        const struct stub_query *q = &d->r.queries[i];
        d->queries =
            arena_printf(&d->arena, "%s%s%s %s %s%s%s", d->queries, i ? ", " : "",
                         d->r.candidates[q->candidate].name, rr_type_text(q->type, buf[0]),
                         q->fate == STUB_REFUSED ? "refused" : rcode_text(q->rcode, buf[1]),
                         q->tcp ? " tcp" : "", q->tc ? " tc" : "");
    }
    for (size_t i = 0; i < d->r.n_ips; i++)
        d->ips =
            arena_printf(&d->arena, "%s%s%s", d->ips, i ? " " : "", ip_text(&d->r.ips[i], text));
}

static void look_up(struct done *d, uint16_t port, const char *conf, const char *hosts,
                    const char *name, uint16_t type)
{
    look_up_as(d, &way_glibc, port, conf, hosts, name, type);
}

#define CONF "search s1 s2\nnameserver 127.0.0.1\n"

static const struct rule rules[] = {
    { .name = "bar.s2.", .type = RR_A, .answers = { "10.0.0.1", "10.0.0.2" }, .strays = true },
    { .name = "bar.s2." },
    { .name = "both.s1.", .type = RR_A, .answers = { "10.0.0.1" } },
    { .name = "both.s1.", .type = RR_AAAA, .answers = { "fd00::1" } },
    { .name = "big.s1.", .type = RR_A, .tc = true, .answers = { "10.0.0.3" } },
    { .name = "big.s1." },
    { .name = "alias.s1.", .type = RR_A, .answers = { "=x.example", "=y.example", "10.0.0.4" } },
    { .name = "alias.s1." },
    { .name = "lost.s1.", .answers = { "=nowhere.example" } },
    { .name = "_http._tcp.web.s1.", .type = RR_SRV, .answers = { "!web.s1" } },
    { .name = "fail.s1.", .rcode = RCODE_SERVFAIL },
    { .name = "fail.s2.", .type = RR_A, .answers = { "10.0.0.5" } },
    { .name = "deny.s1.", .rcode = RCODE_REFUSED },
    { .name = "deny.s2.", .type = RR_A, .answers = { "10.0.0.5" } },
};

static const struct {
    const char *conf, *hosts, *name;
    uint16_t type;
    const char *queries, *ips, *canonical;
    int error, won;
    enum stub_source source;
} rows[] = {
    { CONF, NULL, "bar", STUB_ADDRESS,
      "bar.s1 A NXDOMAIN, bar.s1 AAAA NXDOMAIN, bar.s2 A NOERROR, bar.s2 AAAA NOERROR",
      "10.0.0.1 10.0.0.2", "bar.s2.", 0, 1, STUB_FROM_DNS },
    { CONF, NULL, "BAR", STUB_ADDRESS,
      "BAR.s1 A NXDOMAIN, BAR.s1 AAAA NXDOMAIN, BAR.s2 A NOERROR, BAR.s2 AAAA NOERROR",
      "10.0.0.1 10.0.0.2", "BAR.s2.", 0, 1, STUB_FROM_DNS },
    { CONF, NULL, "both", STUB_ADDRESS, "both.s1 A NOERROR, both.s1 AAAA NOERROR",
      "10.0.0.1 fd00::1", "both.s1.", 0, 0, STUB_FROM_DNS },
    { CONF, NULL, "both", RR_AAAA, "both.s1 AAAA NOERROR", "fd00::1", "both.s1.", 0, 0,
      STUB_FROM_DNS },
    { CONF "options single-request\n", NULL, "both", STUB_ADDRESS,
      "both.s1 A NOERROR, both.s1 AAAA NOERROR", "10.0.0.1 fd00::1", "both.s1.", 0, 0,
      STUB_FROM_DNS },
    { CONF "options no-aaaa\n", NULL, "both", STUB_ADDRESS, "both.s1 A NOERROR", "10.0.0.1",
      "both.s1.", 0, 0, STUB_FROM_DNS },
    { CONF "options use-vc\n", NULL, "both", STUB_ADDRESS,
      "both.s1 A NOERROR tcp, both.s1 AAAA NOERROR tcp", "10.0.0.1 fd00::1", "both.s1.", 0, 0,
      STUB_FROM_DNS },
    { CONF, NULL, "alias", RR_A, "alias.s1 A NOERROR", "10.0.0.4", "y.example.", 0, 0,
      STUB_FROM_DNS },
    { CONF, NULL, "lost", STUB_ADDRESS, "lost.s1 A NOERROR, lost.s1 AAAA NOERROR", "",
      "nowhere.example.", EAI_NONAME, 0, STUB_FROM_DNS },
    { CONF, NULL, "_http._tcp.web", RR_SRV,
      "_http._tcp.web SRV NXDOMAIN, _http._tcp.web.s1 SRV NOERROR", "", "_http._tcp.web.s1.", 0, 1,
      STUB_FROM_DNS },
    { CONF, NULL, "fail", RR_A, "fail.s1 A SERVFAIL, fail.s1 A SERVFAIL, fail.s2 A NOERROR",
      "10.0.0.5", "fail.s2.", 0, 1, STUB_FROM_DNS },
    { CONF, NULL, "deny", RR_A, "deny.s1 A REFUSED, deny.s1 A REFUSED, deny A NXDOMAIN", "", NULL,
      EAI_NONAME, -1, STUB_FROM_DNS },
    { CONF, NULL, "x.y.", RR_A, "x.y. A NXDOMAIN", "", NULL, EAI_NONAME, -1, STUB_FROM_DNS },
    { CONF, "10.7.7.7 bar\nfd00::7 bar\n", "bar", STUB_ADDRESS, "", "10.7.7.7 fd00::7", "bar", 0,
      -1, STUB_FROM_FILES },
    { CONF, "10.7.7.7 bar\n", "bar", RR_AAAA,
      "bar.s1 AAAA NXDOMAIN, bar.s2 AAAA NOERROR, bar AAAA "
      "NXDOMAIN",
      "", NULL, EAI_NODATA, -1, STUB_FROM_DNS },
    { CONF, NULL, "10.9", STUB_ADDRESS, "", "10.0.0.9", NULL, 0, -1, STUB_FROM_LITERAL },
    { CONF, NULL, "fd00::9", RR_A, "", "", NULL, EAI_NONAME, -1, STUB_FROM_LITERAL },
    { CONF, NULL, "a*b", RR_A, "", "", NULL, EAI_NONAME, -1, STUB_FROM_DNS },
    { CONF "options attempts:0\n", NULL, "bar", RR_A, "", "", NULL, EAI_AGAIN, -1, STUB_FROM_DNS },
};

static void test_rows(void **state)
{
    (void)state;
    struct server s;
    start(&s, rules, ARRAY_SIZE(rules));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct done d;
        print_message("  %s\n", rows[i].name);
        look_up(&d, s.port, rows[i].conf, rows[i].hosts, rows[i].name, rows[i].type);
        assert_string_equal(d.queries, rows[i].queries);
        assert_true(str_eq(d.r.canonical, rows[i].canonical));
        if (rows[i].type == RR_SRV)
            assert_non_null(strstr(d.r.records.items[0], "0 100 80 web.s1."));
        assert_string_equal(d.ips, rows[i].ips);
        assert_int_equal(d.r.error, rows[i].error);
        assert_int_equal(d.r.won, rows[i].won);
        assert_int_equal(d.r.source, rows[i].source);
        arena_done(&d.arena);
    }
    stop(&s);
}

/* Which of the two replies comes first decides whether the other is still awaited: A is cut, and
 * then both are asked again over one connection. */
static void test_truncated(void **state)
{
    (void)state;
    struct server s;
    struct done d;
    start(&s, rules, ARRAY_SIZE(rules));
    look_up(&d, s.port, CONF, NULL, "big", STUB_ADDRESS);
    assert_int_equal(d.r.n_queries, 4);
    assert_true(d.r.queries[0].tc && !d.r.queries[0].tcp);
    assert_true(d.r.queries[2].tcp && d.r.queries[3].tcp);
    assert_int_equal(d.r.queries[2].local_port, d.r.queries[3].local_port);
    assert_string_equal(d.ips, "10.0.0.3");
    arena_done(&d.arena);
    stop(&s);
}

static void test_ports(void **state)
{
    (void)state;
    struct server s;
    struct done d;
    start(&s, rules, ARRAY_SIZE(rules));
    look_up(&d, s.port, CONF, NULL, "both", STUB_ADDRESS);
    assert_int_not_equal(d.r.queries[0].local_port, 0);
    assert_int_equal(d.r.queries[0].local_port, d.r.queries[1].local_port);
    assert_int_not_equal(d.r.queries[0].id, d.r.queries[1].id);
    arena_done(&d.arena);
    look_up(&d, s.port, CONF "options single-request-reopen\n", NULL, "both", STUB_ADDRESS);
    assert_int_equal(d.r.n_queries, 2);
    assert_true(d.r.queries[1].sent_us >= d.r.queries[0].sent_us + d.r.queries[0].time_us);
    arena_done(&d.arena);
    stop(&s);
}

static void test_nobody(void **state)
{
    (void)state;
    struct server s;
    struct done d;
    start(&s, rules, ARRAY_SIZE(rules));
    stop(&s); /* its port is free now */
    look_up(&d, s.port, CONF, NULL, "bar", STUB_ADDRESS);
    assert_int_equal(d.r.error, EAI_AGAIN);
    assert_int_equal(d.r.n_candidates, 1);
    assert_int_equal(d.r.candidates[0].outcome, WALK_UNREACHABLE);
    assert_int_equal(d.r.queries[0].fate, STUB_REFUSED);
    arena_done(&d.arena);
}

static void test_waits(void **state)
{
    (void)state;
    static const struct {
        int timeout;
        unsigned n, server;
        int want;
    } waits[] = { { 5, 1, 0, 5 }, { 5, 3, 0, 5 }, { 5, 3, 1, 3 },  { 5, 3, 2, 6 },  { 5, 2, 1, 5 },
                  { 1, 3, 1, 1 }, { 0, 1, 0, 1 }, { -3, 2, 1, 1 }, { 30, 3, 2, 40 } };
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        struct stub_conf c = { .timeout = waits[i].timeout, .n_servers = waits[i].n };
        assert_int_equal(stub_wait_seconds(&c, waits[i].server), waits[i].want);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct err e = { 0 };
    const struct way *way = NULL;
    struct stub_conf c = { .n_servers = 1, .ndots = 1 };
    struct stub s;
    struct stub_result r;
    struct arena a;
    assert_int_equal(way_from_text("glibc", &way, &e), 0);
    assert_ptr_equal(way, &way_glibc);
    assert_int_equal(way_from_text("dig", &way, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "glibc, musl, musl-1.2.3, go, c-ares"));
    arena_init(&a, 4096);
    stub_init(&s, &way_glibc, &c, NULL, NULL);
    assert_int_equal(stub_lookup(&s, "", STUB_ADDRESS, &a, &r, &e), ERR_INVALID);
    char *longest = arena_printf(&a, "%0*d", NAME_TEXT_MAX, 1);
    assert_int_equal(stub_lookup(&s, longest, STUB_ADDRESS, &a, &r, &e), ERR_INVALID);
    arena_done(&a);
}

static void test_advice(void **state)
{
    (void)state;
    struct server s;
    struct done d;
    start(&s, rules, ARRAY_SIZE(rules));
    look_up(&d, s.port, CONF, NULL, "bar", STUB_ADDRESS);
    struct trace t = { "bar", "glibc", STUB_ADDRESS, &d.conf, &d.r };
    struct trace_advice a = trace_advise(&t);
    assert_int_equal(a.queries, 4);
    assert_int_equal(a.before_winner, 2);
    assert_int_equal(a.again, 0);
    assert_string_equal(a.better, "bar.s2.");
    assert_null(a.left_list_at);
    cleanup(strbuf_done) struct strbuf json = { 0 };
    trace_json(&t, &json);
    assert_non_null(strstr(json.p, "\"betterName\":\"bar.s2.\""));
    assert_non_null(strstr(json.p, "{\"name\":\"bar.s2\",\"outcome\":\"found\",\"queries\":2,"
                                   "\"won\":true}"));
    arena_done(&d.arena);
    look_up(&d, s.port, CONF, NULL, "deny", RR_A);
    t = (struct trace){ "deny", "glibc", RR_A, &d.conf, &d.r };
    a = trace_advise(&t);
    assert_int_equal(a.before_winner, 3);
    assert_int_equal(a.again, 1);
    assert_string_equal(a.better, "");
    assert_string_equal(a.left_list_at, "deny.s1");
    arena_done(&d.arena);
    stop(&s);
}

/* The order of addresses is that of the replies, and so not looked at with two of them. */
static const struct way_row {
    const struct way *way;
    const char *name, *error;
    size_t n_queries, n_ips, n_tcp;
} way_rows[] = {
    { &way_musl, "both", "", 2, 2, 0 },
    { &way_musl, "big", "", 3, 1, 1 },
    { &way_musl, "alias", "", 2, 1, 0 },
    { &way_musl, "lost", "EAI_NODATA", 2, 0, 0 },
    { &way_musl, "nowhere", "EAI_NONAME", 6, 0, 0 },
    { &way_musl_old, "big", "EAI_NONAME", 2, 0, 0 },
    { &way_go, "both", "", 2, 2, 0 },
    { &way_go, "bar", "", 4, 2, 0 },
    { &way_go, "big", "", 3, 1, 1 },
    { &way_go, "alias", "", 2, 1, 0 },
    { &way_go, "lost", "no such host", 6, 0, 0 },
    { &way_go, "fail", "", 6, 1, 0 },
    { &way_go, "deny", "", 6, 1, 0 },
    { &way_cares, "both", "", 2, 2, 0 },
    { &way_cares, "bar", "", 4, 2, 0 },
    { &way_cares, "big", "", 3, 1, 1 },
    { &way_cares, "alias", "", 2, 1, 0 },
    { &way_cares, "lost", "ARES_ENODATA", 6, 0, 0 },
    { &way_cares, "fail", "ARES_ECONNREFUSED", 8, 0, 0 },
    { &way_cares, "deny", "ARES_ECONNREFUSED", 8, 0, 0 },
};

static void test_ways(void **state)
{
    (void)state;
    struct server s;
    start(&s, rules, ARRAY_SIZE(rules));
    for (size_t i = 0; i < ARRAY_SIZE(way_rows); i++) {
        const struct way_row *row = &way_rows[i];
        struct done d;
        size_t tcp = 0;
        look_up_as(&d, row->way, s.port, CONF, NULL, row->name, STUB_ADDRESS);
        print_message("  %s %s: %s\n", row->way->name, row->name, d.queries);
        for (size_t j = 0; j < d.r.n_queries; j++)
            tcp += d.r.queries[j].tcp;
        assert_string_equal(d.r.error_name, row->error);
        assert_int_equal(d.r.n_queries, row->n_queries);
        assert_int_equal(d.r.n_ips, row->n_ips);
        assert_int_equal(tcp, row->n_tcp);
        arena_done(&d.arena);
    }
    stop(&s);
}

/* Nobody listens: Go tells which socket said so. */
static void test_ways_with_nobody(void **state)
{
    (void)state;
    struct server s;
    struct done d;
    start(&s, rules, ARRAY_SIZE(rules));
    stop(&s); /* its port is free now */
    look_up_as(&d, &way_go, s.port, CONF, NULL, "bar", RR_A);
    assert_string_equal(d.r.error_name, "connection refused");
    assert_non_null(strstr(d.r.error_text, "lookup bar on 127.0.0.1:"));
    assert_non_null(strstr(d.r.error_text, ": read: connection refused"));
    assert_int_equal(d.r.n_queries, 6);
    arena_done(&d.arena);
    look_up_as(&d, &way_cares, s.port, CONF, NULL, "bar", RR_A);
    assert_string_equal(d.r.error_name, "ARES_ECONNREFUSED");
    assert_int_equal(d.r.n_queries, 4);
    arena_done(&d.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_ways_with_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
