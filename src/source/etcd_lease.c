/* How long the leases of values still last. A keep-alive does not show in a watch, so each lease is
 * asked about again after a third of what it has left. */
#include "source/etcd_impl.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

#define TICK_MS    100
#define ASKING_MAX 32
#define DROP_MAX   256 /* a tick */
#define SECOND     1000000000LL
#define AGAIN_MIN  (1 * SECOND)
#define AGAIN_MAX  (60 * SECOND)
#define UNKNOWN    0

struct etcd_lease {
    struct etcd_source *source; /* for the table's owner only */
    int64_t id;
    _Atomic unsigned refs;   /* the table's own included */
    _Atomic int64_t ends_ns; /* monotonic; UNKNOWN */
    int64_t again_ns;        /* when to ask */
    bool asking;
};

struct etcd_lease *etcd_lease_ref(struct etcd_lease *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void etcd_lease_unref(struct etcd_lease *l)
{
    if (l && atomic_fetch_sub(&l->refs, 1) == 1)
        free(l);
}

int64_t etcd_lease_left(const struct etcd_lease *l, int64_t now_ns)
{
    int64_t ends =
        atomic_load_explicit(&((struct etcd_lease *)(uintptr_t)l)->ends_ns, memory_order_relaxed);
    if (ends == UNKNOWN)
        return -1;
    return ends > now_ns ? (ends - now_ns + SECOND / 2) / SECOND : 0;
}

struct etcd_lease *etcd_lease_get(struct etcd_source *s, int64_t id)
{
    struct etcd_leases *leases = &s->leases;
    struct etcd_lease *l = id ? ht_get(&leases->table, &id, sizeof id) : NULL;
    if (l || !id)
        return l;
    if (leases->table.n >= ETCD_LEASES_MAX) {
        if (!leases->full)
            log_warning("%s: more than %d leases; the time of further ones is not asked for",
                        s->name, ETCD_LEASES_MAX);
        leases->full = true;
        return NULL;
    }
    l = xcalloc(1, sizeof *l);
    l->source = s;
    l->id = id;
    atomic_init(&l->refs, 1);
    atomic_init(&l->ends_ns, UNKNOWN);
    ht_put(&leases->table, &id, sizeof id, l);
    if (!uv_is_active((uv_handle_t *)leases->timer))
        uv_timer_start(leases->timer, leases->timer->timer_cb, 1, TICK_MS);
    return l;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void on_answer(void *ctx, const struct http_result *r)
{
    struct etcd_lease *l = ctx;
    struct arena a;
    struct etcd_reply reply;
    int64_t now = clock_ns();
    l->asking = false;
    l->source->leases.asking--;
    l->again_ns = now + 5 * SECOND;
    arena_init(&a, 4096);
    if (r->error == 0 && r->status == 200 &&
        etcd_reply_parse(r->body, r->len, &a, &reply, NULL) == 0 && !reply.error) {
        int64_t left = clamp(reply.ttl, 0, INT64_MAX / SECOND / 4) * SECOND;
        atomic_store_explicit(&l->ends_ns, now + left, memory_order_relaxed);
        l->again_ns = now + clamp(left / 3, AGAIN_MIN, AGAIN_MAX);
    }
    arena_done(&a);
    etcd_lease_unref(l);
}

static void ask(struct etcd_source *s, struct etcd_lease *l)
{
    struct strbuf body = { 0 };
    struct http_call *call;
    strbuf_printf(&body, "{\"ID\":\"%lld\"}", (long long)l->id);
    if (etcd_post(s, "/v3/lease/timetolive", &body, NULL, on_answer, l, &call) == 0) {
        etcd_lease_ref(l); /* the request's */
        l->asking = true;
        s->leases.asking++;
    }
    strbuf_done(&body);
}

/* Asks about those that are due and drops those that no value has any more. */
static void on_tick(uv_timer_t *timer)
{
    struct etcd_source *s = timer->data;
    int64_t now = clock_ns();
    struct etcd_lease *unused[DROP_MAX];
    size_t n = 0;
    ht_each (e, &s->leases.table) {
        struct etcd_lease *l = e->value;
        if (l->asking)
            continue;
        if (atomic_load(&l->refs) == 1 && n < DROP_MAX)
            unused[n++] = l;
        else if (now >= l->again_ns && s->leases.asking < ASKING_MAX && s->sm.now == ETCD_WATCH)
            ask(s, l);
    }
    while (n--) { /* the table cannot be changed while it is walked */
        ht_del(&s->leases.table, &unused[n]->id, sizeof unused[n]->id);
        etcd_lease_unref(unused[n]);
    }
    if (!s->leases.table.n)
        uv_timer_stop(timer);
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

void etcd_leases_open(struct etcd_source *s)
{
    s->leases.timer = xcalloc(1, sizeof *s->leases.timer);
    uv_timer_init(s->loop, s->leases.timer);
    s->leases.timer->data = s;
    s->leases.timer->timer_cb = on_tick;
}

/* No request is under way any more. */
void etcd_leases_close(struct etcd_source *s)
{
    uv_timer_stop(s->leases.timer);
    uv_close((uv_handle_t *)s->leases.timer, timer_closed);
    ht_each (e, &s->leases.table) {
        struct etcd_lease *l = e->value;
        if (l->asking)
            etcd_lease_unref(l);
        etcd_lease_unref(l);
    }
    ht_done(&s->leases.table);
}
