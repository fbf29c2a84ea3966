/* `loadbalance [round_robin | weighted FILE] { reload D ; prefer CIDR... }`.
 *
 * round_robin: CNAMEs first, then other types in order, addresses and MX records shuffled anew for
 * every reply; addresses in the nets of `prefer` come before the others. weighted: only the first
 * address is chosen, by chance and the weights of FILE; it changes places with the one that stood
 * there. */
#include "dns/plugins/loadbalance.h"

#include "base/file.h"
#include "base/rcu.h"
#include "base/vec.h"
#include "dns/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define RELOAD_NS 30000000000LL
#define SETS_MAX  16384 /* of a section, that are sorted by preference */

struct loadbalance {
    VEC(struct ip_prefix) prefer;
    const char *path; /* of the weights; NULL: round robin */
    long long reload_ns;
    uv_loop_t *loop;
    uv_timer_t *timer; /* on the heap: it outlives us until the loop has closed it */
    bool missing, tried;
    struct timespec mtime;
    off_t size;
    ino_t inode;
    _Atomic(struct weights *) weights;
};

/* ---- round robin ---- */

/* The records of an RRset of fixed-size rdata in a random order, in the query's memory: the
 * snapshot's own bytes are never changed. */
static void shuffle_rdata(struct query *q, struct rrset *rr)
{
    uint8_t *out = arena_memdup(&q->arena, rr->rdata, (size_t)rr->rdlen * rr->count);
    uint8_t tmp[16];
    for (uint32_t i = rr->count - 1u; i > 0; i--) {
        uint32_t k = rand_below(&q->worker->rand, i + 1);
        memcpy(tmp, out + (size_t)i * rr->rdlen, rr->rdlen);
        memcpy(out + (size_t)i * rr->rdlen, out + (size_t)k * rr->rdlen, rr->rdlen);
        memcpy(out + (size_t)k * rr->rdlen, tmp, rr->rdlen);
    }
    rr->rdata = out;
}

static bool is_address(const struct rrset *rr)
{
    return rr->type == RR_A || rr->type == RR_AAAA;
}

static void shuffle_sets(struct query *q, struct rrset *sets, uint16_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = rand_below(&q->worker->rand, i);
        struct rrset tmp = sets[i - 1];
        sets[i - 1] = sets[k];
        sets[k] = tmp;
    }
}

/* Moves the sets that `wanted` names to the end of what is still unsorted, keeping order. */
static uint16_t take(const struct rrset_list *from, struct rrset *to, uint16_t n,
                     bool (*wanted)(const struct rrset *rr))
{
    for (uint16_t i = 0; i < from->n; i++)
        if (wanted(&from->items[i]))
            to[n++] = from->items[i];
    return n;
}

static bool is_cname(const struct rrset *rr)
{
    return rr->type == RR_CNAME;
}

static bool is_mx(const struct rrset *rr)
{
    return rr->type == RR_MX;
}

static bool is_other(const struct rrset *rr)
{
    return !is_cname(rr) && !is_mx(rr) && !is_address(rr);
}

static void balance_section(struct query *q, struct rrset_list *l)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].count > 1 && l->items[i].rdlen && l->items[i].rdlen <= 16)
            shuffle_rdata(q, &l->items[i]);
    if (l->n < 2)
        return;
    struct rrset *sorted = arena_alloc(&q->arena, l->n * sizeof *sorted);
    uint16_t n = take(l, sorted, 0, is_cname);
    n = take(l, sorted, n, is_other);
    uint16_t addresses = n;
    n = take(l, sorted, n, is_address);
    shuffle_sets(q, sorted + addresses, (uint16_t)(n - addresses));
    uint16_t mx = n;
    n = take(l, sorted, n, is_mx);
    shuffle_sets(q, sorted + mx, (uint16_t)(n - mx));
    memcpy(l->items, sorted, n * sizeof *sorted);
}

/* ---- prefer ---- */

static const uint8_t *record(const struct rrset *rr, uint32_t i)
{
    return rr->rdlen ? rr->rdata + (size_t)i * rr->rdlen : rr->rdata + 2;
}

/* Only records of a fixed size, or single ones, can be addressed by number. */
static uint32_t addresses_in(const struct rrset *rr)
{
    return !is_address(rr) ? 0 : rr->rdlen ? rr->count : rr->count == 1;
}

static struct ip address_at(const struct rrset *rr, uint32_t i)
{
    struct ip ip = { .family = rr->type == RR_A ? 4 : 6 };
    memcpy(ip.bytes, record(rr, i), ip_len(&ip));
    return ip;
}

static bool is_preferred(const struct loadbalance *lb, const struct rrset *rr, uint32_t i)
{
    struct ip ip = address_at(rr, i);
    vec_each (p, &lb->prefer)
        if (ip_prefix_contains(p, &ip))
            return true;
    return false;
}

/* The records of a set that are preferred, or that are not, as a set of their own; empty: none. */
static struct rrset part_of(struct query *q, const struct loadbalance *lb, const struct rrset *rr,
                            bool preferred)
{
    struct rrset part = *rr;
    uint32_t n = addresses_in(rr);
    if (n == 0) {
        part.count = preferred ? 0 : rr->count;
        return part;
    }
    size_t size = rr->type == RR_A ? 4 : 16;
    uint8_t *out = arena_alloc(&q->arena, n * size);
    part.count = 0;
    part.rdlen = (uint16_t)size;
    part.rdata = out;
    for (uint32_t i = 0; i < n; i++)
        if (is_preferred(lb, rr, i) == preferred)
            memcpy(out + size * part.count++, record(rr, i), size);
    return part;
}

/* In the place of the first address: all that are preferred, then all others. */
static void prefer_in_section(struct query *q, const struct loadbalance *lb, struct rrset_list *l)
{
    struct rrset_list sorted = { 0 };
    uint16_t first = 0;
    while (first < l->n && !is_address(&l->items[first]))
        first++;
    if (first == l->n || l->n > SETS_MAX)
        return;
    for (uint16_t i = 0; i < first; i++)
        rrset_list_add(&sorted, &q->arena, l->items[i]);
    for (int pass = 0; pass < 2; pass++)
        for (uint16_t i = first; i < l->n; i++) {
            if (!is_address(&l->items[i]))
                continue;
            struct rrset part = part_of(q, lb, &l->items[i], pass == 0);
            if (part.count)
                rrset_list_add(&sorted, &q->arena, part);
        }
    for (uint16_t i = first; i < l->n; i++)
        if (!is_address(&l->items[i]))
            rrset_list_add(&sorted, &q->arena, l->items[i]);
    *l = sorted;
}

static bool is_balanced(const struct query *q)
{
    return q->reply.rcode == RCODE_NOERROR && q->msg.q.type != RR_AXFR && q->msg.q.type != RR_IXFR;
}

static void round_robin_out(struct query *q, void *conf)
{
    const struct loadbalance *lb = conf;
    if (!is_balanced(q))
        return;
    for (int s = 0; s < SECTION_COUNT; s++) {
        if (!q->reply.section[s].n)
            continue;
        balance_section(q, &q->reply.section[s]);
        if (lb->prefer.n)
            prefer_in_section(q, lb, &q->reply.section[s]);
    }
}

/* ---- weighted ---- */

static const struct weight_list *list_for(const struct query *q, const struct weights *w,
                                          const struct rrset *rr)
{
    uint8_t lower[NAME_MAX_WIRE];
    if (!rr->owner)
        return weights_find(w, q->msg.q.lower, q->msg.q.name.len);
    size_t len = name_wire_len(rr->owner);
    name_lower(lower, rr->owner, len);
    return weights_find(w, lower, len);
}

static uint32_t set_weight(const struct weight_list *list, const struct rrset *rr)
{
    uint32_t sum = 0, n = addresses_in(rr);
    for (uint32_t i = 0; i < n; i++) {
        struct ip ip = address_at(rr, i);
        sum += weight_of(list, &ip);
    }
    return sum;
}

/* The record at which `at` lies when each takes as much room as its weight. */
static uint32_t pick(const struct weight_list *list, const struct rrset *rr, uint32_t at)
{
    uint32_t i = 0;
    for (; i + 1 < rr->count; i++) {
        struct ip ip = address_at(rr, i);
        uint32_t weight = weight_of(list, &ip);
        if (at < weight)
            break;
        at -= weight;
    }
    return i;
}

static void swap_to_front(struct query *q, struct rrset *rr, uint32_t i)
{
    if (i == 0)
        return;
    uint8_t *out = arena_memdup(&q->arena, rr->rdata, (size_t)rr->rdlen * rr->count);
    memcpy(out, record(rr, i), rr->rdlen);
    memcpy(out + (size_t)i * rr->rdlen, rr->rdata, rr->rdlen);
    rr->rdata = out;
}

/* The chosen address becomes the first of its set, and its set the first of the section's
 * addresses. */
static void choose_in_section(struct query *q, const struct weights *w, struct rrset_list *l)
{
    uint32_t sum = 0, first = l->n;
    for (uint32_t i = 0; i < l->n; i++)
        if (addresses_in(&l->items[i])) {
            first = MIN(first, i);
            sum += set_weight(list_for(q, w, &l->items[i]), &l->items[i]);
        }
    if (sum == 0)
        return;
    uint32_t at = rand_below(&q->worker->rand, sum);
    for (uint32_t i = first; i < l->n; i++) {
        struct rrset *rr = &l->items[i];
        const struct weight_list *list = addresses_in(rr) ? list_for(q, w, rr) : NULL;
        uint32_t weight = set_weight(list, rr);
        if (at >= weight) {
            at -= weight;
            continue;
        }
        swap_to_front(q, rr, pick(list, rr, at));
        struct rrset chosen = *rr;
        *rr = l->items[first];
        l->items[first] = chosen;
        return;
    }
}

static void weighted_out(struct query *q, void *conf)
{
    struct loadbalance *lb = conf;
    if (!is_balanced(q) || (q->msg.q.type != RR_A && q->msg.q.type != RR_AAAA))
        return;
    const struct weights *w = rcu_load(&lb->weights);
    for (int s = 0; s < SECTION_COUNT; s++)
        if (q->reply.section[s].n)
            choose_in_section(q, w, &q->reply.section[s]);
}

/* ---- the file (control thread) ---- */

static bool is_unchanged(const struct loadbalance *lb, const struct stat *st)
{
    return lb->tried && lb->mtime.tv_sec == st->st_mtim.tv_sec &&
           lb->mtime.tv_nsec == st->st_mtim.tv_nsec && lb->size == st->st_size &&
           lb->inode == st->st_ino;
}

static int read_whole(const struct loadbalance *lb, int fd, size_t size, char **ret,
                      size_t *ret_len, struct err *e)
{
    if (size > WEIGHTS_FILE_MAX)
        return err_set(e, ERR_LIMIT, "weight file %s has %zu bytes; more than %d are not read",
                       lb->path, size, WEIGHTS_FILE_MAX);
    int code = file_read(fd, size, ret, ret_len);
    return code < 0 ? err_set(e, code, "weight file %s: %s", lb->path, strerror(-code)) : 0;
}

/* Reads the file if it has changed. On failure, what there was stays. */
static int update(struct loadbalance *lb, struct err *e)
{
    struct stat st;
    cleanup_free char *text = NULL;
    struct weights *w = NULL;
    size_t len = 0;
    cleanup_close int fd = open(lb->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (!lb->missing)
            log_warning("plugin/loadbalance: Failed to open weight file %s: %s", lb->path,
                        fd < 0 ? strerror(errno) : "it is not a file");
        lb->missing = true;
        return 0;
    }
    lb->missing = false;
    if (is_unchanged(lb, &st))
        return 0;
    lb->tried = true;
    lb->mtime = st.st_mtim;
    lb->size = st.st_size;
    lb->inode = st.st_ino;
    int ret = read_whole(lb, fd, (size_t)st.st_size, &text, &len, e);
    if (ret == 0)
        ret = weights_parse(text, len, lb->path, &w, e);
    if (ret < 0)
        return ret;
    struct weights *old = atomic_load(&lb->weights);
    rcu_publish(&lb->weights, w);
    if (old)
        rcu_retire(old, weights_free);
    log_info("plugin/loadbalance: Successfully reloaded weight file %s", lb->path);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct err e;
    if (update(timer->data, &e) < 0)
        log_error("plugin/loadbalance: %s; the weights before it stay in use", e.text);
}

static int loadbalance_start(void *conf, struct err *e)
{
    struct loadbalance *lb = conf;
    int ret = update(lb, e);
    if (ret < 0 || !lb->reload_ns)
        return ret;
    uint64_t ms = (uint64_t)MAX(lb->reload_ns / 1000000, 1);
    lb->timer = xcalloc(1, sizeof *lb->timer);
    uv_timer_init(lb->loop, lb->timer);
    lb->timer->data = lb;
    uv_timer_start(lb->timer, on_timer, ms, ms);
    return 0;
}

static void timer_closed(uv_handle_t *timer)
{
    free(timer);
}

static void loadbalance_stop(void *conf)
{
    struct loadbalance *lb = conf;
    if (lb->timer)
        uv_close((uv_handle_t *)lb->timer, timer_closed);
    weights_free(atomic_load(&lb->weights));
    vec_done(&lb->prefer);
}

/* ---- set-up ---- */

static int read_prefer(struct loadbalance *lb, struct dispenser *d, struct err *e)
{
    struct ip_prefix prefix;
    size_t before = lb->prefer.n;
    while (dispenser_next_arg(d)) {
        if (!strchr(dispenser_val(d), '/') || ip_prefix_parse(dispenser_val(d), &prefix) < 0)
            return dispenser_err(d, e, "invalid CIDR \"%s\"", dispenser_val(d));
        vec_push(&lb->prefer, prefix);
    }
    return lb->prefer.n == before ? dispenser_arg_err(d, e) : 0;
}

static int read_reload(struct loadbalance *lb, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_err(d, e, "reload duration value is missing");
    if (str_to_duration(dispenser_val(d), &lb->reload_ns) < 0 || lb->reload_ns < 0)
        return dispenser_err(d, e, "invalid reload duration '%s'", dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_err(d, e, "unexpected argument") : 0;
}

static int read_option(struct loadbalance *lb, struct dispenser *d, struct err *e)
{
    if (!lb->path && strcmp(dispenser_val(d), "prefer") == 0)
        return read_prefer(lb, d, e);
    if (lb->path && strcmp(dispenser_val(d), "reload") == 0)
        return read_reload(lb, d, e);
    return dispenser_unknown(d, e);
}

static int read_policy(struct loadbalance *lb, struct setup *s, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return 0;
    bool weighted = strcmp(dispenser_val(d), "weighted") == 0;
    if (!weighted && strcmp(dispenser_val(d), "round_robin") != 0)
        return dispenser_err(d, e, "unknown policy: %s", dispenser_val(d));
    if (weighted && !dispenser_next_arg(d))
        return dispenser_err(d, e, "missing weight file argument");
    if (weighted)
        lb->path = setup_path(s, dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_err(d, e, "unexpected argument(s)") : 0;
}

static int loadbalance_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct loadbalance *lb = arena_zalloc(setup_arena(s), sizeof *lb);
    lb->reload_ns = RELOAD_NS;
    lb->loop = setup_loop(s);
    setup_stop(s, loadbalance_stop, lb);
    dispenser_next_directive(d);
    int ret = read_policy(lb, s, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(lb, d, e);
    if (ret < 0)
        return ret;
    if (lb->path)
        setup_start(s, loadbalance_start, lb);
    setup_out(s, lb->path ? weighted_out : round_robin_out, lb);
    return 0;
}

const struct plugin plugin_loadbalance = { .name = "loadbalance", .setup = loadbalance_setup };
