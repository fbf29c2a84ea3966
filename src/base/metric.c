#include "base/metric.h"

#include "base/err.h"
#include "base/ht.h"
#include "base/mem.h"
#include "base/vec.h"

#include <pthread.h>
#include <string.h>

enum series_kind { SERIES_COUNTER, SERIES_HISTOGRAM, SERIES_GAUGE };

struct series {
    char *labels;
    metric slot;
    double (*read)(void *ctx);
    void *ctx;
};

struct family {
    const char *name, *help;
    enum series_kind kind;
    const uint64_t *bounds;
    unsigned n_bounds;
    double scale;
    VEC(struct series) series;
};

_Thread_local struct metric_shard *metric_my_shard;
struct metric_shard metric_shared_shard;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric_shard *shards[METRIC_SHARDS_MAX] = { &metric_shared_shard };
static unsigned n_shards = 1;
static VEC(struct family *) families;
static struct ht family_index; /* name -> struct family */
static struct ht series_index; /* name{labels} -> slot + 1 */
static metric next_slot = 2;   /* 0 and 1: see metric_histogram() */
static metric refused;

__attribute__((constructor)) static void first_page(void)
{
    metric_shared_shard.pages[0] = xcalloc(METRIC_PAGE, sizeof(_Atomic uint64_t));
}

int metric_thread_init(void)
{
    int ret = ERR_LIMIT;
    pthread_mutex_lock(&lock);
    if (!metric_my_shard && n_shards < METRIC_SHARDS_MAX) {
        struct metric_shard *s = xcalloc(1, sizeof *s);
        for (metric page = 0; page <= (next_slot - 1) / METRIC_PAGE; page++)
            s->pages[page] = xcalloc(METRIC_PAGE, sizeof(_Atomic uint64_t));
        shards[n_shards++] = s;
        metric_my_shard = s;
        ret = 0;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

/* n consecutive cells in every shard; 0 when the registry is full. */
static metric take_slots(unsigned n)
{
    if (next_slot + n > METRIC_SLOTS_MAX)
        return 0;
    metric first = next_slot;
    next_slot += n;
    for (unsigned i = 0; i < n_shards; i++)
        for (metric page = first / METRIC_PAGE; page <= (next_slot - 1) / METRIC_PAGE; page++)
            if (!shards[i]->pages[page])
                shards[i]->pages[page] = xcalloc(METRIC_PAGE, sizeof(_Atomic uint64_t));
    return first;
}

static struct family *family_of(const char *name, const char *help, enum series_kind kind)
{
    struct family *f = ht_get_str(&family_index, name);
    if (f)
        return f;
    f = xcalloc(1, sizeof *f);
    *f = (struct family){ .name = name, .help = help, .kind = kind, .scale = 1 };
    vec_push(&families, f);
    ht_put_str(&family_index, name, f);
    return f;
}

/* The series of that name and labels, made on first sight. Caller holds the lock. */
static metric series_slot(struct family *f, const char *labels, unsigned cells)
{
    struct strbuf key = { 0 };
    strbuf_printf(&key, "%s{%s}", f->name, labels);
    metric slot = (metric)(uintptr_t)ht_get_str(&series_index, key.p);
    if (!slot) {
        slot = take_slots(cells);
        if (slot) {
            ht_put_str(&series_index, key.p, (void *)(uintptr_t)slot);
            vec_push(&f->series, (struct series){ .labels = xstrdup(labels), .slot = slot });
        } else {
            metric_add(refused, 1);
        }
    }
    strbuf_done(&key);
    return slot;
}

metric metric_counter(const char *name, const char *help, const char *labels)
{
    pthread_mutex_lock(&lock);
    if (!refused) {
        struct family *f =
            family_of("signpost_metric_series_refused_total",
                      "Time series that found no room in the registry.", SERIES_COUNTER);
        refused = series_slot(f, "", 1);
    }
    metric slot = series_slot(family_of(name, help, SERIES_COUNTER), labels, 1);
    pthread_mutex_unlock(&lock);
    return slot;
}

struct histogram metric_histogram(const char *name, const char *help, const char *labels,
                                  const uint64_t *bounds, unsigned n, double scale)
{
    pthread_mutex_lock(&lock);
    struct family *f = family_of(name, help, SERIES_HISTOGRAM);
    f->bounds = bounds;
    f->n_bounds = n;
    f->scale = scale;
    metric first = series_slot(f, labels, n + 2);
    pthread_mutex_unlock(&lock);
    /* A full registry: everything lands in slot 0 and the one behind it, unseen. */
    return (struct histogram){ .first = first, .n = first ? (uint16_t)n : 0, .bounds = bounds };
}

static void add_read(enum series_kind kind, const char *name, const char *help, const char *labels,
                     double (*read)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&lock);
    struct family *f = family_of(name, help, kind);
    vec_push(&f->series, (struct series){ .labels = xstrdup(labels), .read = read, .ctx = ctx });
    pthread_mutex_unlock(&lock);
}

void metric_gauge(const char *name, const char *help, const char *labels, double (*read)(void *ctx),
                  void *ctx)
{
    add_read(SERIES_GAUGE, name, help, labels, read, ctx);
}

void metric_counter_read(const char *name, const char *help, const char *labels,
                         double (*read)(void *ctx), void *ctx)
{
    add_read(SERIES_COUNTER, name, help, labels, read, ctx);
}

void metric_label(struct strbuf *labels, const char *name, const char *value)
{
    strbuf_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n')
            strbuf_putc(labels, '\\');
        strbuf_putc(labels, *value == '\n' ? 'n' : *value);
    }
    strbuf_putc(labels, '"');
}

void metric_gauge_drop(void *ctx)
{
    pthread_mutex_lock(&lock);
    vec_each (f, &families) {
        for (size_t i = 0; i < (*f)->series.n;) {
            struct series *s = &(*f)->series.items[i];
            if (!s->read || s->ctx != ctx) {
                i++;
                continue;
            }
            free(s->labels);
            vec_swap_remove(&(*f)->series, i);
        }
    }
    pthread_mutex_unlock(&lock);
}

static uint64_t cell_sum(metric m)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n_shards; i++)
        if (shards[i]->pages[m / METRIC_PAGE])
            sum += atomic_load_explicit(&shards[i]->pages[m / METRIC_PAGE][m % METRIC_PAGE],
                                        memory_order_relaxed);
    return sum;
}

uint64_t metric_value(metric m)
{
    pthread_mutex_lock(&lock);
    uint64_t sum = cell_sum(m);
    pthread_mutex_unlock(&lock);
    return sum;
}

static void print_number(struct strbuf *out, double v)
{
    strbuf_printf(out, "%.15g\n", v);
}

static void print_sample(struct strbuf *out, const char *name, const char *suffix,
                         const char *labels, double v)
{
    strbuf_printf(out, *labels ? "%s%s{%s} " : "%s%s%s ", name, suffix, labels);
    print_number(out, v);
}

static void print_histogram(struct strbuf *out, const struct family *f, const struct series *s)
{
    uint64_t total = 0;
    const char *comma = *s->labels ? "," : "";
    for (unsigned i = 0; i < f->n_bounds; i++) {
        total += cell_sum(s->slot + i);
        strbuf_printf(out, "%s_bucket{%s%sle=\"%.15g\"} %llu\n", f->name, s->labels, comma,
                      (double)f->bounds[i] * f->scale, (unsigned long long)total);
    }
    total += cell_sum(s->slot + f->n_bounds);
    strbuf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", f->name, s->labels, comma,
                  (unsigned long long)total);
    print_sample(out, f->name, "_sum", s->labels,
                 (double)cell_sum(s->slot + f->n_bounds + 1) * f->scale);
    print_sample(out, f->name, "_count", s->labels, (double)total);
}

static bool series_is_empty(const struct family *f, const struct series *s)
{
    /* Series are registered for every combination of labels that could occur; only those that did
     * occur are shown, as in the originals. Plain counters are always shown. */
    if (s->read || !*s->labels)
        return false;
    unsigned cells = f->kind == SERIES_HISTOGRAM ? f->n_bounds + 1 : 1;
    for (unsigned i = 0; i < cells; i++)
        if (cell_sum(s->slot + i))
            return false;
    return true;
}

static void print_series(struct strbuf *out, const struct family *f, const struct series *s)
{
    if (f->kind == SERIES_HISTOGRAM)
        print_histogram(out, f, s);
    else
        print_sample(out, f->name, "", s->labels,
                     s->read ? s->read(s->ctx) : (double)cell_sum(s->slot));
}

/* Labels -> the last series with them that is read by a callback: while a configuration takes the
 * place of another, both have registered theirs, and a series must not be shown twice. */
static struct ht last_read(const struct family *f)
{
    struct ht last = { 0 };
    vec_each (s, &f->series)
        if (s->read)
            ht_put_str(&last, s->labels, s);
    return last;
}

static void print_family(struct strbuf *out, const struct family *f)
{
    static const char *const kinds[] = { "counter", "histogram", "gauge" };
    bool head = false;
    struct ht last = last_read(f);
    vec_each (s, &f->series) {
        if (series_is_empty(f, s) || (s->read && ht_get_str(&last, s->labels) != s))
            continue;
        if (!head)
            strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                          kinds[f->kind]);
        head = true;
        print_series(out, f, s);
    }
    ht_done(&last);
}

void metric_print(struct strbuf *out)
{
    pthread_mutex_lock(&lock);
    vec_each (f, &families)
        print_family(out, *f);
    pthread_mutex_unlock(&lock);
}
