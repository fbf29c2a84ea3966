#include "dns/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/handed.h"
#include "dns/setup.h"
#include "dns/why.h"
#include "net/listen.h"

#include <malloc.h>
#include <sched.h>
#include <string.h>

#define RETIRE_LOOK_MS                                                                             \
    100 /* how often it is looked whether an old configuration is still in use                     \
         */

static unsigned usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : MIN((unsigned)n, (unsigned)WORKERS_MAX);
}

int dns_server_new(struct corefile *c, const struct dns_options *options, struct dns_server **ret,
                   struct err *e)
{
    struct dns_server *s = xcalloc(1, sizeof *s);
    s->options = *options;
    if (!s->options.workers)
        s->options.workers = usable_cores();
    serve_metrics_init();
    int code = dns_config_new(c, &s->options, NULL, &s->config, e);
    if (code < 0) {
        free(s);
        return code;
    }
    *ret = s;
    return 0;
}

/* ---- sockets ---- */

/* What a worker is to serve from now on. Descriptors were opened on the control thread, where a
 * failure can still be refused; -1: the worker has a socket for that listener already. */
struct serve_call {
    struct dns_worker *w;
    const struct dns_config *config;
    int (*fds)[2]; /* UDP, TCP; by listener and place */
    int ret;
    struct err *e;
};

static void serve_on_worker(struct worker *w, void *arg)
{
    struct serve_call *c = arg;
    int(*fd)[2] = c->fds;
    (void)w;
    vec_each (l, &c->config->listeners) {
        for (unsigned place = 0; place < l->places; place++, fd++) {
            if (!serve_wants(c->w, l, place))
                continue;
            int ret = serve_listener(c->w, l, place, (*fd)[0], (*fd)[1], c->e);
            if (ret < 0)
                c->ret = ret;
        }
    }
    serve_keep_only(c->w, c->config->listeners.items, c->config->listeners.n);
}

static void close_fds(int (*fds)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            if (fds[i][k] >= 0)
                close(fds[i][k]);
}

static size_t count_places(const struct dns_config *c)
{
    size_t n = 0;
    vec_each (l, &c->listeners)
        n += l->places;
    return n;
}

static int open_fds(const struct dns_server *s, const struct dns_worker *w,
                    const struct dns_config *c, int (*fds)[2], struct err *e)
{
    int ret = 0;
    int(*fd)[2] = fds;
    vec_each (l, &c->listeners) {
        for (unsigned place = 0; place < l->places; place++, fd++) {
            (*fd)[0] = (*fd)[1] = -1;
            if (s->options.offline)
                continue;
            if (ret < 0 || !serve_wants(w, l, place) || serve_has(w, l, place))
                continue;
            if (handed_take(s->handed, l, *fd))
                continue;
            if (l->scheme == SCHEME_DNS)
                ret = (*fd)[0] = listen_udp(&l->ip, l->port, e);
            if (ret >= 0)
                ret = (*fd)[1] = listen_tcp(&l->ip, l->port, e);
        }
    }
    if (ret < 0)
        close_fds(fds, (size_t)(fd - fds));
    return ret < 0 ? ret : 0;
}

/* All workers change over one after the other, each between two batches; nothing is changed unless
 * every socket could be opened. */
static int serve_config(struct dns_server *s, struct dns_config *c, struct err *e)
{
    handed_make_room(s, c);
    size_t n = count_places(c), opened = 0;
    int(*fds)[2] = xcalloc(n * s->n_workers, sizeof *fds);
    int ret = 0;
    for (; opened < s->n_workers && ret == 0; opened++)
        ret = open_fds(s, &s->workers[opened], c, fds + opened * n, e);
    if (ret < 0 && opened)
        close_fds(fds, (opened - 1) * n);
    for (unsigned i = 0; i < s->n_workers && ret == 0; i++) {
        struct serve_call call = { &s->workers[i], c, fds + i * n, 0, e };
        worker_call_wait(&s->workers[i].worker, serve_on_worker, &call);
        ret = call.ret;
    }
    free(fds);
    return ret;
}

/* ---- start and reload ---- */

int dns_server_prepare(struct dns_server *s, struct err *e)
{
    int ret = dns_config_start(s->config, e);
    s->workers = xcalloc(s->options.workers, sizeof *s->workers);
    for (unsigned i = 0; i < s->options.workers && ret == 0; i++) {
        ret = worker_start(&s->workers[i].worker, i, e);
        if (ret == 0)
            s->n_workers = i + 1;
    }
    return ret;
}

bool dns_server_is_ready(const struct dns_server *s, struct strbuf *ret_waiting)
{
    return dns_config_ready(s->config, true, ret_waiting);
}

bool dns_server_waits(struct dns_server *s)
{
    return dns_config_waits(s->coming ? s->coming : s->config);
}

int dns_server_start(struct dns_server *s, struct dns_handed_list *handed, struct err *e)
{
    int ret = s->workers ? 0 : dns_server_prepare(s, e);
    handed_adopt(s, handed);
    if (ret == 0)
        ret = serve_config(s, s->config, e);
    s->handed = NULL;
    if (handed)
        dns_handed_done(handed);
    return ret;
}

static void run_worker_stops(struct worker *w, void *arg)
{
    struct dns_config *c = arg;
    vec_each (stop, &c->worker_stops)
        stop->fn(w, stop->conf);
}

static void end_config(struct dns_server *s, struct dns_config *c)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        worker_call_wait(&s->workers[i].worker, run_worker_stops, c);
        /* Handles that were closed just now live in the configuration's memory. */
        worker_settle(&s->workers[i].worker);
    }
    dns_config_free(c);
}

static void end_unused(uv_timer_t *t)
{
    struct dns_server *s = t->data;
    for (struct dns_config **p = &s->retired; *p;) {
        struct dns_config *c = *p;
        if (atomic_load(&c->waiting)) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        end_config(s, c);
    }
    if (s->retired)
        return;
    uv_timer_stop(t);
    (void)malloc_trim(
        0); /* what the old one leaves between what is younger goes back to the kernel */
}

static void retire(struct dns_server *s, struct dns_config *c)
{
    c->next = s->retired;
    s->retired = c;
    if (!s->timer_made) {
        uv_timer_init(s->options.loop, &s->retire_timer);
        s->retire_timer.data = s;
        s->timer_made = true;
    }
    uv_timer_start(&s->retire_timer, end_unused, RETIRE_LOOK_MS, RETIRE_LOOK_MS);
}

int dns_server_reload(struct dns_server *s, struct corefile *corefile, struct err *e)
{
    struct dns_config *c = NULL;
    int ret = dns_config_new(corefile, &s->options, s->config, &c, e);
    if (ret < 0)
        return ret;
    ret = dns_config_start(c, e);
    if (ret < 0) {
        end_config(s, c);
        return ret;
    }
    s->coming = c;
    return dns_server_waits(s) ? 1 : dns_server_go_on(s, e);
}

int dns_server_go_on(struct dns_server *s, struct err *e)
{
    struct dns_config *c = s->coming;
    s->coming = NULL;
    int ret = serve_config(s, c, e);
    if (ret < 0) {
        end_config(s, c);
        return ret;
    }
    c->before = NULL;
    retire(s, s->config);
    s->config = c;
    return 0;
}

bool dns_server_is_reloading(const struct dns_server *s)
{
    return s->coming != NULL;
}

const struct corefile *dns_server_corefile(const struct dns_server *s)
{
    return s->config->corefile;
}

/* ---- end ---- */

static void close_on_worker(struct worker *w, void *arg)
{
    struct dns_server *s = arg;
    serve_close(container_of(w, struct dns_worker, worker));
    run_worker_stops(w, s->config);
    for (struct dns_config *c = s->retired; c; c = c->next)
        run_worker_stops(w, c);
}

long long dns_server_lameduck(struct dns_server *s)
{
    long long longest = 0;
    vec_each (c, &s->config->lameducks) {
        long long ns = c->fn(c->conf);
        longest = MAX(longest, ns);
    }
    return longest;
}

void dns_server_stop(struct dns_server *s)
{
    if (!s || !s->config)
        return;
    if (s->coming)
        end_config(s, s->coming);
    s->coming = NULL;
    for (unsigned i = 0; i < s->n_workers; i++) {
        worker_call_wait(&s->workers[i].worker, close_on_worker, s);
        worker_stop(&s->workers[i].worker);
        serve_free(&s->workers[i]);
    }
    s->n_workers = 0;
    why_stop(s);
    while (s->retired) {
        struct dns_config *c = s->retired;
        s->retired = c->next;
        dns_config_free(c);
    }
    if (s->timer_made)
        uv_timer_stop(&s->retire_timer);
    dns_config_free(s->config);
    s->config = NULL;
    dns_handed_done(&s->adopted);
    free(s->workers);
    s->workers = NULL;
}

void dns_server_free(struct dns_server *s)
{
    dns_server_stop(s);
    free(s);
}

void dns_server_print(const struct dns_server *s, struct strbuf *out)
{
    dns_config_print(s->config, out);
}

void dns_server_explain(const struct dns_server *s, struct strbuf *out)
{
    dns_config_explain(s->config, out);
}
