#include "explain/watch.h"

#include "base/cleanup.h"
#include "base/ht.h"
#include "base/mem.h"
#include "explain/dns_packet.h"

#include <netinet/in.h>
#include <string.h>

#define ARENA_CHUNK 16384

/* Who asked whom; of a query also its number. Compared as bytes: no holes, all set. */
struct flow_key {
    uint8_t from[16], to[16];
    uint16_t from_port, to_port, id;
    uint8_t family, protocol, kind, spare;
};

/* Each flow is in one of them, the longest untouched first. */
enum shelf {
    PENDING, /* nothing came back yet */
    OPEN,    /* connected */
    TOLD,    /* kept for what still belongs to it */
    SHELVES,
};

struct watched_flow {
    struct flow_key key;
    struct watched_flow *before, *after;
    enum shelf shelf;
    bool incoming;
    struct tuple asked;
    int64_t first_ns, last_ns;
    unsigned attempts;
    bool in_vain; /* told that there was no answer */
    char *name;   /* or NULL */
    uint16_t type;
};

struct looked_up {
    struct ip ip;
    uint16_t type;
    int64_t time_ns;
    char *name;
};

struct watch {
    struct watch_to to;
    struct ht flows;
    struct {
        struct watched_flow *first, *last;
    } shelves[SHELVES];
    struct looked_up names[WATCH_NAMES_MAX]; /* a ring */
    size_t next_name;
    uint64_t lost;
    struct arena arena; /* of the packet at hand */
};

struct watch *watch_new(const struct watch_to *to)
{
    struct watch *w = xcalloc(1, sizeof *w);
    w->to = *to;
    arena_init(&w->arena, ARENA_CHUNK);
    return w;
}

/* ---- the tables ---- */

static void unlink_flow(struct watch *w, struct watched_flow *f)
{
    *(f->before ? &f->before->after : &w->shelves[f->shelf].first) = f->after;
    *(f->after ? &f->after->before : &w->shelves[f->shelf].last) = f->before;
}

static void link_flow(struct watch *w, struct watched_flow *f, enum shelf shelf)
{
    f->shelf = shelf;
    f->after = NULL;
    f->before = w->shelves[shelf].last;
    *(f->before ? &f->before->after : &w->shelves[shelf].first) = f;
    w->shelves[shelf].last = f;
}

static void move(struct watch *w, struct watched_flow *f, enum shelf shelf, int64_t now_ns)
{
    unlink_flow(w, f);
    f->last_ns = now_ns;
    link_flow(w, f, shelf);
}

static void forget(struct watch *w, struct watched_flow *f)
{
    unlink_flow(w, f);
    ht_del(&w->flows, &f->key, sizeof f->key);
    free(f->name);
    free(f);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    for (int i = 0; i < SHELVES; i++)
        while (w->shelves[i].first)
            forget(w, w->shelves[i].first);
    for (size_t i = 0; i < WATCH_NAMES_MAX; i++)
        free(w->names[i].name);
    ht_done(&w->flows);
    arena_done(&w->arena);
    free(w);
}

uint64_t watch_lost(const struct watch *w)
{
    return w->lost;
}

size_t watch_flows(const struct watch *w)
{
    return w->flows.n;
}

static void make_room(struct watch *w)
{
    static const enum shelf order[] = { TOLD, OPEN, PENDING };
    if (w->flows.n < WATCH_FLOWS_MAX)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        struct watched_flow *f = w->shelves[order[i]].first;
        if (!f)
            continue;
        w->lost += order[i] != TOLD;
        forget(w, f);
        return;
    }
}

static struct flow_key key_of(enum watch_kind kind, const struct tuple *t, uint16_t id)
{
    struct flow_key k = { .from_port = t->from_port,
                          .to_port = t->to_port,
                          .id = id,
                          .family = t->from.family,
                          .protocol = t->protocol,
                          .kind = (uint8_t)kind };
    memcpy(k.from, t->from.bytes, sizeof k.from);
    memcpy(k.to, t->to.bytes, sizeof k.to);
    return k;
}

static struct watched_flow *find(const struct watch *w, enum watch_kind kind,
                                 const struct tuple *asked, uint16_t id)
{
    struct flow_key k = key_of(kind, asked, id);
    return ht_get(&w->flows, &k, sizeof k);
}

static struct watched_flow *add(struct watch *w, enum watch_kind kind, const struct packet *p,
                                const struct tuple *asked, uint16_t id)
{
    make_room(w);
    struct watched_flow *f = xcalloc(1, sizeof *f);
    f->key = key_of(kind, asked, id);
    f->asked = *asked;
    f->incoming = !p->outgoing;
    f->first_ns = f->last_ns = p->time_ns;
    f->attempts = 1;
    ht_put(&w->flows, &f->key, sizeof f->key, f);
    link_flow(w, f, PENDING);
    return f;
}

/* ---- names ---- */

static void learn(struct watch *w, const struct watched_flow *f, const struct ip *ip,
                  int64_t now_ns)
{
    struct looked_up *l = &w->names[w->next_name++ % WATCH_NAMES_MAX];
    w->lost += l->name && now_ns - l->time_ns < WATCH_NAME_NS;
    free(l->name);
    *l = (struct looked_up){ *ip, f->type, now_ns, xstrdup(f->name) };
}

/* The latest one counts. */
static void name_of_address(const struct watch *w, struct watched_flow *f)
{
    for (size_t i = 0; i < WATCH_NAMES_MAX && i < w->next_name; i++) {
        const struct looked_up *l = &w->names[(w->next_name - 1 - i) % WATCH_NAMES_MAX];
        if (f->first_ns - l->time_ns > WATCH_NAME_NS)
            return;
        if (!ip_equal(&l->ip, &f->asked.to))
            continue;
        f->name = xstrdup(l->name);
        f->type = l->type;
        return;
    }
}

/* ---- telling ---- */

static struct watch_line line_of(const struct watch *w, const struct watched_flow *f,
                                 enum watch_result result, int64_t now_ns)
{
    struct watch_line l = {
        .kind = f->key.kind,
        .result = result,
        .incoming = f->incoming,
        .tcp = f->key.kind == WATCH_DNS && f->key.protocol == IPPROTO_TCP,
        .asked = f->asked,
        .time_ns = f->first_ns,
        .took_ns = result == WATCH_NO_ANSWER ? -1 : now_ns - f->first_ns,
        .attempts = f->attempts,
        .name = f->name,
        .type = f->type,
        .answer = "",
    };
    if (!f->incoming && !w->to.translated(w->to.ctx, &f->asked, &l.reply))
        l.reply = (struct tuple){ 0 };
    return l;
}

static void tell(struct watch *w, struct watched_flow *f, enum watch_result result, int64_t now_ns)
{
    struct watch_line l = line_of(w, f, result, now_ns);
    w->to.tell(w->to.ctx, &l);
}

/* ---- DNS ---- */

static void see_query(struct watch *w, const struct packet *p, const struct tuple *t,
                      const struct query_msg *q)
{
    char text[NAME_TEXT_MAX];
    struct watched_flow *f = find(w, WATCH_DNS, t, q->id);
    if (f && f->type == q->q.type) {
        f->attempts++;
        return;
    }
    if (f)
        forget(w, f);
    f = add(w, WATCH_DNS, p, t, q->id);
    f->name = xstrdup(name_to_text(q->q.name.wire, text));
    f->type = q->q.type;
}

static void see_reply(struct watch *w, const struct packet *p, const struct tuple *asked,
                      const struct dns_answer *d)
{
    struct watched_flow *f = find(w, WATCH_DNS, asked, d->id);
    if (!f || (d->has_question && d->type != f->type))
        return;
    struct watch_line l = line_of(w, f, WATCH_OK, p->time_ns);
    l.rcode = d->rcode;
    l.answer = d->text;
    l.n_records = d->n_records;
    for (unsigned i = 0; i < d->n_ips && !f->incoming; i++)
        learn(w, f, &d->ips[i], p->time_ns);
    w->to.tell(w->to.ctx, &l);
    forget(w, f);
}

static struct tuple turned(const struct tuple *t)
{
    return (struct tuple){ t->to, t->from, t->to_port, t->from_port, t->protocol };
}

/* True: it was DNS. */
static bool see_dns(struct watch *w, const struct packet *p, const struct tuple *t)
{
    struct query_msg q;
    struct dns_answer d;
    struct tuple asked = turned(t);
    arena_reset(&w->arena);
    if (t->to_port == DNS_PACKET_PORT && dns_packet_query(p, &q))
        see_query(w, p, t, &q);
    else if (t->from_port == DNS_PACKET_PORT && dns_packet_answer(p, &w->arena, &d))
        see_reply(w, p, &asked, &d);
    else
        return false;
    return true;
}

/* ---- connections and other datagrams ---- */

static void see_syn(struct watch *w, const struct packet *p, const struct tuple *t)
{
    struct watched_flow *f = find(w, WATCH_TCP, t, 0);
    if (f && (f->shelf == PENDING || f->in_vain)) {
        f->attempts++;
        return;
    }
    if (f)
        forget(w, f); /* its ports are used again */
    name_of_address(w, add(w, WATCH_TCP, p, t, 0));
}

static void see_reset(struct watch *w, const struct packet *p, const struct tuple *t,
                      const struct tuple *asked)
{
    struct watched_flow *f = find(w, WATCH_TCP, asked, 0), *own = find(w, WATCH_TCP, t, 0);
    if (f && f->shelf == PENDING) {
        tell(w, f, WATCH_REFUSED, p->time_ns);
        move(w, f, TOLD, p->time_ns);
    } else if (f && f->shelf == OPEN) {
        tell(w, f, WATCH_RESET, p->time_ns);
        forget(w, f);
    } else if (own && own->shelf == OPEN) {
        tell(w, own, WATCH_ABORTED, p->time_ns);
        forget(w, own);
    }
}

/* After the first FIN a reset says nothing any more. */
static void see_fin(struct watch *w, const struct tuple *t, const struct tuple *asked)
{
    struct watched_flow *f = find(w, WATCH_TCP, t, 0);
    if (!f)
        f = find(w, WATCH_TCP, asked, 0);
    if (f && f->shelf == OPEN)
        forget(w, f);
}

static void see_tcp(struct watch *w, const struct packet *p, const struct tuple *t)
{
    struct tuple asked = turned(t);
    struct watched_flow *f = find(w, WATCH_TCP, &asked, 0);
    if (p->tcp_flags & TCP_RST) {
        see_reset(w, p, t, &asked);
    } else if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
        see_syn(w, p, t);
    } else if (p->tcp_flags & TCP_SYN) {
        if (!f || f->shelf == OPEN)
            return;
        tell(w, f, WATCH_OK, p->time_ns);
        move(w, f, OPEN, p->time_ns);
    } else if (p->tcp_flags & TCP_FIN) {
        see_fin(w, t, &asked);
    }
}

static void see_udp(struct watch *w, const struct packet *p, const struct tuple *t)
{
    struct tuple asked = turned(t);
    struct watched_flow *answered = find(w, WATCH_UDP, &asked, 0), *f = find(w, WATCH_UDP, t, 0);
    if (answered && answered->shelf == PENDING) {
        tell(w, answered, WATCH_OK, p->time_ns);
        move(w, answered, TOLD, p->time_ns);
    } else if (answered) {
        move(w, answered, TOLD, p->time_ns);
    } else if (f && f->shelf == PENDING) {
        f->attempts++;
    } else if (f) {
        move(w, f, TOLD, p->time_ns);
    } else {
        name_of_address(w, add(w, WATCH_UDP, p, t, 0));
    }
}

/* ---- errors ---- */

static void fail(struct watch *w, struct watched_flow *f, enum watch_result result, int64_t now_ns)
{
    if (f->shelf != PENDING)
        return;
    tell(w, f, result, now_ns);
    move(w, f, TOLD, now_ns);
}

/* The error names no query, only its ports: it is about all that wait there. */
static void fail_queries(struct watch *w, const struct tuple *t, enum watch_result result,
                         int64_t now_ns)
{
    struct watched_flow *next;
    for (struct watched_flow *f = w->shelves[PENDING].first; f; f = next) {
        next = f->after;
        if (f->key.kind == WATCH_DNS && f->asked.from_port == t->from_port &&
            f->asked.protocol == t->protocol && ip_equal(&f->asked.to, &t->to))
            fail(w, f, result, now_ns);
    }
}

static void see_error(struct watch *w, const struct packet *p, const struct packet *about)
{
    struct tuple t = packet_tuple(about);
    enum watch_result result = packet_is_port_unreachable(p) ? WATCH_REFUSED : WATCH_UNREACHABLE;
    struct watched_flow *f = find(w, t.protocol == IPPROTO_TCP ? WATCH_TCP : WATCH_UDP, &t, 0);
    if (p->from.family == 6 && p->icmp_type == 2) /* "packet too big" fails nothing */
        return;
    if (p->from.family == 4 && p->icmp_type == 3 && p->icmp_code == 4)
        return;
    if (f)
        fail(w, f, result, p->time_ns);
    else if (t.to_port == DNS_PACKET_PORT)
        fail_queries(w, &t, result, p->time_ns);
}

/* ---- */

void watch_packet(struct watch *w, const struct packet *p)
{
    struct tuple t = packet_tuple(p);
    struct packet about;
    if (packet_icmp_error(p, &about))
        see_error(w, p, &about);
    else if (p->protocol == IPPROTO_TCP && p->payload_len)
        (void)see_dns(w, p, &t);
    else if (p->protocol == IPPROTO_UDP && !see_dns(w, p, &t))
        see_udp(w, p, &t);
    if (p->protocol == IPPROTO_TCP)
        see_tcp(w, p, &t);
}

static void forget_older(struct watch *w, enum shelf shelf, int64_t than_ns)
{
    while (w->shelves[shelf].first && w->shelves[shelf].first->last_ns < than_ns)
        forget(w, w->shelves[shelf].first);
}

void watch_time(struct watch *w, int64_t now_ns)
{
    struct watched_flow *f;
    while ((f = w->shelves[PENDING].first) && now_ns - f->first_ns >= w->to.patience_ns) {
        tell(w, f, WATCH_NO_ANSWER, now_ns);
        f->in_vain = true;
        move(w, f, TOLD, now_ns);
    }
    forget_older(w, TOLD, now_ns - WATCH_KEEP_NS);
    forget_older(w, OPEN, now_ns - WATCH_OPEN_NS);
}

const char *watch_result_text(enum watch_result r)
{
    static const char *const texts[] = {
        [WATCH_OK] = "ok",
        [WATCH_REFUSED] = "refused",
        [WATCH_UNREACHABLE] = "unreachable",
        [WATCH_NO_ANSWER] = "no answer",
        [WATCH_RESET] = "reset",
        [WATCH_ABORTED] = "aborted",
    };
    return texts[r];
}
