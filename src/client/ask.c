#include "client/ask.h"

#include "base/clock.h"
#include "base/rand.h"

#include <string.h>
#include <sys/socket.h>

void ask_build(struct ask *a, const struct name *name, uint16_t edns_size, bool ad)
{
    uint64_t ids = rand_seed();
    for (unsigned i = 0; i < a->n; i++) {
        struct ask_query *q = &a->queries[i];
        q->id = (uint16_t)(ids >> 16 * i);
        if (i > 0 && q->id == a->queries[0].id)
            q->id++;
        q->type = a->types[i];
        q->len = msg_encode_query(q->bytes + 2, q->id, name->wire, q->type, edns_size);
        if (ad)
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

int64_t ask_now_us(const struct ask *a)
{
    return (clock_ns() - a->start_ns) / 1000;
}

static struct stub_query *add_line(struct stub_result *r, struct arena *a)
{
    if (r->n_queries == r->queries_capacity)
        r->queries = arena_grow(a, r->queries, &r->queries_capacity, 32, sizeof *r->queries);
    return &r->queries[r->n_queries++];
}

size_t ask_trace_sent(struct ask *a, unsigned query, unsigned server, unsigned attempt, bool tcp,
                      int fd)
{
    struct ask_query *q = &a->queries[query];
    q->line = a->result->n_queries;
    *add_line(a->result, a->arena) = (struct stub_query){
        .candidate = a->candidate,
        .type = q->type,
        .id = q->id,
        .server = (uint8_t)server,
        .attempt = (uint8_t)attempt,
        .tcp = tcp,
        .local_port = local_port(fd),
        .sent_us = ask_now_us(a),
    };
    return q->line;
}

void ask_trace_reply(struct ask *a, size_t index, const struct ask_reply *r)
{
    struct stub_query *line = &a->result->queries[index];
    line->fate = STUB_ANSWERED;
    line->rcode = r->brief.rcode;
    line->answers = r->brief.answers;
    line->tc = r->tc;
    line->time_us = ask_now_us(a) - line->sent_us;
}

void ask_trace_end(struct ask *a, size_t index, enum stub_fate fate)
{
    struct stub_query *line = &a->result->queries[index];
    if (line->fate != STUB_PENDING)
        return;
    line->fate = fate;
    line->time_us = ask_now_us(a) - line->sent_us;
}

void ask_trace_end_all(struct ask *a, enum stub_fate fate)
{
    struct stub_result *r = a->result;
    for (size_t i = r->candidates[a->candidate].first_query; i < r->n_queries; i++)
        ask_trace_end(a, i, fate);
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
