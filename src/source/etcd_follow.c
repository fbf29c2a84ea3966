/* What etcd sends: pages of a list, lines of a watch. */
#include "base/clock.h"
#include "base/log.h"
#include "source/etcd_impl.h"

#include <string.h>

/* ---- pairs ---- */

/* A range holds a little more than the paths below it ("/skydns/a" to "/skydns/a0" has
 * "/skydns/a-b"). */
static bool is_within(const struct etcd_range *r, const struct etcd_event *ev)
{
    size_t n = strlen(r->path);
    return ev->key_len >= n && memcmp(ev->key, r->path, n) == 0 &&
           (ev->key_len == n || ev->key[n] == '/');
}

static bool take_event(struct etcd_source *s, const struct etcd_range *r,
                       const struct etcd_event *ev)
{
    if (!is_within(r, ev))
        return false;
    if (ev->deleted) {
        s->sink.del(s->sink.ctx, ev->key, ev->key_len);
        return true;
    }
    struct etcd_pair p = { ev->key, ev->value, ev->key_len, ev->value_len,
                           etcd_lease_get(s, ev->lease) };
    s->sink.put(s->sink.ctx, &p);
    return true;
}

/* ---- list ---- */

static void list_done(struct etcd_source *s)
{
    for (size_t i = 0; i < s->n_ranges; i++)
        s->ranges[i].next = s->list_revision + 1;
    s->page = ETCD_PAGE_KEYS;
    strbuf_done(&s->from);
    atomic_fetch_add(&s->status.lists, 1);
    atomic_store(&s->status.heard_ns, clock_ns());
    atomic_store(&s->status.revision, s->list_revision);
    s->sink.synced(s->sink.ctx);
    etcd_watch(s);
}

static void take_pairs(struct etcd_source *s, const struct etcd_reply *r)
{
    struct etcd_range *range = &s->ranges[s->range];
    if (!s->list_revision) {
        s->list_revision = r->revision;
        s->cluster = r->cluster;
        s->sink.begin(s->sink.ctx);
    }
    for (size_t i = 0; i < r->n; i++)
        take_event(s, range, &r->events[i]);
    strbuf_reset(&s->from);
    if (r->more && r->n) {
        const struct etcd_event *last = &r->events[r->n - 1];
        strbuf_add(&s->from, last->key, last->key_len);
        strbuf_putc(&s->from, 0); /* the next possible key */
    } else if (++s->range == s->n_ranges) {
        list_done(s);
        return;
    }
    etcd_list_page(s);
}

static void take_reply(struct etcd_source *s, const struct etcd_reply *r)
{
    if (!r->error && r->revision > 0) {
        s->fresh_token = false;
        take_pairs(s, r);
    } else if (!r->error) {
        etcd_fail(s, "a list without a revision");
    } else if (r->code == ETCD_DENIED && etcd_narrow(s, &s->ranges[s->range])) {
        etcd_list_page(s);
    } else if (r->code == ETCD_OUT_OF_RANGE) { /* compacted while we read */
        etcd_list(s);
    } else {
        etcd_refused(s, r->code, r->error);
    }
}

void etcd_take_page(struct etcd_source *s, const struct http_result *r)
{
    struct etcd_reply reply;
    struct arena a;
    struct err e;
    if (r->error == ERR_LIMIT && s->page > 1) {
        s->page = s->page > 256 ? 256 : s->page < 8 ? 1 : s->page / 4;
        etcd_list_page(s);
        return;
    }
    if (r->error) {
        etcd_fail(s, "%s", r->text);
        return;
    }
    arena_init(&a, 1 << 20);
    if (etcd_reply_parse(r->body, r->len, &a, &reply, &e) < 0)
        etcd_fail(s, "status %ld: %s", r->status, e.text);
    else
        take_reply(s, &reply);
    arena_done(&a);
}

/* ---- watch ---- */

static void created(struct etcd_source *s, struct etcd_range *range, const struct etcd_reply *r)
{
    bool all = true;
    range->created = true;
    s->fresh_token = false;
    for (size_t i = 0; i < s->n_ranges; i++)
        all &= s->ranges[i].created;
    if (!all)
        return;
    if (s->told)
        log_info("%s: %s: following revision %lld", s->name, s->endpoints[s->endpoint],
                 (long long)r->revision);
    free(s->told);
    s->told = NULL;
    s->failures = 0;
    atomic_store(&s->status.heard_ns, clock_ns());
    atomic_store(&s->status.connected, true);
}

/* Another cluster answers, or one that was set back. */
static bool is_other_store(const struct etcd_source *s, const struct etcd_range *range,
                           const struct etcd_reply *r)
{
    return r->cluster != s->cluster || (r->revision && r->revision + 1 < range->next);
}

/* Not at once: two stores behind one address would keep us listing. */
static void start_over(struct etcd_source *s, const char *why)
{
    s->ranges[0].next = 0;
    etcd_fail(s, "%s; reading everything again", why);
}

static void cancelled(struct etcd_source *s, const struct etcd_reply *r)
{
    const char *reason = r->reason ? r->reason : "the watch was cancelled";
    if (r->compact_revision)
        etcd_list(s);
    else
        etcd_refused(s, strstr(reason, "permission") ? ETCD_DENIED : -1, reason);
}

static void take_changes(struct etcd_source *s, struct etcd_range *range,
                         const struct etcd_reply *r)
{
    bool any = false;
    int64_t seen = r->n ? r->events[r->n - 1].revision : r->revision;
    for (size_t i = 0; i < r->n; i++)
        any |= take_event(s, range, &r->events[i]);
    if (!r->fragment && seen >= range->next) {
        range->next = seen + 1;
        atomic_store(&s->status.revision, seen);
    }
    if (any)
        s->sink.settled(s->sink.ctx);
}

static void take_line(struct etcd_source *s, const struct etcd_reply *r)
{
    if (r->error) {
        etcd_refused(s, r->code, r->error);
        return;
    }
    if (r->watch < 1 || (uint64_t)r->watch > s->n_ranges) {
        etcd_fail(s, "the watch has the unknown number %lld", (long long)r->watch);
        return;
    }
    struct etcd_range *range = &s->ranges[r->watch - 1];
    if (r->cancelled)
        cancelled(s, r);
    else if (is_other_store(s, range, r))
        start_over(s, "another store answers, or one that was set back");
    else if (r->created)
        created(s, range, r);
    else
        take_changes(s, range, r);
}

static void parse_line(struct etcd_source *s, const char *p, size_t n)
{
    struct etcd_reply reply;
    struct arena a;
    struct err e;
    if (!n)
        return;
    arena_init(&a, 16384);
    if (etcd_reply_parse(p, n, &a, &reply, &e) < 0)
        etcd_fail(s, "the watch sends: %s", e.text);
    else
        take_line(s, &reply);
    arena_done(&a);
}

/* Whole lines in what has come; stops when one of them has ended the watch. */
static size_t parse_lines(struct etcd_source *s, const struct http_call *call)
{
    size_t done = 0;
    const char *stop;
    while (s->call == call && s->line.len > s->scanned &&
           (stop = memchr(s->line.p + s->scanned, '\n', s->line.len - s->scanned))) {
        size_t end = (size_t)(stop - s->line.p);
        parse_line(s, s->line.p + done, end - done);
        done = s->scanned = end + 1;
    }
    return done;
}

int etcd_on_watch(void *ctx, long status, const char *p, size_t n)
{
    struct etcd_source *s = ctx;
    const struct http_call *call = s->call;
    (void)status;
    if (s->line.len + n > ETCD_REPLY_MAX) {
        start_over(s, "too many changes at once");
        return -1;
    }
    strbuf_add(&s->line, p, n);
    size_t done = parse_lines(s, call);
    if (s->call != call || !call)
        return -1;
    memmove(s->line.p, s->line.p + done, s->line.len - done);
    s->line.len -= done;
    s->scanned = s->line.len;
    return 0;
}

/* A refusal comes as one object without a line end. */
void etcd_watch_ended(struct etcd_source *s, const struct http_result *r)
{
    if (s->line.len)
        parse_line(s, s->line.p, s->line.len);
    else if (r->error)
        etcd_fail(s, "%s", r->text);
    else
        etcd_fail(s, "the watch ended with status %ld", r->status);
    if (s->sm.now == ETCD_WATCH && !s->call)
        etcd_fail(s, "the watch ended with status %ld", r->status);
}
