#include "client/ask.h"

#include "base/clock.h"
#include "base/rand.h"

#include <string.h>
#include <sys/socket.h>

static void build_queries(struct ask *a, const struct name *name)
{
    const struct stub_conf *c = a->stub->conf;
    uint64_t ids = rand_seed();
    for (unsigned i = 0; i < a->n; i++) {
        struct ask_query *q = &a->queries[i];
        q->id = (uint16_t)(ids >> 16 * i);
        if (i > 0 && q->id == a->queries[0].id)
            q->id++;
        q->type = a->types[i];
        q->len = msg_encode_query(q->bytes + 2, q->id, name->wire, q->type,
                                  c->edns0 ? ASK_EDNS_SIZE : 0);
        if (c->trust_ad)
            put_u16(q->bytes + 4, get_u16(q->bytes + 4) | FLAG_AD);
        put_u16(q->bytes, (uint16_t)q->len);
    }
}

static uint16_t local_port(int fd)
{
    struct sockaddr_storage sa = { 0 };
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return 0;
    return port_of_sockaddr((struct sockaddr *)&sa);
}

static int64_t now_us(const struct ask *a)
{
    return (clock_ns() - a->start_ns) / 1000;
}

static struct stub_query *add_line(struct stub_result *r, struct arena *a)
{
    if (r->n_queries == r->queries_capacity) {
        size_t capacity = r->queries_capacity ? 2 * r->queries_capacity : 32;
        struct stub_query *queries = arena_alloc(a, capacity * sizeof *queries);
        if (r->n_queries)
            memcpy(queries, r->queries, r->n_queries * sizeof *queries);
        r->queries = queries;
        r->queries_capacity = capacity;
    }
    return &r->queries[r->n_queries++];
}

void ask_trace_sent(struct ask *a, unsigned query, bool tcp, int fd)
{
    struct ask_query *q = &a->queries[query];
    q->trace = a->result->n_queries;
    *add_line(a->result, a->arena) = (struct stub_query){
        .candidate = a->candidate,
        .type = q->type,
        .id = q->id,
        .server = (uint8_t)a->server,
        .attempt = (uint8_t)a->attempt,
        .tcp = tcp,
        .local_port = local_port(fd),
        .sent_us = now_us(a),
    };
}

void ask_trace_reply(struct ask *a, const struct ask_reply *r)
{
    struct stub_query *line = &a->result->queries[a->queries[r->query].trace];
    line->fate = STUB_ANSWERED;
    line->rcode = r->brief.rcode;
    line->answers = r->brief.answers;
    line->tc = r->tc;
    line->time_us = now_us(a) - line->sent_us;
}

void ask_trace_end(struct ask *a, enum stub_fate fate)
{
    struct stub_result *r = a->result;
    for (size_t i = r->candidates[a->candidate].first_query; i < r->n_queries; i++) {
        struct stub_query *line = &r->queries[i];
        if (line->fate == STUB_PENDING) {
            line->fate = fate;
            line->time_us = now_us(a) - line->sent_us;
        }
    }
}

/* The question must be ours, letter case aside; a reply without one answers nothing. */
static bool same_question(const struct ask_query *q, struct cursor *c)
{
    struct cursor ours = cursor_of(q->bytes + 2, q->len);
    struct name mine, theirs;
    cursor_take(&ours, MSG_HEADER);
    if (name_parse(&ours, &mine) < 0 || name_parse(c, &theirs) < 0)
        return false;
    uint16_t type = cursor_u16(c), class = cursor_u16(c);
    return !c->bad && type == q->type && class == CLASS_IN && name_equal(mine.wire, theirs.wire);
}

bool ask_read_reply(struct ask *a, size_t len, struct ask_reply *ret)
{
    struct cursor c = cursor_of(a->buffer, len);
    uint16_t id = cursor_u16(&c), flags = cursor_u16(&c), questions = cursor_u16(&c);
    struct ask_reply r = { .len = len, .tc = flags & FLAG_TC };
    r.brief.answers = cursor_u16(&c);
    cursor_u16(&c); /* authority */
    r.brief.additional = cursor_u16(&c);
    r.brief.rcode = flags & 15;
    r.brief.aa = flags & FLAG_AA;
    r.brief.ra = flags & FLAG_RA;
    if (c.bad || !(flags & FLAG_QR) || questions != 1)
        return false;
    while (r.query < a->n && a->queries[r.query].id != id)
        r.query++;
    if (r.query == a->n || !same_question(&a->queries[r.query], &c))
        return false;
    *ret = r;
    return true;
}

void ask_accept(struct ask *a, const struct ask_reply *r)
{
    struct ask_reply *kept = &a->replies[a->n_replies++];
    *kept = *r;
    kept->bytes = arena_memdup(a->arena, a->buffer, r->len);
}

socklen_t ask_server_address(const struct ask *a, struct sockaddr_storage *ret)
{
    const struct stub_server *s = &a->stub->conf->servers[a->server];
    socklen_t len = ip_to_sockaddr(&s->ip, s->port, ret);
    if (s->ip.family == 6)
        ((struct sockaddr_in6 *)ret)->sin6_scope_id = s->scope;
    return len;
}

/* The first server is always that of the file, unless `rotate` moves the start each time. */
static unsigned first_server(struct stub *s)
{
    if (!s->conf->rotate || s->conf->n_servers < 2)
        return 0;
    return s->rotation++ % s->conf->n_servers;
}

static enum walk_outcome no_answer(const struct ask *a, bool tcp)
{
    if (tcp ? a->tcp_refused : !a->got_somewhere)
        return WALK_UNREACHABLE;
    return a->last_rcode == RCODE_SERVFAIL ? WALK_SERVFAIL : WALK_FAILED;
}

static enum walk_outcome ask_servers(struct ask *a)
{
    const struct stub_conf *c = a->stub->conf;
    unsigned first = first_server(a->stub);
    bool tcp = c->use_vc;
    for (int attempt = 0; attempt < (tcp ? 1 : c->attempts); attempt++) {
        for (unsigned i = 0; i < c->n_servers; i++) {
            a->server = (first + i) % c->n_servers;
            a->attempt = (unsigned)attempt;
            a->n_replies = 0;
            enum ask_step step = tcp ? ASK_OVER_TCP : ask_over_udp(a);
            if (step == ASK_OVER_TCP) {
                tcp = true; /* and stays so for this name */
                step = ask_over_tcp(a);
            }
            if (step == ASK_DONE)
                return walk_judge(&a->replies[0].brief,
                                  a->n_replies > 1 ? &a->replies[1].brief : NULL);
        }
    }
    return no_answer(a, tcp);
}

enum walk_outcome ask_run(struct ask *a, const struct name *name)
{
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++)
        a->fds[i] = -1;
    build_queries(a, name);
    enum walk_outcome o = ask_servers(a);
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++)
        cleanup_close_fn(&a->fds[i]);
    return o;
}
