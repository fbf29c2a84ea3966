/* `loop`: finds out at the start whether what we forward comes back to us, and ends the process if
 * so: a loop would multiply every query until memory or sockets are gone.
 *
 * A query of type HINFO for a random name below the block's first zone is sent to the block's own
 * listener; if it passes here a third time, somebody sends it round. Some seconds after it has been
 * answered, `loop` has nothing more to do. */
#include "dns/plugin.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define SEEN_MAX   3
#define DNS_SCHEME "dns://"     /* the only one that a probe over UDP can reach */
#define LOOK_MS    100          /* how often the probe's socket is looked at */
#define TRY_NS     1000000000LL /* from one probe to the next, while none is answered */
#define WATCH_NS   2000000000LL /* how long a loop is looked out for once one was */
#define GIVE_UP_NS 30000000000LL

struct loop {
    struct name name; /* what is asked for */
    _Atomic bool disabled;
    _Atomic unsigned seen;
    const char *zone; /* the block's first */
    /* the control thread's */
    struct dns_config *config;
    const struct block *block;
    uv_loop_t *uv;
    uv_timer_t *timer; /* on the heap: closing takes longer than the configuration may live */
    int fd;
    struct sockaddr_storage to;
    socklen_t to_len;
    int64_t begin_ns, asked_ns, answered_ns;
};

/* ---- queries ---- */

static void found_loop(const struct query *q, const struct loop *l)
{
    char name[NAME_TEXT_MAX], text[IP_TEXT_MAX];
    struct ip client = query_client(q);
    log_line(LOG_FATAL,
             client.family == 6 ? "plugin/loop: Loop ([%s]:%u -> %s) detected for zone \"%s\", see "
                                  "docs/plugins/loop.md. Query: \"HINFO %s\""
                                : "plugin/loop: Loop (%s:%u -> %s) detected for zone \"%s\", see "
                                  "docs/plugins/loop.md. Query: \"HINFO %s\"",
             ip_text(&client, text), port_of_sockaddr((const struct sockaddr *)&q->peer),
             strstr(q->route->server, "://") + 3, l->zone, name_to_text(l->name.wire, name));
    _exit(1); /* other threads are at work: nothing is to be taken down under them */
}

static enum step loop_in(struct query *q, void *conf)
{
    struct loop *l = conf;
    if (q->msg.q.type != RR_HINFO || atomic_load_explicit(&l->disabled, memory_order_relaxed))
        return STEP_NEXT;
    if (q->msg.q.name.len == l->name.len &&
        memcmp(q->msg.q.lower, l->name.wire, l->name.len) == 0 &&
        atomic_fetch_add(&l->seen, 1) + 1 == SEEN_MAX)
        found_loop(q, l);
    return STEP_NEXT;
}

/* ---- the probe ---- */

static void send_probe(struct loop *l, int64_t now)
{
    uint8_t out[NAME_MAX_WIRE + 32];
    size_t len = msg_encode_query(out, (uint16_t)rand_seed(), l->name.wire, RR_HINFO, 0);
    l->asked_ns = now;
    atomic_store(&l->seen, 0);
    if (send(l->fd, out, len, 0) < 0)
        log_debug("plugin/loop: the probe could not be sent: %s", strerror(errno));
    else
        log_debug("plugin/loop: probe for zone \"%s\" sent", l->zone);
}

/* Any reply tells that the probe has been all the way. Refused ones come before we listen. */
static bool was_answered(const struct loop *l)
{
    uint8_t in[MSG_UDP_MIN];
    return recv(l->fd, in, sizeof in, 0) >= MSG_HEADER;
}

static void end_watch(struct loop *l)
{
    atomic_store(&l->disabled, true);
    uv_timer_stop(l->timer);
    log_debug("plugin/loop: no more looked for in zone \"%s\"", l->zone);
}

static void on_look(uv_timer_t *timer)
{
    struct loop *l = timer->data;
    int64_t now = clock_ns();
    if (!l->answered_ns && was_answered(l))
        l->answered_ns = now;
    if (l->answered_ns ? now - l->answered_ns > WATCH_NS : now - l->begin_ns > GIVE_UP_NS)
        end_watch(l);
    else if (!l->answered_ns && now - l->asked_ns > TRY_NS)
        send_probe(l, now);
}

/* ---- life ---- */

static const struct route *own_route(const struct loop *l)
{
    unsigned n;
    const struct route *const *routes = dns_config_routes(l->config, &n);
    for (unsigned i = 0; i < n; i++)
        if (routes[i]->chain_block == l->block && strcmp(routes[i]->zone, l->zone) == 0 &&
            str_starts(routes[i]->server, DNS_SCHEME))
            return routes[i];
    return NULL;
}

/* "dns://ADDRESS:PORT"; without an address it listens on all of them. */
static bool own_address(const struct route *r, struct loop *l)
{
    const char *at = r->server + strlen(DNS_SCHEME);
    struct ip ip = { .family = 4, .bytes = { 127, 0, 0, 1 } };
    uint16_t port;
    long value;
    if (*at != ':') {
        if (ip_port_parse(at, 0, &ip, &port) < 0)
            return false;
    } else {
        if (str_to_long(at + 1, 0, UINT16_MAX, &value) < 0)
            return false;
        port = (uint16_t)value;
    }
    l->to_len = ip_to_sockaddr(&ip, port, &l->to);
    return true;
}

static int loop_start(void *conf, struct err *e)
{
    struct loop *l = conf;
    const struct route *r = own_route(l);
    if (!r || !own_address(r, l)) {
        atomic_store(&l->disabled, true);
        return 0;
    }
    l->fd = socket(l->to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (const struct sockaddr *)&l->to, l->to_len) < 0)
        return err_set(e, -errno, "the probe's socket to %s: %s", r->server, strerror(errno));
    l->timer = xcalloc(1, sizeof *l->timer);
    l->timer->data = l;
    l->begin_ns = clock_ns();
    uv_timer_init(l->uv, l->timer);
    uv_timer_start(l->timer, on_look, LOOK_MS, LOOK_MS);
    return 0;
}

static void timer_closed(uv_handle_t *timer)
{
    free(timer);
}

static void loop_stop(void *conf)
{
    struct loop *l = conf;
    if (l->timer)
        uv_close((uv_handle_t *)l->timer, timer_closed);
    if (l->fd >= 0)
        close(l->fd);
}

static int loop_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct loop *l = arena_zalloc(setup_arena(s), sizeof *l);
    struct zone_list zones = setup_zones(s);
    char text[NAME_TEXT_MAX + 64];
    dispenser_next_directive(d);
    int ret = dispenser_end(d, e);
    if (ret < 0 || !zones.n)
        return ret;
    l->zone = zones.items[0];
    (void)snprintf(text, sizeof text, "%llu.%llu.%s", (unsigned long long)rand_seed(),
                   (unsigned long long)rand_seed(), strcmp(l->zone, ".") == 0 ? "" : l->zone);
    if (name_from_text(text, &l->name) < 0)
        return dispenser_err(d, e, "the zone's name leaves no room for a random one below it: %s",
                             l->zone);
    l->fd = -1;
    l->config = setup_config(s);
    l->block = setup_block(s);
    l->uv = setup_loop(s);
    setup_in(s, loop_in, l);
    setup_start(s, loop_start, l);
    setup_stop(s, loop_stop, l);
    return 0;
}

const struct plugin plugin_loop = { .name = "loop", .setup = loop_setup, .outward = true };
