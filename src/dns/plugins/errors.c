/* `errors [stdout] { stacktrace ; consolidate DURATION REGEXP [LEVEL] [show_first] }`: one log line
 * for each query that failed for a reason, or one summary for many that are alike.
 *
 * A worker that meets an error counts it under the first pattern that matches; only the first of a
 * period wakes the control loop, whose timer prints the sum when the period is over. */
#include "dns/plugin.h"
#include "dns/regex.h"

#include <string.h>

#define DURATION_TEXT 40

struct pattern {
    const char *text;
    struct regex *re;
    long long period_ns;
    enum log_level level;
    bool show_first;
    _Atomic uint64_t count; /* in the period that runs; 0: none does */
    struct pattern_timer *timer;
};

/* Timers outlive us until the loop has closed them. */
struct pattern_timer {
    uv_timer_t timer;
    struct pattern *pattern;
};

struct errors {
    struct pattern *patterns;
    size_t n;
    uv_loop_t *loop;
    uv_async_t *wake; /* on the heap, as the timers */
};

/* ---- counting (workers) ---- */

static struct pattern *matching(struct errors *x, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < x->n; i++)
        if (regex_match(x->patterns[i].re, text, len, NULL))
            return &x->patterns[i];
    return NULL;
}

static void print_error(const struct query *q, enum log_level level)
{
    char name[NAME_TEXT_MAX], type[16];
    log_line(level, "plugin/errors: %u %s %s: %s", q->reply.rcode,
             name_to_text(q->msg.q.lower, name), rr_type_text(q->msg.q.type, type), q->error);
}

static void errors_after(struct query *q, void *conf)
{
    struct errors *x = conf;
    if (!q->error)
        return;
    struct pattern *p = matching(x, q->error);
    if (!p) {
        print_error(q, LOG_ERROR);
        return;
    }
    if (atomic_fetch_add(&p->count, 1) > 0)
        return;
    if (p->show_first)
        print_error(q, p->level);
    uv_async_send(x->wake);
}

/* ---- summaries (control thread) ---- */

/* "1h30m0s", "1.5s", "750ms", as the reference writes durations. */
static const char *duration_text(long long ns, char out[DURATION_TEXT])
{
    long long s = ns / 1000000000;
    size_t n = 0;
    if (ns == 0)
        return "0s";
    if (ns < 1000000000) {
        bool ms = ns >= 1000000, us = ns >= 1000;
        (void)snprintf(out, DURATION_TEXT, "%.9g%s",
                       (double)ns / (ms   ? 1e6
                                     : us ? 1e3
                                          : 1),
                       ms   ? "ms"
                       : us ? "µs"
                            : "ns");
        return out;
    }
    if (s >= 3600)
        n += (size_t)snprintf(out, DURATION_TEXT, "%lldh", s / 3600);
    if (s >= 60)
        n += (size_t)snprintf(out + n, DURATION_TEXT - n, "%lldm", s / 60 % 60);
    (void)snprintf(out + n, DURATION_TEXT - n, "%.11gs",
                   (double)(s % 60) + (double)(ns % 1000000000) / 1e9);
    return out;
}

static void print_summary(struct pattern *p)
{
    char text[DURATION_TEXT];
    uint64_t n = atomic_exchange(&p->count, 0);
    if (n > (p->show_first ? 1 : 0))
        log_line(p->level, "plugin/errors: %llu errors like '%s' occurred in last %s",
                 (unsigned long long)n, p->text, duration_text(p->period_ns, text));
}

static void on_period_end(uv_timer_t *timer)
{
    struct pattern_timer *t = timer->data;
    print_summary(t->pattern);
}

/* Some pattern has had its first error. */
static void on_wake(uv_async_t *wake)
{
    struct errors *x = wake->data;
    for (size_t i = 0; i < x->n; i++) {
        struct pattern *p = &x->patterns[i];
        uv_timer_t *t = &p->timer->timer;
        if (atomic_load(&p->count) && !uv_is_active((uv_handle_t *)t))
            uv_timer_start(t, on_period_end, (uint64_t)(p->period_ns / 1000000), 0);
    }
}

/* ---- life ---- */

static void handle_closed(uv_handle_t *h)
{
    free(h); /* a pattern_timer begins with its handle */
}

static int errors_start(void *conf, struct err *e)
{
    struct errors *x = conf;
    (void)e;
    for (size_t i = 0; i < x->n; i++) {
        struct pattern_timer *t = x->patterns[i].timer = xcalloc(1, sizeof *t);
        t->pattern = &x->patterns[i];
        uv_timer_init(x->loop, &t->timer);
        t->timer.data = t;
    }
    x->wake = xcalloc(1, sizeof *x->wake);
    uv_async_init(x->loop, x->wake, on_wake);
    x->wake->data = x;
    return 0;
}

static void errors_stop(void *conf)
{
    struct errors *x = conf;
    for (size_t i = 0; i < x->n; i++) {
        struct pattern *p = &x->patterns[i];
        print_summary(p);
        if (p->timer)
            uv_close((uv_handle_t *)&p->timer->timer, handle_closed);
        regex_free(p->re);
    }
    if (x->wake)
        uv_close((uv_handle_t *)x->wake, handle_closed);
}

/* ---- set-up ---- */

static bool level_of(const char *word, enum log_level *ret)
{
    static const char *const words[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(words[i], word) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

/* "[LEVEL] [show_first]" */
static int read_flags(struct pattern *p, struct dispenser *d, struct err *e)
{
    bool more = dispenser_next_arg(d);
    if (more && level_of(dispenser_val(d), &p->level))
        more = dispenser_next_arg(d);
    if (more && strcmp(dispenser_val(d), "show_first") == 0) {
        p->show_first = true;
        more = dispenser_next_arg(d);
        if (more && level_of(dispenser_val(d), &p->level))
            return dispenser_err(d, e, "log level must come before show_first in consolidate");
        return more ? dispenser_arg_err(d, e) : 0;
    }
    return more ? dispenser_err(d, e, "unknown option in consolidate: %s", dispenser_val(d)) : 0;
}

static int read_consolidate(struct errors *x, struct setup *s, struct dispenser *d, struct err *e)
{
    struct pattern p = { .level = LOG_ERROR };
    struct err why;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_duration(dispenser_val(d), &p.period_ns) < 0 || p.period_ns < 0)
        return dispenser_err(d, e, "consolidate needs a duration: %s", dispenser_val(d));
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    p.text = arena_strdup(setup_arena(s), dispenser_val(d));
    struct dispenser at = *d;
    int ret = read_flags(&p, d, e);
    if (ret < 0)
        return ret;
    if (regex_compile(p.text, &p.re, &why) < 0)
        return dispenser_err(&at, e, "%s", why.text);
    struct pattern *all = arena_alloc(setup_arena(s), (x->n + 1) * sizeof *all);
    if (x->n)
        memcpy(all, x->patterns, x->n * sizeof *all);
    all[x->n++] = p;
    x->patterns = all;
    return 0;
}

static int read_option(struct errors *x, struct setup *s, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "consolidate") == 0)
        return read_consolidate(x, s, d, e);
    /* A crash of this program leaves its trace with the system whatever stands here. */
    if (strcmp(dispenser_val(d), "stacktrace") == 0)
        return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
    return dispenser_unknown(d, e);
}

static int errors_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct errors *x = arena_zalloc(setup_arena(s), sizeof *x);
    x->loop = setup_loop(s);
    setup_stop(s, errors_stop, x);
    dispenser_next_directive(d);
    if (dispenser_next_arg(d) && strcmp(dispenser_val(d), "stdout") != 0)
        return dispenser_err(d, e, "invalid log file: %s", dispenser_val(d));
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    while (dispenser_next_block(d)) {
        int ret = read_option(x, s, d, e);
        if (ret < 0)
            return ret;
    }
    if (x->n)
        setup_start(s, errors_start, x);
    setup_after(s, errors_after, x);
    return 0;
}

const struct plugin plugin_errors = { .name = "errors", .setup = errors_setup };
