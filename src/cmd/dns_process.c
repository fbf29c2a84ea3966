#include "cmd/dns_process.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "loop/loop.h"
#include "loop/notify.h"
#include "net/accept.h"
#include "net/http.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define DRAIN_MS      15000 /* at most, for what is under way when another process has taken over */
#define DRAIN_LOOK_MS 20
#define WAIT_LOOK_MS  20
#define READY_MS      60000             /* for the plugins, before sockets are taken over */
#define ROOM_LEAST    ((size_t)8 << 20) /* bytes that a reload must be able to have */

static metric reload_failed;

/* ---- reload ---- */

static void hex(const uint8_t hash[64], char out[129])
{
    for (int i = 0; i < 64; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static bool same(const uint8_t a[64], const uint8_t b[64])
{
    return memcmp(a, b, 64) == 0;
}

/* The new configuration stands beside the old one for a while. At most all that is in use belongs
 * to the old one. */
static bool has_room(struct err *e)
{
    size_t wanted = ROOM_LEAST + mem_in_use();
    if (mem_has_room(wanted))
        return true;
    (void)err_set(e, ERR_LIMIT, "memory is short: %zu MiB must be free for a reload", wanted >> 20);
    return false;
}

static void reload(struct dns_process *p, bool changed_only);

/* What was asked for while a start or another reload was under way. */
static void reload_again(struct dns_process *p)
{
    bool changed_only = p->again == AGAIN_IF_CHANGED, wanted = p->again != AGAIN_NO;
    p->again = AGAIN_NO;
    if (wanted)
        reload(p, changed_only);
}

/* e: why not, when ret is negative. */
static void tell_reloaded(struct dns_process *p, int ret, const struct err *e)
{
    char text[129];
    notify_ready();
    if (ret < 0) {
        log_error("Corefile changed but reload failed, the old one goes on serving: %s", e->text);
        metric_add(reload_failed, 1);
        memcpy(p->refused, p->tried, sizeof p->refused);
        return;
    }
    hex(p->tried, text);
    log_info("plugin/reload: Running configuration SHA512 = %s", text);
    log_info("Reloading complete");
}

/* Sockets are left as they are while another process is about to take them over. */
static void on_wait(uv_timer_t *t)
{
    struct dns_process *p = t->data;
    struct err e = { 0 };
    if (!p->is_ending &&
        (dns_control_hands_over(&p->control_socket) || dns_server_waits(p->server)))
        return;
    uv_timer_stop(t);
    if (p->is_ending)
        return;
    tell_reloaded(p, dns_server_go_on(p->server, &e), &e);
    reload_again(p);
}

/* Serves the Corefile as it is now. changed_only: not when it says what is served, or what was
 * refused before. */
static void reload(struct dns_process *p, bool changed_only)
{
    struct err e = { 0 };
    struct corefile *c = NULL;
    uint8_t hash[64];
    if (!p->is_started || dns_server_is_reloading(p->server)) {
        p->again = changed_only ? MAX(p->again, AGAIN_IF_CHANGED) : AGAIN_ALWAYS;
        return;
    }
    if (p->corefile(p->ctx, &c, &e) < 0) {
        log_warning("Corefile cannot be parsed, the old one goes on serving: %s", e.text);
        metric_add(reload_failed, 1);
        return;
    }
    memcpy(hash, c->sha512, sizeof hash);
    bool served = same(hash, dns_server_corefile(p->server)->sha512);
    if (changed_only && (served || same(hash, p->refused))) {
        corefile_free(c);
        return;
    }
    if (!has_room(&e)) { /* it is no fault of the Corefile's: the next look tries again */
        log_error("Corefile not reloaded, the old one goes on serving: %s", e.text);
        metric_add(reload_failed, 1);
        corefile_free(c);
        return;
    }
    log_info("Reloading");
    notify_reloading();
    memcpy(p->tried, hash, sizeof hash);
    int ret = dns_server_reload(p->server, c, &e);
    if (ret == 1)
        uv_timer_start(&p->wait, on_wait, WAIT_LOOK_MS, WAIT_LOOK_MS);
    else
        tell_reloaded(p, ret, &e);
}

static void on_look(uv_timer_t *t);

/* Each period is drawn anew, so that a fleet does not move in step. */
static void look_later(struct dns_process *p)
{
    double share = (double)rand_below(&p->rand, 1000000) / 1e6 - 0.5;
    long long ns = p->interval + (long long)((double)p->jitter * share);
    if (p->interval)
        uv_timer_start(&p->look, on_look, (uint64_t)(ns / 1000000), 0);
    else
        uv_timer_stop(&p->look);
}

/* Nothing may change while another process is about to take the sockets over. */
static bool may_reload(const struct dns_process *p)
{
    return !p->is_ending && !dns_control_hands_over(&p->control_socket);
}

static void on_look(uv_timer_t *t)
{
    struct dns_process *p = t->data;
    dns_process_look(p);
    look_later(p);
}

static void writes(void *ctx, const char *folder)
{
    struct dns_process *p = ctx;
    guard_let_write(&p->guard, folder);
}

static void set_reload(void *ctx, long long interval, long long jitter)
{
    struct dns_process *p = ctx;
    p->interval = interval;
    p->jitter = jitter;
}

static void on_reload_signal(uv_signal_t *s, int number)
{
    struct dns_process *p = s->data;
    if (p->is_ending)
        return;
    if (!may_reload(p)) {
        log_warning("%s: not reloaded while being taken over",
                    number == SIGUSR1 ? "SIGUSR1" : "SIGHUP");
        return;
    }
    log_info("%s: Reloading", number == SIGUSR1 ? "SIGUSR1" : "SIGHUP");
    reload(p, false);
    look_later(p);
}

/* ---- start and end ---- */

static int write_pidfile(const char *pidfile, struct err *e)
{
    FILE *f = fopen(pidfile, "we");
    if (!f)
        return err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno));
    (void)fprintf(f, "%d\n", (int)getpid());
    return fclose(f) ? err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno)) : 0;
}

static void on_lameduck_end(uv_timer_t *t)
{
    uv_stop(t->loop);
}

static void begin_end(struct dns_process *p, bool is_taken)
{
    p->is_ending = true;
    notify_stopping();
    if (p->is_serving && p->ending)
        p->ending(p->ctx, is_taken);
    p->is_serving = false;
}

/* The first signal begins the end, with the lameduck time; the second ends at once. */
static void on_signal(uv_signal_t *s, int number)
{
    struct dns_process *p = s->data;
    if (p->is_ending) {
        uv_stop(s->loop);
        return;
    }
    begin_end(p, false);
    log_info("%s: Shutting down", number == SIGTERM ? "SIGTERM" : "SIGINT");
    uv_timer_stop(&p->look);
    long long ns = dns_server_lameduck(p->server);
    uv_timer_start(&p->lameduck, on_lameduck_end, (uint64_t)(ns / 1000000), 0);
}

/* ---- from process to process ---- */

static void on_drain(uv_timer_t *t)
{
    struct dns_process *p = t->data;
    size_t left = dns_server_under_way(p->server);
    if (left && uv_now(t->loop) < p->drain_until)
        return;
    if (left)
        log_warning("Ending with %zu queries and connections under way", left);
    uv_stop(t->loop);
}

/* Another process has the sockets: what is under way here is brought to its end. */
static void on_taken(void *ctx)
{
    struct dns_process *p = ctx;
    if (p->is_ending)
        return;
    begin_end(p, true);
    log_info("Another process has taken over: Shutting down");
    uv_timer_stop(&p->look);
    http_servers_retire();
    dns_server_drain(p->server);
    p->drain_until = uv_now(p->loop) + DRAIN_MS;
    uv_timer_start(&p->drain, on_drain, 0, DRAIN_LOOK_MS);
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

/* Sources that are still being read would make wrong answers. */
static int wait_ready(struct dns_process *p, struct err *e)
{
    cleanup(strbuf_done) struct strbuf waiting = { 0 };
    uint64_t end = uv_now(p->loop) + READY_MS;
    uv_timer_start(&p->drain, on_tick, DRAIN_LOOK_MS, DRAIN_LOOK_MS);
    while (!p->is_ending && !dns_server_is_ready(p->server, &waiting) && uv_now(p->loop) < end) {
        strbuf_reset(&waiting);
        uv_run(p->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&p->drain);
    if (p->is_ending)
        return err_set(e, -ECANCELED, "ended by a signal before the take-over");
    return dns_server_is_ready(p->server, NULL)
               ? 0
               : err_set(e, -ETIMEDOUT,
                         "take-over: not ready within %d s: %s; the old process goes "
                         "on serving",
                         READY_MS / 1000, waiting.p);
}

/* 1: a signal has ended it. */
static int wait_to_serve(struct dns_process *p)
{
    uv_timer_start(&p->wait, on_tick, WAIT_LOOK_MS, WAIT_LOOK_MS);
    while (!p->is_ending && dns_server_waits(p->server))
        uv_run(p->loop, UV_RUN_ONCE);
    uv_timer_stop(&p->wait);
    return p->is_ending;
}

static int tell_serving(struct dns_process *p, struct err *e)
{
    p->is_serving = true;
    return p->serving ? p->serving(p->ctx, p->loop, e) : 0;
}

/* Its folder has to be there, and open for writing, before the guard closes. */
static void let_write_control(struct dns_process *p)
{
    char folder[4096];
    if (dns_control_folder(p->control, folder, sizeof folder))
        guard_let_write(&p->guard, folder);
}

static int open_control(struct dns_process *p, struct err *e)
{
    p->control_socket = (struct dns_control){ .loop = p->loop,
                                              .server = p->server,
                                              .clusters = &p->clusters,
                                              .taken = p->is_part ? NULL : on_taken,
                                              .ctx = p };
    return dns_control_open(&p->control_socket, p->control, p->takeover, e);
}

/* Serves, with the sockets of the process at the control socket if there is one, which is told when
 * pidfile and control socket are this process's: what it removes at its end are then its own. */
static int start_serving(struct dns_process *p, struct err *e)
{
    struct dns_handed_list handed = { 0 };
    bool there = p->takeover && dns_successor_is_there(dns_control_path(p->control));
    int ret = dns_server_prepare(p->server, e);
    if (ret == 0)
        ret = there ? wait_ready(p, e) : wait_to_serve(p);
    if (ret == 0 && there)
        ret = dns_successor_ask(&p->successor, dns_control_path(p->control), &handed, e);
    if (ret == 0)
        ret = dns_server_start(p->server, &handed, e);
    dns_handed_done(&handed);
    if (ret == 0)
        ret = open_control(p, e);
    if (ret == 0 && p->pidfile)
        ret = write_pidfile(p->pidfile, e);
    if (ret == 0)
        ret = tell_serving(p, e);
    if (ret == 0 && there)
        ret = dns_successor_tell(&p->successor, e);
    dns_successor_done(&p->successor);
    return ret;
}

static void print_start(const struct dns_process *p)
{
    struct strbuf text = { 0 };
    dns_server_print(p->server, &text);
    (void)printf("%ssignpost-%s\n", text.p ? text.p : "", SIGNPOST_VERSION);
    (void)fflush(stdout);
    strbuf_done(&text);
}

/* 1: it was ended meanwhile. */
static int start(struct dns_process *p, struct err *e)
{
    struct dns_options options = { .workers = (unsigned)p->workers,
                                   .loop = p->loop,
                                   .open_source = clusters_open_source,
                                   .source_ctx = &p->clusters,
                                   .set_reload = set_reload,
                                   .writes = writes,
                                   .ctx = p };
    struct corefile *c = NULL;
    char text[129];
    int ret = p->corefile(p->ctx, &c, e);
    if (ret == 0)
        ret = dns_server_new(c, &options, &p->server, e);
    if (ret == 0)
        let_write_control(p);
    if (ret == 0)
        guard_finish(&p->guard, p->pidfile);
    if (ret == 0)
        ret = start_serving(p, e);
    if (ret == 0 && !p->quiet) /* not earlier: who reads this may ask at once */
        print_start(p);
    if (ret == 0 && !p->is_part)
        notify_ready();
    if (ret == 0 && p->interval) {
        hex(dns_server_corefile(p->server)->sha512, text);
        log_info("plugin/reload: Running configuration SHA512 = %s", text);
        look_later(p);
    }
    p->is_started = ret == 0;
    if (ret == 0)
        reload_again(p);
    return ret;
}

/* Another process may have written its own by now. */
static void remove_pidfile(const char *pidfile)
{
    long pid = 0;
    FILE *f = fopen(pidfile, "re");
    if (!f)
        return;
    char text[32];
    bool is_ours = fgets(text, sizeof text, f) &&
                   (text[strcspn(text, "\n")] = '\0', str_to_long(text, 1, INT32_MAX, &pid) == 0) &&
                   pid == (long)getpid();
    (void)fclose(f);
    if (is_ours && unlink(pidfile) < 0 && errno != ENOENT && truncate(pidfile, 0) < 0)
        log_warning("pidfile %s: %s", pidfile, strerror(errno));
}

static void watch_signal(struct dns_process *p, uv_signal_t *s, uv_signal_cb fn, int number)
{
    uv_signal_init(p->loop, s);
    s->data = p;
    uv_signal_start(s, fn, number);
}

static void begin(struct dns_process *p, uv_loop_t *loop)
{
    p->loop = p->clusters.loop = loop;
    rand_init(&p->rand);
    waste_open(&p->waste, loop);
    uv_timer_init(p->loop, &p->look);
    uv_timer_init(p->loop, &p->lameduck);
    uv_timer_init(p->loop, &p->drain);
    uv_timer_init(p->loop, &p->wait);
    p->look.data = p->drain.data = p->wait.data = p;
    reload_failed = metric_counter("coredns_reload_failed_total",
                                   "Counter of the number of failed reload attempts.", "");
    watch_signal(p, &p->term, on_signal, SIGTERM);
    watch_signal(p, &p->interrupt, on_signal, SIGINT);
    /* Before the start: unwatched, they would end the process. The loop hears of them when it runs.
     */
    watch_signal(p, &p->usr1, on_reload_signal, SIGUSR1);
    watch_signal(p, &p->hup, on_reload_signal, SIGHUP);
}

int dns_process_check(const struct dns_process *p, struct err *e)
{
    if (p->port < 1 || p->port > 65535)
        return err_set(e, ERR_INVALID, "-dns.port %ld: a port is 1 to 65535", p->port);
    if (p->workers < 0 || p->workers > WORKERS_MAX)
        return err_set(e, ERR_INVALID, "-workers %ld: 0 to %d", p->workers, WORKERS_MAX);
    if (p->takeover && p->control && !*p->control)
        return err_set(e, ERR_INVALID,
                       "-takeover goes through a control socket: give -control PATH, too");
    return 0;
}

int dns_process_open(struct dns_process *p, uv_loop_t *loop, struct err *e)
{
    begin(p, loop);
    return start(p, e);
}

void dns_process_close(struct dns_process *p)
{
    begin_end(p, false);
    dns_control_close(&p->control_socket);
    dns_server_stop(p->server);
    clusters_close(&p->clusters);
}

void dns_process_free(struct dns_process *p)
{
    dns_server_free(p->server);
    if (p->pidfile)
        remove_pidfile(p->pidfile);
}

int dns_process_run(struct dns_process *p, struct err *e)
{
    static uv_loop_t loop; /* as long as p */
    mem_reserve();
    accept_init();
    int ret = guard_begin(&p->guard, p->pidfile, e);
    if (ret < 0)
        return ret;
    uv_loop_init(&loop);
    ret = dns_process_open(p, &loop, e);
    if (ret == 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    dns_process_close(p);
    loop_done(&loop);
    dns_process_free(p);
    return ret < 0 ? ret : 0;
}

void dns_process_look(struct dns_process *p)
{
    if (may_reload(p))
        reload(p, true);
}
