/* The life of a zone's copy: transferred at start and when its serial has risen, asked for after
 * REFRESH or NOTIFY, again after RETRY while that fails, and not served any more after EXPIRE (RFC
 * 1034 section 4.3.5, RFC 1996). */
#include "dns/plugins/secondary.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_MS  250 /* after the first failure at start; doubled up to the next */
#define BACKOFF_MAX_MS    10000
#define REFRESH_JITTER_MS 5000 /* so that not all ask at once; at most the interval */
#define RETRY_JITTER_MS   2000

static void begin(struct replica *r);
static void on_timer(uv_timer_t *timer);

/* ---- times ---- */

static struct soa_times times_of(const struct zone_data *z)
{
    return soa_times_of(z->soa->rr.rdata + 2, get_u16(z->soa->rr.rdata));
}

static uint64_t jittered_ms(uint32_t seconds, uint64_t jitter_ms)
{
    uint64_t ms = MAX(seconds, 1u) * 1000ULL;
    return ms + rand_seed() % MIN(jitter_ms, ms);
}

static void on_expiry(uv_timer_t *timer)
{
    struct replica *r = timer->data;
    if (!r->failing || atomic_load(&r->expired))
        return;
    atomic_store(&r->expired, true);
    log_error("plugin/secondary: Zone %s is expired: none of its primaries has answered", r->text);
}

/* The next check; by the times of the zone that is served. */
static void schedule(struct replica *r)
{
    struct soa_times t = times_of(atomic_load(&r->zone));
    uint64_t ms = r->failing ? jittered_ms(t.retry, RETRY_JITTER_MS)
                             : jittered_ms(t.refresh, REFRESH_JITTER_MS);
    uv_timer_start(&r->timer, on_timer, ms, 0);
}

static void schedule_expiry(struct replica *r)
{
    struct soa_times t = times_of(atomic_load(&r->zone));
    uint64_t age = (uint64_t)(clock_ns() - atomic_load(&r->good_ns)) / 1000000;
    uint64_t end = MAX(t.expire, 1u) * 1000ULL;
    uv_timer_start(&r->expiry, on_expiry, end > age ? end - age : 0, 0);
}

/* ---- the queue ---- */

static void start_queued(struct secondary *s)
{
    while (s->queue && s->fetching < FETCHES_MAX) {
        struct replica *r = s->queue;
        s->queue = r->next;
        if (!s->queue)
            s->queue_end = &s->queue;
        r->next = NULL;
        r->doing = r->waiting_for;
        r->waiting_for = WORK_NONE;
        s->fetching++;
        begin(r);
    }
}

static void unqueue(struct replica *r)
{
    struct secondary *s = r->s;
    struct replica **at = &s->queue;
    while (*at && *at != r)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = r->next;
    if (!r->next)
        s->queue_end = at;
    r->waiting_for = WORK_NONE;
}

static void want(struct replica *r, enum replica_work work)
{
    uv_timer_stop(&r->timer);
    if (r->doing) {
        r->again = true;
        return;
    }
    bool queued = r->waiting_for;
    r->waiting_for = MAX(r->waiting_for, work);
    if (queued)
        return;
    *r->s->queue_end = r;
    r->s->queue_end = &r->next;
    start_queued(r->s);
}

/* Not before the server starts: a Corefile that is only checked has no loop. */
static void open_timers(struct replica *r)
{
    uv_timer_init(r->s->loop, &r->timer);
    uv_timer_init(r->s->loop, &r->expiry);
    r->timer.data = r->expiry.data = r;
    r->open = 2;
}

void replica_load(struct replica *r)
{
    if (!r->open)
        open_timers(r);
    want(r, WORK_LOAD);
}

void replica_check(struct replica *r)
{
    want(r, atomic_load(&r->zone) ? WORK_CHECK : WORK_LOAD);
}

static void on_timer(uv_timer_t *timer)
{
    replica_check(timer->data);
}

/* ---- the end of a round ---- */

static void end_round(struct replica *r)
{
    r->doing = WORK_NONE;
    r->s->fetching--;
    if (r->again) {
        r->again = false;
        replica_check(r);
    }
    start_queued(r->s);
}

static void succeed(struct replica *r)
{
    r->failing = false;
    r->backoff_ms = 0;
    atomic_store(&r->good_ns, clock_ns());
    uv_timer_stop(&r->expiry);
    if (atomic_exchange(&r->expired, false))
        log_info("plugin/secondary: Zone %s is served again", r->text);
    schedule(r);
    end_round(r);
}

/* No primary was of use. */
static void fail(struct replica *r, const char *why)
{
    metric_add(r->counts->failures, 1);
    if (atomic_load(&r->zone)) {
        if (!r->failing)
            schedule_expiry(r);
        r->failing = true;
        schedule(r);
        end_round(r);
        return;
    }
    r->backoff_ms = r->backoff_ms ? MIN(2 * r->backoff_ms, BACKOFF_MAX_MS) : BACKOFF_FIRST_MS;
    log_warning("plugin/secondary: All '%s' masters failed to transfer, retrying in %u ms: %s",
                r->text, r->backoff_ms, why);
    uv_timer_start(&r->timer, on_timer, r->backoff_ms, 0);
    end_round(r);
}

/* ---- a round: each primary in turn ---- */

static const struct primary *primary_of(const struct replica *r)
{
    return &r->source->primaries[(r->first + r->tried) % r->source->n];
}

static const char *primary_text(const struct replica *r, char out[IP_PORT_TEXT_MAX])
{
    const struct primary *p = primary_of(r);
    return ip_port_text(&p->ip, p->port, out);
}

static void ask(struct replica *r);

static void try_next(struct replica *r, const char *why)
{
    char primary[IP_PORT_TEXT_MAX];
    log_error("plugin/secondary: %s of zone %s from %s failed: %s",
              r->doing == WORK_LOAD ? "transfer" : "check", r->text, primary_text(r, primary), why);
    if (++r->tried < r->source->n)
        ask(r);
    else
        fail(r, why);
}

static void publish(struct replica *r, struct zone_data *new)
{
    char primary[IP_PORT_TEXT_MAX];
    struct zone_data *old = atomic_load(&r->zone);
    if (new->n_outside)
        log_warning("plugin/secondary: %zu records of zone %s lie outside the zone and were left "
                    "out",
                    new->n_outside, r->text);
    rcu_publish(&r->zone, new);
    if (old)
        rcu_retire(old, zone_data_free);
    metric_add(r->counts->transfers, 1);
    log_info("plugin/secondary: Transferred: %s from %s for %u SOA serial", r->text,
             primary_text(r, primary), new->serial);
    transfers_notify(r->s->transfers, r->origin);
}

static void take_zone(struct replica *r, struct zone_data *new)
{
    struct err e = { 0 };
    struct catalog *c = NULL;
    const struct zone_data *old = atomic_load(&r->zone);
    int code = 0;
    if (old && serial_is_before(new->serial, old->serial))
        code = err_set(&e, ERR_INVALID, "its serial %u is older than ours, %u", new->serial,
                       old->serial);
    else if (r->source->is_catalog && !r->member_of)
        code = catalog_parse(new, &c, &e);
    if (code < 0) {
        zone_data_free(new);
        try_next(r, e.text);
        return;
    }
    r->behind_logged = false;
    publish(r, new);
    succeed(r);
    if (c)
        members_apply(r, c);
}

/* A primary that has not got what another has is no failure. */
static void take_serial(struct replica *r, uint32_t serial)
{
    char primary[IP_PORT_TEXT_MAX];
    uint32_t ours = atomic_load(&r->zone)->serial;
    if (serial_is_before(ours, serial)) {
        r->doing = WORK_LOAD;
        r->first = (r->first + r->tried) % r->source->n;
        r->tried = 0;
        ask(r);
        return;
    }
    if (serial != ours && !r->behind_logged)
        log_warning("plugin/secondary: Zone %s has serial %u at %s and %u here: it stays as it is",
                    r->text, serial, primary_text(r, primary), ours);
    r->behind_logged = serial != ours;
    succeed(r);
}

static void on_fetched(void *ctx, struct fetched *f)
{
    struct replica *r = ctx;
    r->fetch = NULL;
    if (f->code < 0)
        try_next(r, f->why);
    else if (f->zone)
        take_zone(r, f->zone);
    else
        take_serial(r, f->serial);
}

static void ask(struct replica *r)
{
    struct fetch_job job = { .loop = r->s->loop,
                             .primary = *primary_of(r),
                             .origin = r->origin,
                             .type = r->doing == WORK_LOAD ? RR_AXFR : RR_SOA,
                             .done = on_fetched,
                             .ctx = r };
    r->fetch = fetch_start(&job);
}

static void begin(struct replica *r)
{
    r->first = r->tried = 0;
    ask(r);
}

/* ---- coming and going ---- */

struct replica *replica_new(struct secondary *s, const uint8_t *origin, const struct source *source)
{
    struct replica *r = xcalloc(1, sizeof *r);
    r->s = s;
    r->source = source;
    r->len = name_wire_len(origin);
    name_lower(r->origin, origin, r->len);
    (void)name_to_text(r->origin, r->text);
    return r;
}

static void replica_free(void *replica)
{
    struct replica *r = replica;
    zone_data_free(atomic_load(&r->zone));
    catalog_free(r->catalog);
    free(r);
}

static void timer_closed(uv_handle_t *h)
{
    struct replica *r = h->data;
    if (--r->open == 0)
        rcu_retire(r, replica_free);
}

void replica_end(struct replica *r)
{
    if (r->waiting_for)
        unqueue(r);
    if (r->doing)
        r->s->fetching--;
    fetch_cancel(r->fetch);
    r->fetch = NULL;
    if (!r->open) {
        replica_free(r);
        return;
    }
    uv_close((uv_handle_t *)&r->timer, timer_closed);
    uv_close((uv_handle_t *)&r->expiry, timer_closed);
}
