#include "cmd/trace_watch.h"

#include "base/clock.h"
#include "explain/watch_line.h"
#include "kernel/nat_watch.h"
#include "kernel/netns.h"
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#define TICK_MS 100
#define BOOK_NS 1000000000LL /* names are read anew from changed objects so often at most */
#define BATCH   1000         /* packets until other events have their turn */

struct watching {
    const struct trace_watch_options *options;
    struct trace_place place;
    uv_loop_t loop;
    uv_poll_t packets, end;
    uv_timer_t tick;
    uv_signal_t interrupt, terminate;
    struct capture capture;
    struct nat_watch nat;
    int client_end; /* pidfd */
    struct watch *watch;
    struct addressbook book;
    int64_t book_ns, started_ns;
    struct watch_columns columns;
    uint64_t lines, lost_packets;
    int write_error;
};

static bool is_over(const struct watching *w)
{
    long count = w->options->count;
    return w->write_error || (count && w->lines >= (uint64_t)count);
}

/* ---- what the flows ask for ---- */

static bool translated(void *ctx, const struct tuple *asked, struct tuple *ret_reply)
{
    struct watching *w = ctx;
    struct flow f;
    if (!nat_watch_find(&w->nat, asked, &f, NULL))
        return false;
    *ret_reply = f.reply;
    return true;
}

static void tell(void *ctx, const struct watch_line *l)
{
    struct watching *w = ctx;
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (is_over(w))
        return;
    w->lines++;
    if (w->options->json) {
        watch_line_json(l, &w->book, &b);
        (void)fwrite(b.p, 1, b.len, stdout);
    } else {
        watch_line_print(l, &w->book, &w->columns, stdout);
    }
}

/* ---- events ---- */

static void flush(struct watching *w)
{
    if (!w->write_error && (fflush(stdout) != 0 || ferror(stdout)))
        w->write_error = errno ? errno : EIO;
    if (is_over(w))
        uv_stop(&w->loop);
}

static void take_packets(struct watching *w)
{
    uint8_t buf[CAPTURE_BYTES];
    struct packet p;
    for (int i = 0; i < BATCH && !is_over(w) && capture_read(&w->capture, buf, &p) > 0; i++)
        watch_packet(w->watch, &p);
    flush(w);
}

static void on_packets(uv_poll_t *h, int status, int events)
{
    (void)status, (void)events;
    take_packets(h->data);
}

static void read_names(struct watching *w)
{
    int64_t now = clock_ns();
    if (!w->place.has_objects || now - w->book_ns < BOOK_NS)
        return;
    w->book_ns = now;
    addressbook_fill(&w->book, cluster_store(w->place.objects.cluster));
}

static void on_tick(uv_timer_t *t)
{
    struct watching *w = t->data;
    long seconds = w->options->seconds;
    read_names(w);
    w->lost_packets += capture_lost(&w->capture);
    watch_time(w->watch, clock_unix_ns());
    flush(w);
    if (seconds && clock_ns() - w->started_ns >= seconds * 1000000000LL)
        uv_stop(&w->loop);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static void on_end(uv_poll_t *h, int status, int events)
{
    struct watching *w = h->data;
    (void)status, (void)events;
    take_packets(w);
    (void)fprintf(stderr, "signpost trace: %s has ended\n", w->place.client);
    uv_stop(&w->loop);
}

/* ---- the whole ---- */

static int see_packets(struct watching *w, struct err *e)
{
    int code = netns_enter(w->place.client_net);
    if (code == 0)
        code = capture_open_flows(&w->capture);
    int back = netns_enter(w->place.node_net);
    if (code == 0)
        code = back;
    return code < 0 ? err_set(e, code, "packets of %s cannot be seen: %s%s", w->place.client,
                              strerror(-code), code == -EPERM ? ": run as root" : "")
                    : 0;
}

static void see_translation(struct watching *w)
{
    int code = nat_watch_open(&w->nat, w->place.ips, w->place.n_ips);
    if (code < 0)
        (void)fprintf(stderr,
                      "signpost trace: blind: the node's connection table (%s): which pod stands "
                      "behind a Service's address is not seen\n",
                      strerror(-code));
}

static void listen_to(struct watching *w)
{
    uv_poll_init(&w->loop, &w->packets, w->capture.fd);
    uv_timer_init(&w->loop, &w->tick);
    uv_signal_init(&w->loop, &w->interrupt);
    uv_signal_init(&w->loop, &w->terminate);
    w->packets.data = w->tick.data = w->end.data = w;
    uv_poll_start(&w->packets, UV_READABLE, on_packets);
    uv_timer_start(&w->tick, on_tick, 0, TICK_MS);
    uv_signal_start(&w->interrupt, on_signal, SIGINT);
    uv_signal_start(&w->terminate, on_signal, SIGTERM);
    w->client_end = (int)syscall(SYS_pidfd_open, w->place.pid, 0);
    if (w->client_end < 0 || w->place.pid == getpid())
        return;
    uv_poll_init(&w->loop, &w->end, w->client_end);
    uv_poll_start(&w->end, UV_READABLE, on_end);
}

static void sum_up(const struct watching *w)
{
    unsigned long long flows = watch_lost(w->watch) + w->nat.lost, packets = w->lost_packets;
    if (w->options->json)
        (void)printf("{\"lines\":%llu,\"lostPackets\":%llu,\"lostFlows\":%llu}\n",
                     (unsigned long long)w->lines, packets, flows);
    else if (flows || packets)
        (void)fprintf(stderr,
                      "signpost trace: lost: %llu packets that could not be read in time, %llu "
                      "flows for want of room\n",
                      packets, flows);
    (void)fflush(stdout);
}

static int watch(struct watching *w, struct err *e)
{
    const struct watch_to to = { tell, translated, w, w->options->patience * 1000000000LL };
    int code = see_packets(w, e);
    if (code < 0)
        return code;
    see_translation(w);
    w->watch = watch_new(&to);
    w->started_ns = clock_ns();
    w->book_ns = w->started_ns - BOOK_NS;
    read_names(w);
    if (!w->options->json)
        watch_line_heads(&w->columns, stdout);
    listen_to(w);
    flush(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    sum_up(w);
    watch_free(w->watch);
    return w->write_error
               ? err_set(e, -w->write_error, "cannot write: %s", strerror(w->write_error))
               : 0;
}

int trace_watch(const struct trace_watch_options *o, const char *from, struct err *e)
{
    struct watching w = { .options = o, .capture.fd = -1, .client_end = -1 };
    uv_loop_init(&w.loop);
    addressbook_init(&w.book);
    signal(SIGPIPE, SIG_IGN);
    int code = trace_place_find(&w.loop, &o->place, from, &w.place, e);
    if (code == 0)
        code = watch(&w, e);
    trace_place_done(&w.place);
    loop_done(&w.loop);
    capture_done(&w.capture);
    nat_watch_done(&w.nat);
    if (w.client_end >= 0)
        close(w.client_end);
    addressbook_done(&w.book);
    return code;
}
