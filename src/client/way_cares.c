/* c-ares: ares_getaddrinfo(). One UDP and one TCP socket a server for the whole look-up; each query
 * goes its own way from server to server. */
#include "base/clock.h"
#include "client/dial.h"
#include "client/way.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS  1000000LL
#define TIMEOUT_MS 5000
#define TRIES      4
#define TRIES_MAX  100         /* of the file's "retry:", lest a look-up never end */
#define WAIT_MAX   (1LL << 31) /* ms */
#define NO_TCP     0

/* Numbers of ares.h. */
enum ares_status {
    ARES_SUCCESS = 0,
    ARES_ENODATA = 1,
    ARES_EFORMERR = 2,
    ARES_ENOTFOUND = 4,
    ARES_EBADNAME = 8,
    ARES_EBADRESP = 10,
    ARES_ECONNREFUSED = 11,
    ARES_ETIMEOUT = 12,
};

/* ---- resolv.conf ------------------------------------------------------------------------------
 */

struct reader {
    struct arena *arena;
    struct stub_conf conf;
    bool has_ndots, has_timeout, has_tries, searches_fixed;
};

static int number(const char *s, int max)
{
    long n = strtol(s, NULL, 10);
    return n > max ? max : n < 0 ? 0 : (int)n;
}

/* The first of each counts. */
static void read_option(struct reader *r, const char *w)
{
    struct stub_conf *c = &r->conf;
    if (str_starts(w, "ndots:")) {
        c->ndots = r->has_ndots ? c->ndots : number(w + 6, 1 << 10);
        r->has_ndots = true;
    } else if (str_starts(w, "retrans:")) {
        c->timeout_ms = r->has_timeout ? c->timeout_ms : number(w + 8, 1 << 24);
        r->has_timeout = true;
    } else if (str_starts(w, "retry:")) {
        c->attempts = r->has_tries ? c->attempts : number(w + 6, TRIES_MAX);
        r->has_tries = true;
    } else if (str_starts(w, "rotate")) {
        c->rotate = true;
    } else {
        strlist_add(&c->ignored, r->arena, w);
    }
}

static void read_options(struct reader *r, const char *text)
{
    struct strlist words = { 0 };
    strlist_split(&words, r->arena, text, strlen(text), " \t\r\v\f");
    for (size_t i = 0; i < words.n; i++)
        read_option(r, words.items[i]);
}

/* An element with which an earlier one begins is taken for that one. */
static void set_searches(struct reader *r, const char *text, size_t len)
{
    struct strlist words = { 0 }, found = { 0 };
    strlist_split(&words, r->arena, text, len, ", ");
    for (size_t i = 0; i < words.n; i++) {
        bool twice = false;
        for (size_t j = 0; j < found.n; j++)
            twice |= strncasecmp(found.items[j], words.items[i], strlen(words.items[i])) == 0;
        if (!twice)
            strlist_add(&found, r->arena, words.items[i]);
    }
    if (!r->searches_fixed)
        r->conf.searches = found;
}

/* A line may name several. */
static bool read_servers(struct reader *r, const char *text)
{
    struct strlist words = { 0 };
    bool all = true;
    strlist_split(&words, r->arena, text, strlen(text), " \t\r\v\f,");
    for (size_t i = 0; i < words.n; i++) {
        struct stub_server s;
        bool good = r->conf.n_servers < STUB_SERVERS_MAX && !strchr(words.items[i], '%') &&
                    stub_server_parse(words.items[i], false, r->arena, &s);
        if (good)
            r->conf.servers[r->conf.n_servers++] = s;
        all &= good;
    }
    return all;
}

static const char *value_of(const char *line, const char *keyword)
{
    size_t len = strlen(keyword);
    if (strncmp(line, keyword, len) != 0 || !line[len] || !strchr(" \t\r\v\f", line[len]))
        return NULL;
    line += len + strspn(line + len, " \t\r\v\f");
    return *line ? line : NULL;
}

/* line: without comment and blanks around it. */
static bool read_line(struct reader *r, const char *line)
{
    const char *v;
    if ((v = value_of(line, "domain")))
        set_searches(r, v, strcspn(v, " \t\r\v\f"));
    else if ((v = value_of(line, "lookup")))
        r->conf.lookup = r->conf.lookup ? r->conf.lookup : v;
    else if ((v = value_of(line, "search")))
        set_searches(r, v, strlen(v));
    else if ((v = value_of(line, "nameserver")))
        return read_servers(r, v);
    else if ((v = value_of(line, "options")))
        read_options(r, v);
    else
        return *line == '\0';
    return true;
}

static void read_text(struct reader *r, const char *text)
{
    while (text && *text) {
        size_t len = strcspn(text, "\n"), used = strcspn(text, "\n#;"), start = 0;
        while (start < used && strchr(" \t\r\v\f", text[start]))
            start++;
        while (used > start && strchr(" \t\r\v\f", text[used - 1]))
            used--;
        if (!read_line(r, arena_strndup(r->arena, text + start, used - start)))
            strlist_add(&r->conf.ignored, r->arena, arena_strndup(r->arena, text, len));
        text += len + (text[len] == '\n');
    }
}

static void read_conf(const char *text, const struct stub_env *env, struct arena *a,
                      struct stub_conf *ret)
{
    struct reader r = { .arena = a,
                        .conf = { .ndots = 1, .timeout_ms = TIMEOUT_MS, .attempts = TRIES } };
    const char *domain = stub_env_domain(env);
    if (env && env->localdomain) {
        set_searches(&r, env->localdomain, strlen(env->localdomain));
        r.searches_fixed = r.conf.searches.n > 0;
    }
    if (env && env->res_options)
        read_options(&r, env->res_options);
    read_text(&r, text);
    if (r.conf.searches.n == 0 && domain)
        strlist_add(&r.conf.searches, a, arena_strdup(a, domain));
    if (r.conf.n_servers == 0)
        stub_server_v4(&r.conf, INADDR_LOOPBACK);
    r.conf.timeout = r.conf.timeout_ms / 1000;
    *ret = r.conf;
}

/* ---- the channel ------------------------------------------------------------------------------
 */

struct server {
    struct dial udp, tcp;
    unsigned connection; /* which TCP connection this is, from 1 */
};

struct query {
    unsigned server, tries;
    bool tcp, done;
    size_t line;
    int64_t deadline;
    enum ares_status status; /* when done; before, what it will be if no server helps */
    bool skip[STUB_SERVERS_MAX];
    unsigned connection[STUB_SERVERS_MAX]; /* over which it has been sent there */
};

struct channel {
    struct ask *ask;
    struct server servers[STUB_SERVERS_MAX];
    struct query queries[ASK_TYPES_MAX];
    unsigned last_server, last_connection;
    enum ares_status last; /* of the query that ended last */
    bool got_nodata;
};

static void *open_channel(struct stub *s, struct arena *a)
{
    struct channel *ch = arena_zalloc(a, sizeof *ch);
    (void)s;
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++) {
        dial_init(&ch->servers[i].udp);
        dial_init(&ch->servers[i].tcp);
    }
    return ch;
}

static void close_server(struct server *s)
{
    dial_close(&s->udp);
    dial_close(&s->tcp);
}

static void close_channel(void *state)
{
    struct channel *ch = state;
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++)
        close_server(&ch->servers[i]);
}

static unsigned n_servers(const struct channel *ch)
{
    return ch->ask->stub->conf->n_servers;
}

static void end_query(struct channel *ch, struct query *q, enum ares_status status)
{
    q->done = true;
    q->status = ch->last = status;
}

/* With one server there is nothing to skip to. */
static void skip_server(const struct channel *ch, struct query *q, unsigned server)
{
    q->skip[server] |= n_servers(ch) > 1;
}

static int open_dial(struct channel *ch, struct query *q)
{
    struct server *s = &ch->servers[q->server];
    struct dial *d = q->tcp ? &s->tcp : &s->udp;
    if (d->fd >= 0)
        return 0;
    int rc = dial_open(d, &ch->ask->stub->conf->servers[q->server], q->tcp, ch->ask->arena);
    if (rc == 0 && q->tcp)
        s->connection = ++ch->last_connection;
    return rc;
}

static void next_server(struct channel *ch, struct query *q);

static void send_query(struct channel *ch, struct query *q)
{
    struct ask *a = ch->ask;
    struct server *s = &ch->servers[q->server];
    struct dial *d = q->tcp ? &s->tcp : &s->udp;
    unsigned index = (unsigned)(q - ch->queries), shift = q->tries / n_servers(ch);
    int rc = open_dial(ch, q);
    if (rc == 0)
        rc = dial_send(d, &a->queries[index]);
    if (rc < 0) {
        skip_server(ch, q, q->server);
        next_server(ch, q);
        return;
    }
    if (q->tcp)
        q->connection[q->server] = s->connection;
    q->line = ask_trace_sent(a, index, q->server, shift, q->tcp, d->fd);
    int64_t wait_ms = (int64_t)a->stub->conf->timeout_ms << MIN(shift, 20u);
    q->deadline = clock_ns() + MIN(wait_ms, WAIT_MAX) * NS_PER_MS;
}

/* Not a server that was found wanting, and not twice over the same connection. */
static bool may_ask(const struct channel *ch, const struct query *q)
{
    const struct server *s = &ch->servers[q->server];
    bool again = q->tcp && s->connection && q->connection[q->server] == s->connection;
    return !q->skip[q->server] && !again;
}

static void next_server(struct channel *ch, struct query *q)
{
    unsigned tries = n_servers(ch) * (unsigned)ch->ask->stub->conf->attempts;
    while (++q->tries < tries) {
        q->server = (q->server + 1) % n_servers(ch);
        if (may_ask(ch, q)) {
            send_query(ch, q);
            return;
        }
    }
    end_query(ch, q, q->status);
}

static enum ares_status status_of(const struct walk_reply *b)
{
    switch (b->rcode) {
    case RCODE_NOERROR:
        return b->answers ? ARES_SUCCESS : ARES_ENODATA;
    case RCODE_FORMERR:
        return ARES_EFORMERR;
    case RCODE_NXDOMAIN:
        return ARES_ENOTFOUND;
    default:
        return ARES_SUCCESS;
    }
}

static bool is_useless(uint16_t rcode)
{
    return rcode == RCODE_SERVFAIL || rcode == RCODE_NOTIMP || rcode == RCODE_REFUSED;
}

static void take_answer(struct channel *ch, unsigned server, size_t len, bool tcp)
{
    struct ask *a = ch->ask;
    struct ask_reply r;
    if (!ask_read_reply(a, len, &r) || ch->queries[r.query].done)
        return;
    struct query *q = &ch->queries[r.query];
    ask_trace_reply(a, q->line, &r);
    if ((r.tc || len > MSG_UDP_MIN) && !tcp) {
        if (!q->tcp) {
            q->tcp = true;
            send_query(ch, q);
        }
    } else if (is_useless(r.brief.rcode)) {
        skip_server(ch, q, server);
        if (q->server == server)
            next_server(ch, q);
    } else {
        ask_accept(a, &r);
        end_query(ch, q, status_of(&r.brief));
    }
}

/* All queries that were with this server move on. */
static void server_broke(struct channel *ch, unsigned server, enum stub_fate fate)
{
    bool moves[ASK_TYPES_MAX];
    close_server(&ch->servers[server]);
    for (unsigned i = 0; i < ch->ask->n; i++)
        moves[i] = !ch->queries[i].done && ch->queries[i].server == server;
    for (unsigned i = 0; i < ch->ask->n; i++) {
        if (!moves[i])
            continue;
        ask_trace_end(ch->ask, ch->queries[i].line, fate);
        skip_server(ch, &ch->queries[i], server);
        next_server(ch, &ch->queries[i]);
    }
}

static void serve(struct channel *ch, unsigned server, bool tcp)
{
    struct server *s = &ch->servers[server];
    struct dial *d = tcp ? &s->tcp : &s->udp;
    ssize_t n = d->fd < 0 ? 0 : dial_flush(d);
    while (n >= 0 && d->fd >= 0 && (n = dial_receive(d, ch->ask->buffer, MSG_MAX)) > 0)
        take_answer(ch, server, (size_t)n, tcp);
    if (n < 0)
        server_broke(ch, server, n == -ECONNREFUSED ? STUB_REFUSED : STUB_BROKEN);
}

static void check_deadlines(struct channel *ch)
{
    for (unsigned i = 0; i < ch->ask->n; i++) {
        struct query *q = &ch->queries[i];
        if (q->done || clock_ns() < q->deadline)
            continue;
        ask_trace_end(ch->ask, q->line, STUB_TIMED_OUT);
        q->status = ARES_ETIMEOUT;
        next_server(ch, q);
    }
}

static int64_t first_deadline(const struct channel *ch)
{
    int64_t until = INT64_MAX;
    for (unsigned i = 0; i < ch->ask->n; i++) {
        if (!ch->queries[i].done)
            until = MIN(until, ch->queries[i].deadline);
    }
    return until;
}

static void wait_some(struct channel *ch)
{
    struct pollfd p[2 * STUB_SERVERS_MAX];
    unsigned n = n_servers(ch);
    for (unsigned i = 0; i < n; i++) {
        const struct server *s = &ch->servers[i];
        p[2 * i] = (struct pollfd){ s->tcp.fd, dial_events(&s->tcp), 0 };
        p[2 * i + 1] = (struct pollfd){ s->udp.fd, POLLIN, 0 };
    }
    int64_t left = first_deadline(ch) - clock_ns();
    int ms = left > 0 ? (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, (int64_t)INT32_MAX) : 0;
    if (poll(p, 2 * n, ms) > 0) {
        for (unsigned i = 0; i < 2 * n; i++) {
            if (p[i].revents)
                serve(ch, i / 2, i % 2 == 0);
        }
    }
    check_deadlines(ch);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static bool has_addresses(struct ask *a)
{
    for (unsigned i = 0; i < a->n_replies; i++) {
        struct msg m;
        const struct ask_reply *r = &a->replies[i];
        if (msg_parse(r->bytes, r->len, a->arena, &m) < 0)
            continue;
        for (unsigned j = 0; j < m.section[SECTION_ANSWER].n; j++) {
            uint16_t type = m.section[SECTION_ANSWER].items[j].type;
            if (type == RR_A || type == RR_AAAA)
                return true;
        }
    }
    return false;
}

/* The status of the query that ended last decides. */
static enum walk_outcome judge(struct channel *ch)
{
    struct stub_result *r = ch->ask->result;
    if (has_addresses(ch->ask))
        return WALK_FOUND;
    enum ares_status last = ch->last == ARES_SUCCESS ? ARES_ENODATA : ch->last;
    ch->got_nodata |= last == ARES_ENODATA;
    r->error = last == ARES_ENOTFOUND && ch->got_nodata ? ARES_ENODATA : (int)last;
    switch (last) {
    case ARES_ENODATA:
        return WALK_NODATA;
    case ARES_ENOTFOUND:
        return WALK_NXDOMAIN;
    case ARES_EFORMERR:
        return WALK_BAD;
    default:
        return WALK_FAILED;
    }
}

/* Two neighbouring dots are an error, and so is a label that is too long. */
static enum walk_outcome ask(struct ask *a, const struct name *name)
{
    struct channel *ch = a->state;
    const struct stub_conf *c = a->stub->conf;
    ch->ask = a;
    if (!name) {
        a->result->error = ARES_EBADNAME;
        return WALK_BAD;
    }
    ask_build(a, name, 0, false);
    for (unsigned i = 0; i < a->n; i++)
        ch->queries[i] = (struct query){ .status = ARES_ECONNREFUSED };
    for (unsigned i = 0; i < a->n; i++) {
        ch->queries[i].server = ch->last_server;
        if (c->rotate)
            ch->last_server = (ch->last_server + 1) % c->n_servers;
        send_query(ch, &ch->queries[i]);
    }
    while (!ch->queries[0].done || (a->n > 1 && !ch->queries[1].done))
        wait_some(ch);
    return judge(ch);
}

/* ---- the table --------------------------------------------------------------------------------
 */

/* Four numbers with dots, or IPv6. */
static bool is_literal(const char *name, struct ip *ret)
{
    return ip_parse(name, ret) == 0;
}

/* Only the first letter of each word counts, and only two words. */
static void add_lookups(struct nss_order *o, struct arena *a, const char *text, const char *dns,
                        char files)
{
    struct strlist words = { 0 };
    strlist_split(&words, a, text, strlen(text), " \t\r\v\f,");
    for (size_t i = 0; i < words.n && o->n < 2; i++) {
        char c = words.items[i][0];
        if (c == files)
            o->steps[o->n++] = (struct nss_step){ NSS_FILES, "files", 1 << NSS_SUCCESS };
        else if (strchr(dns, c))
            o->steps[o->n++] = (struct nss_step){ NSS_DNS, "dns", 1 << NSS_SUCCESS };
    }
}

static void order(const struct stub *s, struct arena *a, struct nss_order *ret)
{
    struct nss_order all, o = { 0 };
    nsswitch_parse(s->nsswitch, a, &all);
    if (s->conf->lookup)
        add_lookups(&o, a, s->conf->lookup, "b", 'f');
    bool by_file = o.n > 0;
    for (unsigned i = 0; i < all.n && !by_file; i++)
        add_lookups(&o, a, all.steps[i].name, "dr", 'f');
    o.found = o.n > 0;
    if (!o.found)
        nsswitch_default(&o);
    *ret = o;
}

static bool is_host_name(const char *name)
{
    return !walk_is_onion(name);
}

static bool knows(const char *name)
{
    return str_eq(name, "localhost");
}

static const char *error_name(int error)
{
    switch ((enum ares_status)error) {
    case ARES_ENODATA:
        return "ARES_ENODATA";
    case ARES_EFORMERR:
        return "ARES_EFORMERR";
    case ARES_ENOTFOUND:
        return "ARES_ENOTFOUND";
    case ARES_EBADNAME:
        return "ARES_EBADNAME";
    case ARES_ETIMEOUT:
        return "ARES_ETIMEOUT";
    default:
        return "ARES_ECONNREFUSED";
    }
}

static const char *error_text(int error, const char *name, struct arena *a)
{
    (void)name;
    (void)a;
    switch ((enum ares_status)error) {
    case ARES_ENODATA:
        return "DNS server returned answer with no data";
    case ARES_EFORMERR:
        return "DNS server claims query was misformatted";
    case ARES_ENOTFOUND:
        return "Domain name not found";
    case ARES_EBADNAME:
        return "Misformatted domain name";
    case ARES_ETIMEOUT:
        return "Timeout while contacting DNS servers";
    default:
        return "Could not contact DNS servers";
    }
}

static const struct walk_rules walk = {
    .searches_after = true,
    .first_may_stop = true,
    .skips_onion = true,
    .moves = { [WALK_SERVFAIL] = WALK_STOP,
               [WALK_FAILED] = WALK_STOP,
               [WALK_BAD] = WALK_STOP,
               [WALK_UNREACHABLE] = WALK_STOP },
};

static const struct hostsfile_rules hosts = { .keeps_copies = true };

const struct way way_cares = {
    .name = "c-ares",
    .function = "ares_getaddrinfo()",
    .like = "c-ares 1.16 to 1.19",
    .walk = &walk,
    .hosts = &hosts,
    .only_addresses = true,
    .read_conf = read_conf,
    .order = order,
    .is_literal = is_literal,
    .is_host_name = is_host_name,
    .knows = knows,
    .open = open_channel,
    .close = close_channel,
    .ask = ask,
    .not_host_error = ARES_ENOTFOUND,
    .no_source_error = ARES_ECONNREFUSED,
    .literal_error = ARES_ENOTFOUND,
    .hosts_error = ARES_ENOTFOUND,
    .error_name = error_name,
    .error_text = error_text,
};
