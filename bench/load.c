/* The load generator: asks the queries of a file, in a closed loop or at a fixed rate, over UDP,
 * TCP or TLS, and reports as one JSON object.
 *
 * It must cost less than what it measures: packets are built beforehand, sockets are connected, and
 * both directions go in batches. */
#include "base/clock.h"
#include "base/ip.h"
#include "base/str.h"
#include "load_run.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>

#define DEFAULT_WINDOW 128 /* fits the usual receive buffer of 212992 bytes in any kernel */

struct options {
    const char *names;
    struct target target;
    long queries, start, check_every, edns, timeout_ms, rate;
};

static int usage(void)
{
    fprintf(
        stderr,
        "usage: load --to 127.0.0.1:PORT --names FILE [--queries N] [--seconds S] [--window W]\n"
        "            [--flows F] [--transport udp|tcp|tls] [--rate R] [--start N]\n"
        "            [--check-every N] [--edns SIZE] [--timeout-ms T]\n"
        "  --names FILE     one query a line: NAME TYPE "
        "[NXDOMAIN|NODATA|NOERROR|ADDRESS|OLD|NEW/N]\n"
        "  --queries N      stop after N queries (100000)\n"
        "  --seconds S      or after S seconds, whichever comes first (60)\n"
        "  --window W       queries under way at once (%d), over\n"
        "  --flows F        F source ports, or connections (4)\n"
        "  --transport T    over UDP (the default), TCP or TLS\n"
        "  --rate R         R queries a second, whatever the server does; 0: a closed loop (0)\n"
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
    o->target.to_len = ip_to_sockaddr(&ip, port, &o->target.to);
    return 0;
}

static int parse_transport(const char *text, struct options *o)
{
    static const char *const names[] = { "udp", "tcp", "tls" };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (str_eq(names[i], text)) {
            o->target.transport = (enum transport)i;
            return 0;
        }
    return ERR_INVALID;
}

/* Every socket has a place, and none more than a window holds. */
static bool window_fits(const struct target *t)
{
    long each = t->sockets ? (t->window + t->sockets - 1) / t->sockets : 0;
    return each <= WINDOW_MAX && t->sockets <= t->window;
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
                                           { "rate", 1, NULL, 8 },
                                           { "transport", 1, NULL, 'p' },
                                           { "to", 1, NULL, 't' },
                                           { "names", 1, NULL, 'n' },
                                           { 0 } };
    const struct {
        long *value, min, max;
    } numbers[] = { { &o->queries, 1, 1000000000 }, { &o->target.seconds, 1, 3600 },
                    { &o->target.window, 1, 4096 }, { &o->target.sockets, 1, SOCKETS_MAX },
                    { &o->start, 0, QUERIES_MAX },  { &o->check_every, 0, 1000000 },
                    { &o->edns, 0, UINT16_MAX },    { &o->timeout_ms, 1, 60000 },
                    { &o->rate, 0, 100 * 1000000L } };
    int c, code = 0;
    while (code == 0 && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 't')
            code = parse_to(optarg, o);
        else if (c == 'p')
            code = parse_transport(optarg, o);
        else if (c == 'n')
            o->names = optarg;
        else if (c >= (int)ARRAY_SIZE(numbers))
            code = ERR_INVALID;
        else
            code = str_to_long(optarg, numbers[c].min, numbers[c].max, numbers[c].value);
    }
    bool ok =
        code == 0 && optind == argc && o->names && o->target.to_len && window_fits(&o->target);
    return ok ? 0 : ERR_INVALID;
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
    static const char *const names[LOAD_RCODES] = { "NOERROR",  "FORMERR", "SERVFAIL",
                                                    "NXDOMAIN", "NOTIMP",  "REFUSED" };
    const char *comma = "";
    printf(" \"rcodes\": {");
    for (unsigned i = 0; i < LOAD_RCODES; i++) {
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

static void print_latency(const char *title, const struct latency *l)
{
    printf(" \"%s\": {\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f},", title,
           (double)latency_at(l, 0.5) / 1000, (double)latency_at(l, 0.99) / 1000,
           (double)latency_at(l, 0.999) / 1000, (double)l->max / 1000);
}

static void report(const struct load *l, double seconds)
{
    printf("{\"sent\": %lu, \"answered\": %lu, \"lost\": %lu, \"late\": %lu, \"reconnects\": %lu, "
           "\"seconds\": %.6f, \"qps\": %.0f,",
           l->sent, l->answered, l->lost, l->late, l->reconnects, seconds,
           (double)l->answered / seconds);
    print_latency("latency_us", &l->latency);
    print_latency("behind_us", &l->behind);
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
    struct load l = { .queries = queries,
                      .left = (uint64_t)o->queries,
                      .next = (size_t)o->start % queries->list.n,
                      .check_every = (unsigned)o->check_every,
                      .timeout_ns = o->timeout_ms * 1000000LL,
                      .rate = o->rate };
    int code = load_run(&o->target, &l, e);
    if (code == 0)
        report(&l, (double)(clock_ns() - l.begin_ns) / 1e9);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = { .target = { .seconds = 60, .window = DEFAULT_WINDOW, .sockets = 4 },
                         .queries = 100000,
                         .check_every = 16,
                         .timeout_ms = 1000 };
    struct queries queries = { 0 };
    struct err e = { 0 };
    if (parse(argc, argv, &o) < 0)
        return usage();
    signal(SIGPIPE, SIG_IGN); /* a closed connection is seen where it is written to */
    int code = queries_read(o.names, (uint16_t)o.edns, &queries, &e);
    if (code == 0)
        code = ask(&o, &queries, &e);
    queries_done(&queries);
    if (code < 0)
        fprintf(stderr, "load: %s\n", e.text);
    return code < 0;
}
