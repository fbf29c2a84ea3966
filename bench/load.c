/* The load generator: asks the queries of a file in a closed loop and reports as one JSON object.
 *
 * It must cost less than what it measures: packets are built beforehand, sockets are connected, and
 * both directions go in batches. It spins instead of waiting, so that the server is not charged for
 * waking it. */
#include "base/clock.h"
#include "base/ip.h"
#include "base/str.h"
#include "load_flow.h"

#include <getopt.h>
#include <poll.h>
#include <string.h>

#define FLOWS_MAX      64
#define IDLE_ROUNDS    20000 /* empty rounds before waiting: some milliseconds */
#define IDLE_WAIT_MS   2
#define EXPIRE_EVERY   (100 * 1000000LL) /* ns */
#define DEFAULT_WINDOW 128 /* fits the usual receive buffer of 212992 bytes in any kernel */

struct options {
    const char *names;
    struct sockaddr_storage to;
    socklen_t to_len;
    long queries, seconds, window, flows, start, check_every, edns, timeout_ms;
};

static int usage(void)
{
    fprintf(
        stderr,
        "usage: load --to 127.0.0.1:PORT --names FILE [--queries N] [--seconds S] [--window W]\n"
        "            [--flows F] [--start N] [--check-every N] [--edns SIZE] [--timeout-ms T]\n"
        "  --names FILE     one query a line: NAME TYPE [NXDOMAIN|NODATA|NOERROR|ADDRESS]\n"
        "  --queries N      stop after N queries (100000)\n"
        "  --seconds S      or after S seconds, whichever comes first (60)\n"
        "  --window W       queries under way at once (%d), over\n"
        "  --flows F        F source ports (4)\n"
        "  --start N        begin with line N of the file, to go on where a run ended (0)\n"
        "  --check-every N  compare every Nth answer with what the file expects (16); 0: none\n"
        "  --edns SIZE      add an OPT record with this UDP size\n",
        DEFAULT_WINDOW);
    return 2;
}

static int parse_to(const char *text, struct options *o)
{
    struct ip ip;
    uint16_t port;
    if (ip_port_parse(text, 53, &ip, &port) < 0 || !ip_is_loopback(&ip))
        return ERR_INVALID; /* a generator aimed elsewhere is an attack */
    o->to_len = ip_to_sockaddr(&ip, port, &o->to);
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = { { "queries", 1, NULL, 0 },
                                           { "seconds", 1, NULL, 1 },
                                           { "window", 1, NULL, 2 },
                                           { "flows", 1, NULL, 3 },
                                           { "start", 1, NULL, 4 },
                                           { "check-every", 1, NULL, 5 },
                                           { "edns", 1, NULL, 6 },
                                           { "timeout-ms", 1, NULL, 7 },
                                           { "to", 1, NULL, 't' },
                                           { "names", 1, NULL, 'n' },
                                           { 0 } };
    const struct {
        long *value, min, max;
    } numbers[] = { { &o->queries, 1, 1000000000 }, { &o->seconds, 1, 3600 },
                    { &o->window, 1, 4096 },        { &o->flows, 1, FLOWS_MAX },
                    { &o->start, 0, QUERIES_MAX },  { &o->check_every, 0, 1000000 },
                    { &o->edns, 0, UINT16_MAX },    { &o->timeout_ms, 1, 60000 } };
    int c, code = 0;
    while (code == 0 && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 't')
            code = parse_to(optarg, o);
        else if (c == 'n')
            o->names = optarg;
        else if (c >= (int)ARRAY_SIZE(numbers))
            code = ERR_INVALID;
        else
            code = str_to_long(optarg, numbers[c].min, numbers[c].max, numbers[c].value);
    }
    long each = o->flows ? (o->window + o->flows - 1) / o->flows : 0;
    bool ok = code == 0 && optind == argc && o->names && o->to_len && each <= FLOW_WINDOW_MAX &&
              o->flows <= o->window;
    return ok ? 0 : ERR_INVALID;
}

static int open_flows(struct flow **flows, const struct options *o, struct err *e)
{
    long left = o->window;
    for (long i = 0; i < o->flows; i++) {
        unsigned window = (unsigned)(left / (o->flows - i));
        left -= window;
        flows[i] = xcalloc(1, sizeof *flows[i]);
        int code = flow_init(flows[i], (struct sockaddr *)&o->to, o->to_len, window, e);
        if (code < 0)
            return code;
    }
    return 0;
}

static void close_flows(struct flow **flows)
{
    for (unsigned i = 0; i < FLOWS_MAX && flows[i]; i++) {
        flow_done(flows[i]);
        free(flows[i]);
    }
}

/* Once over all flows. Returns how many answers came, or a negative code. */
static int turn(struct flow **flows, long n, struct load *l, struct err *e)
{
    int came = 0;
    int64_t begin = clock_ns();
    l->busy_ns += l->came ? begin - l->now_ns : 0;
    l->now_ns = begin;
    for (long i = 0; i < n; i++) {
        int got = flow_receive(flows[i], l, e);
        if (got < 0 || flow_send(flows[i], l, e) < 0)
            return e->code;
        came += got;
    }
    l->came = came > 0;
    return came;
}

static bool finished(struct flow **flows, long n, const struct load *l)
{
    for (long i = 0; i < n; i++)
        if (!flow_idle(flows[i]))
            return false;
    return l->left == 0;
}

static void wait_for_any(struct flow **flows, long n)
{
    struct pollfd p[FLOWS_MAX];
    for (long i = 0; i < n; i++)
        p[i] = (struct pollfd){ .fd = flows[i]->fd, .events = POLLIN };
    (void)poll(p, (nfds_t)n, IDLE_WAIT_MS); /* time alone ends it, too */
}

static int run(struct flow **flows, const struct options *o, struct load *l, struct err *e)
{
    int64_t stop = clock_ns() + o->seconds * 1000000000LL, expire = 0;
    for (unsigned idle = 0; !finished(flows, o->flows, l);) {
        int came = turn(flows, o->flows, l, e);
        if (came < 0)
            return came;
        idle = came ? 0 : idle + 1;
        if (idle > IDLE_ROUNDS)
            wait_for_any(flows, o->flows);
        if (l->now_ns > stop)
            l->left = 0;
        if (l->now_ns < expire)
            continue;
        expire = l->now_ns + EXPIRE_EVERY;
        for (long i = 0; i < o->flows; i++)
            flow_expire(flows[i], l);
    }
    return 0;
}

static void print_name(const struct queries *all, size_t index)
{
    const uint8_t *p = query_packet(all, &all->list.items[index]) + QUERY_HEADER_LEN;
    for (; *p; p += 1 + *p)
        printf("%.*s.", *p, (const char *)p + 1);
    printf(" type %u", (unsigned)(p[1] << 8 | p[2]));
}

static void print_rcodes(const struct load *l)
{
    static const char *const names[FLOW_RCODES] = { "NOERROR",  "FORMERR", "SERVFAIL",
                                                    "NXDOMAIN", "NOTIMP",  "REFUSED" };
    const char *comma = "";
    printf(" \"rcodes\": {");
    for (unsigned i = 0; i < FLOW_RCODES; i++) {
        if (l->rcodes[i] == 0)
            continue;
        if (names[i])
            printf("%s\"%s\": %lu", comma, names[i], l->rcodes[i]);
        else
            printf("%s\"RCODE%u\": %lu", comma, i, l->rcodes[i]);
        comma = ", ";
    }
    printf("}");
}

static void report(const struct load *l, double seconds)
{
    printf("{\"sent\": %lu, \"answered\": %lu, \"lost\": %lu, \"late\": %lu, \"seconds\": %.6f, "
           "\"qps\": %.0f,",
           l->sent, l->answered, l->lost, l->late, seconds, (double)l->answered / seconds);
    print_rcodes(l);
    printf(", \"nodata\": %lu, \"truncated\": %lu, \"checked\": %lu, \"wrong\": %lu, "
           "\"first_wrong\": ",
           l->nodata, l->truncated, l->checked, l->wrong);
    if (l->first_wrong) {
        printf("\"");
        print_name(l->queries, l->first_wrong_query);
        printf(": %s\"", l->first_wrong);
    } else {
        printf("null");
    }
    printf(", \"next\": %zu, \"busy_seconds\": %.6f}\n", l->next, (double)l->busy_ns / 1e9);
}

static int ask(const struct options *o, const struct queries *queries, struct err *e)
{
    struct flow *flows[FLOWS_MAX] = { 0 };
    struct load l = { .queries = queries,
                      .left = (uint64_t)o->queries,
                      .next = (size_t)o->start % queries->list.n,
                      .check_every = (unsigned)o->check_every,
                      .timeout_ns = o->timeout_ms * 1000000LL };
    int code = open_flows(flows, o, e);
    int64_t begin = clock_ns();
    if (code == 0)
        code = run(flows, o, &l, e);
    if (code == 0)
        report(&l, (double)(clock_ns() - begin) / 1e9);
    close_flows(flows);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = { .queries = 100000,
                         .seconds = 60,
                         .window = DEFAULT_WINDOW,
                         .flows = 4,
                         .check_every = 16,
                         .timeout_ms = 1000 };
    struct queries queries = { 0 };
    struct err e = { 0 };
    if (parse(argc, argv, &o) < 0)
        return usage();
    int code = queries_read(o.names, (uint16_t)o.edns, &queries, &e);
    if (code == 0)
        code = ask(&o, &queries, &e);
    queries_done(&queries);
    if (code < 0)
        fprintf(stderr, "load: %s\n", e.text);
    return code < 0;
}
