#include "dns/query.h"

#include "base/mem.h"
#include "dns/chain.h"
#include "dns/serve.h"
#include "dns/why.h"
#include "net/doh.h"

#include <stdarg.h>
#include <string.h>

#define ARENA_CHUNK 4096 /* bytes; answers of ordinary size never need a second chunk */

/* ---- the pool ---- */

static struct query *query_new(struct query_pool *p)
{
    struct query *q = mem_try(sizeof *q);
    if (!q)
        return NULL;
    memset(q, 0, offsetof(struct query, inline_packet));
    arena_init(&q->arena, ARENA_CHUNK);
    q->packet = q->inline_packet;
    p->made++;
    return q;
}

static void query_free(struct query_pool *p, struct query *q)
{
    arena_done(&q->arena);
    free(q);
    p->made--;
}

struct query *query_get(struct query_pool *p)
{
    struct query *q = p->free;
    if (!q)
        return query_new(p);
    p->free = q->next;
    return q;
}

bool query_pool_has(struct query_pool *p)
{
    if (p->free)
        return true;
    struct query *q = query_new(p);
    if (q)
        query_put(p, q);
    return p->free != NULL;
}

void query_put(struct query_pool *p, struct query *q)
{
    if (q->packet != q->inline_packet) {
        free(q->packet);
        q->packet = q->inline_packet;
    }
    if (p->free && mem_is_short()) { /* others need it more */
        query_free(p, q);
        return;
    }
    arena_reset(&q->arena);
    q->why = NULL;
    q->done = NULL;
    q->next = p->free;
    p->free = q;
}

void query_pool_done(struct query_pool *p)
{
    while (p->free) {
        struct query *q = p->free;
        p->free = q->next;
        query_free(p, q);
    }
}

/* ---- for plugins ---- */

void query_change(struct query *q)
{
    if (!q->asked)
        q->asked = arena_memdup(&q->arena, &q->msg, sizeof q->msg);
    q->msg.raw = NULL;
    q->msg.raw_len = 0;
    q->msg.authority_off = 0;
    query_forget_ahead(q);
}

static bool lies_in_question(const struct query *q, const uint8_t *p)
{
    return p >= (const uint8_t *)&q->msg.q && p < (const uint8_t *)(&q->msg.q + 1);
}

/* Owners that stand for the changed question's name, or lie in it, in the arena. */
static void keep_owners(struct query *q, struct rrset_list *l)
{
    const struct name *name = &q->msg.q.name;
    const uint8_t *whole = NULL;
    for (uint16_t i = 0; i < l->n; i++) {
        const uint8_t **owner = &l->items[i].owner;
        if (!*owner)
            *owner = whole ? whole : (whole = arena_memdup(&q->arena, name->wire, name->len));
        else if (lies_in_question(q, *owner))
            *owner = arena_memdup(&q->arena, *owner, name_wire_len(*owner));
    }
}

void query_restore(struct query *q)
{
    if (!q->asked)
        return;
    for (int s = 0; s < SECTION_COUNT; s++)
        keep_owners(q, &q->reply.section[s]);
    q->served = arena_memdup(&q->arena, &q->msg.q, sizeof q->msg.q);
    q->msg = *q->asked;
    q->asked = NULL;
}

struct ip query_server(const struct query *q)
{
    struct msghdr m = { .msg_control = (void *)(uintptr_t)q->local.control,
                        .msg_controllen = q->local.len };
    struct ip ip = q->route->listener->ip;
    if (q->conn)
        return ip_of_sockaddr(tcp_local(q->conn));
    if (q->transport != TRANSPORT_UDP && q->request)
        return ip_of_sockaddr(doh_local(q->request));
    if (q->transport != TRANSPORT_UDP || !q->local.len)
        return ip;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    struct in6_pktinfo info;
    if (!c || c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
        return ip;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr };
    return ip_of_sockaddr((const struct sockaddr *)&sa);
}

uint16_t query_server_port(const struct query *q)
{
    return q->route->listener->port;
}

enum step query_fail(struct query *q, enum rcode rcode, const char *fmt, ...)
{
    q->reply.rcode = rcode;
    q->reply.flags &= (uint16_t) ~(FLAG_AA | FLAG_RA | FLAG_AD);
    for (int s = 0; s < SECTION_COUNT; s++)
        q->reply.section[s].n = 0;
    q->bare = true;
    if (fmt) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        q->error = arena_strdup(&q->arena, text);
    }
    return STEP_DONE;
}

struct rrset rrset_dup(struct arena *a, const struct rrset *rr)
{
    struct rrset copy = *rr;
    if (rr->owner)
        copy.owner = arena_memdup(a, rr->owner, name_wire_len(rr->owner));
    copy.rdata = arena_memdup(a, rr->rdata, rrset_bytes(rr));
    return copy;
}

void query_copy_records(struct query *q, const struct query *sub, enum section from,
                        enum section to, uint16_t without)
{
    const struct rrset_list *list = &sub->reply.section[from];
    for (uint16_t i = 0; i < list->n; i++) {
        struct rrset rr = list->items[i];
        if (rr.type == without)
            continue;
        if (!rr.owner)
            rr.owner = sub->msg.q.name.wire;
        query_add(q, to, rrset_dup(&q->arena, &rr));
    }
}

void query_copy_section(struct query *q, const struct query *sub, enum section s)
{
    query_copy_records(q, sub, s, s, 0);
}

/* What the reply holds so far may lie in a snapshot that is gone when the query goes on. */
static void keep_reply(struct query *q)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < q->reply.section[s].n; i++)
            q->reply.section[s].items[i] = rrset_dup(&q->arena, &q->reply.section[s].items[i]);
}

enum step query_wait(struct query *q, resume_fn *resume, void *conf)
{
    if (!serve_may_wait(q))
        return query_fail(q, RCODE_SERVFAIL, "too many waiting queries");
    keep_reply(q);
    q->resume = resume;
    q->resume_conf = conf;
    q->waiting = true;
    return STEP_WAIT;
}

void query_resume(struct query *q, void *data)
{
    serve_waits_no_more(q);
    q->waiting = false;
    enum step step = q->resume(q, q->resume_conf, data);
    step = chain_continue(q->route->chain, q, step);
    if (step != STEP_WAIT)
        serve_finish_waiting(q, step);
}

/* The question of an internal look-up, in the sub-query's own memory. */
static void set_question(struct query *sub, const uint8_t *name, uint16_t type)
{
    struct question *question = &sub->msg.q;
    name_from_wire(name, &question->name);
    name_lower(question->lower, question->name.wire, question->name.len);
    question->type = type;
    question->class = CLASS_IN;
}

static struct query *sub_query(struct query *q, const uint8_t *name, uint16_t type)
{
    struct query *sub = serve_query_get(q);
    if (!sub)
        return NULL;
    sub->worker = q->worker;
    sub->socket = q->socket;
    sub->conn = NULL;
    sub->request = NULL;
    sub->transport = q->transport;
    sub->peer = q->peer;
    sub->local = q->local;
    sub->start_ns = q->start_ns;
    sub->deadline_ns = q->deadline_ns;
    sub->depth = (uint8_t)(q->depth + 1);
    sub->msg.id = q->msg.id;
    sub->msg.flags = q->msg.flags;
    sub->msg.edns = q->msg.edns;
    sub->msg.raw = NULL;
    sub->msg.raw_len = 0;
    sub->msg.authority_off = 0;
    sub->parent = NULL;
    sub->done = NULL;
    sub->why = q->why;
    set_question(sub, name, type);
    sub->msg.size = q->msg.size - q->msg.q.name.len + sub->msg.q.name.len;
    return sub;
}

/* The parent waits for the sub-query, or goes on at once. */
static enum step look_up(struct query *q, const uint8_t *name, uint16_t type, bool below,
                         resume_fn *resume, void *conf)
{
    struct query *sub = q->depth < QUERY_DEPTH ? sub_query(q, name, type) : NULL;
    if (!sub)
        return query_fail(q, RCODE_SERVFAIL,
                          q->depth < QUERY_DEPTH ? "too many waiting queries"
                                                 : "look-ups nest too deep");
    if (q->why)
        why_lookup(q, sub);
    if ((below ? serve_below(sub, q) : serve_dispatch(sub)) == STEP_WAIT) {
        enum step step = query_wait(q, resume, conf);
        sub->parent = step == STEP_WAIT ? q : NULL; /* over the limit: the sub ends unheard */
        sub->why = step == STEP_WAIT ? sub->why : NULL;
        return step;
    }
    enum step step = resume(q, conf, sub);
    serve_query_put(sub);
    return step;
}

enum step query_lookup(struct query *q, const uint8_t *name, uint16_t type, resume_fn *resume,
                       void *conf)
{
    return look_up(q, name, type, false, resume, conf);
}

enum step query_lookup_below(struct query *q, const uint8_t *name, uint16_t type, resume_fn *resume,
                             void *conf)
{
    return look_up(q, name, type, true, resume, conf);
}

bool query_detached(struct query *q, hook_fn *done, void *conf)
{
    const struct question *question = &q->msg.q;
    struct query *sub =
        q->depth < QUERY_DEPTH ? sub_query(q, question->name.wire, question->type) : NULL;
    if (!sub)
        return false;
    sub->msg.q.class = question->class;
    sub->msg.edns.options = NULL;
    sub->msg.edns.options_len = 0;
    sub->deadline_ns = 0;
    sub->done = done;
    sub->done_conf = conf;
    sub->why = NULL; /* it may outlive the record */
    if (serve_below(sub, q) == STEP_WAIT)
        return true;
    done(sub, conf);
    serve_query_put(sub);
    return true;
}
