#include "lab/names.h"

#include "base/str.h"
#include "base/table.h"
#include "lab/dns_seen.h"
#include "lab/enter.h"

#include <netinet/in.h>
#include <string.h>

#define NAMES_NS 15000000000LL

enum ask_with { WITH_GETENT, WITH_LOOKUP_SRV, WITH_CURL };

/* What the answer must be. */
enum expect {
    EXPECT_SERVICE, /* one address that is no pod's; the Service's own if its manifest says it */
    EXPECT_PODS,    /* the addresses of the pods named in `of`, and no others */
    EXPECT_OUTSIDE, /* the address in `of` */
    EXPECT_TEXT,    /* the output has `of` in it */
    EXPECT_NOTHING, /* not found */
    EXPECT_REFUSED, /* found, and the connection is refused */
};

struct name_case {
    const char *what, *typed;
    enum ask_with with;
    enum expect expect;
    const char *of; /* "NAMESPACE/NAME,..." or text */
};

static const struct name_case cases[] = {
    { "same namespace", "bar", WITH_GETENT, EXPECT_SERVICE, "shop/bar" },
    { "other namespace", "bar.other", WITH_GETENT, EXPECT_SERVICE, "other/bar" },
    { "fully qualified, with its dot", "bar.shop.svc.cluster.local.", WITH_GETENT, EXPECT_SERVICE,
      "shop/bar" },
    { "headless: all pods", "db.data", WITH_GETENT, EXPECT_PODS, "data/db-0,data/db-1" },
    { "headless: one pod by its hostname", "db-0.db.data", WITH_GETENT, EXPECT_PODS, "data/db-0" },
    { "SRV of a named port", "_sql._tcp.db.data.svc.cluster.local.", WITH_LOOKUP_SRV, EXPECT_TEXT,
      "db-1.db.data.svc.cluster.local" },
    { "a pod by its address", "@shop/bar-1", WITH_GETENT, EXPECT_PODS, "shop/bar-1" },
    { "ExternalName", "api", WITH_GETENT, EXPECT_OUTSIDE, "203.0.113.10" },
    { "a name of the world outside", "www.example.com", WITH_GETENT, EXPECT_OUTSIDE,
      "203.0.113.20" },
    { "no such name", "nosuch", WITH_GETENT, EXPECT_NOTHING, "" },
    { "a Service without endpoints", "empty", WITH_CURL, EXPECT_REFUSED, "" },
};

struct name_run {
    struct observer *o;
    const struct name_case *c;
    char typed[300];
    struct ran ran;
    struct dns_seen_list dns;
};

static const struct manifest *pod_of(const struct observer *o, const char *key, size_t len)
{
    char ns[64], name[256];
    const char *slash = memchr(key, '/', len);
    snprintf(ns, sizeof ns, "%.*s", (int)(slash - key), key);
    snprintf(name, sizeof name, "%.*s", (int)(key + len - slash - 1), slash + 1);
    return manifests_find(&o->objects, "Pod", ns, name);
}

/* "@NAMESPACE/POD" is typed as the pod's own name: 10-244-1-5.NAMESPACE.pod */
static void write_typed(struct name_run *r)
{
    const char *key = r->c->typed + 1, *slash = strchr(r->c->typed, '/');
    const struct manifest *m;
    const char *ip = NULL;
    if (r->c->typed[0] == '@' && (m = pod_of(r->o, key, strlen(key))))
        ip = json_text(m->json, "status.podIP");
    if (!ip) {
        snprintf(r->typed, sizeof r->typed, "%s", r->c->typed);
        return;
    }
    size_t n = strlen(ip);
    snprintf(r->typed, sizeof r->typed, "%s.%.*s.pod", ip, (int)(slash - key), key);
    for (size_t i = 0; i < n; i++)
        r->typed[i] = r->typed[i] == '.' || r->typed[i] == ':' ? '-' : r->typed[i];
}

static int run_case(struct name_run *r, struct err *e)
{
    char url[320];
    const char *const getent[] = { "getent", "ahosts", r->typed, NULL };
    const char *const srv[] = { "signpost", "lookup", "--type", "SRV", r->typed, NULL };
    const char *const curl[] = { "curl", "-sS", "--max-time", "5", url, NULL };
    const char *const *const argv[] = { getent, srv, curl };
    snprintf(url, sizeof url, "http://%s/", r->typed);
    observer_collect(r->o);
    int code =
        enter_run(r->o->pods.items[r->o->client].pid, argv[r->c->with], NAMES_NS, &r->ran, e);
    if (code < 0)
        return code;
    observer_collect(r->o);
    dns_seen_read(r->o, NULL, &r->dns);
    return 0;
}

/* The distinct addresses in what getent printed, in order. */
static size_t addresses_in(const char *text, struct ip *ips, size_t max)
{
    size_t n = 0;
    char word[IP_TEXT_MAX];
    while (text && *text) {
        struct ip ip;
        bool known = false;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(text, " \n"), text);
        if (ip_parse(word, &ip) == 0) {
            for (size_t i = 0; i < n; i++)
                known |= ip_equal(&ips[i], &ip);
            if (!known && n < max)
                ips[n++] = ip;
        }
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return n;
}

static bool has_ip(const struct ip *ips, size_t n, const char *text)
{
    struct ip want;
    bool found = false;
    for (size_t i = 0; text && ip_parse(text, &want) == 0 && i < n; i++)
        found |= ip_equal(&ips[i], &want);
    return found;
}

static bool is_pods(const struct name_run *r, const struct ip *ips, size_t n)
{
    size_t wanted = 0;
    for (const char *p = r->c->of; *p; wanted++) {
        size_t len = strcspn(p, ",");
        const struct manifest *m = pod_of(r->o, p, len);
        if (!m || !has_ip(ips, n, json_text(m->json, "status.podIP")))
            return false;
        p += len + (p[len] == ',');
    }
    return wanted == n;
}

static bool is_service(const struct name_run *r, const struct ip *ips, size_t n)
{
    const char *slash = strchr(r->c->of, '/');
    char ns[64];
    snprintf(ns, sizeof ns, "%.*s", (int)(slash - r->c->of), r->c->of);
    const struct manifest *m = manifests_find(&r->o->objects, "Service", ns, slash + 1);
    const char *own = m ? json_text(m->json, "spec.clusterIP") : NULL;
    return m && n == 1 && !observer_pod_of(r->o, &ips[0]) && (!own || has_ip(ips, n, own));
}

/* What said no: a reset, or an ICMP message, at the client's link; NULL: nothing did. */
static const struct packet *find_refusal(const struct name_run *r)
{
    for (size_t i = 0; i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        const struct packet *p = &s->packet;
        bool icmp = p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6;
        bool reset = p->protocol == IPPROTO_TCP && p->tcp_flags & TCP_RST;
        if (s->pod == r->o->client && !p->outgoing && (icmp || reset))
            return p;
    }
    return NULL;
}

static bool is_as_expected(const struct name_run *r)
{
    struct ip ips[16];
    size_t n = r->c->with == WITH_GETENT ? addresses_in(r->ran.out.p, ips, 16) : 0;
    switch (r->c->expect) {
    case EXPECT_SERVICE:
        return r->ran.status == 0 && is_service(r, ips, n);
    case EXPECT_PODS:
        return r->ran.status == 0 && is_pods(r, ips, n);
    case EXPECT_OUTSIDE:
        return r->ran.status == 0 && n == 1 && has_ip(ips, n, r->c->of);
    case EXPECT_TEXT:
        return r->ran.status == 0 && strstr(r->ran.out.p, r->c->of);
    case EXPECT_NOTHING:
        return r->ran.status == 2; /* getent(1): a key could not be found */
    default:
        /* curl(1): failed to connect */
        return r->ran.status == 7 && dns_seen_winner(&r->dns, false) && find_refusal(r);
    }
}

static const char *result_text(const struct name_run *r, const struct dns_seen *winner)
{
    size_t n = strcspn(r->ran.err.p, "\n");
    const struct packet *no = r->c->expect == EXPECT_REFUSED ? find_refusal(r) : NULL;
    char ip[IP_TEXT_MAX];
    if (no && winner)
        return arena_printf(&r->o->arena, "%s, refused by %s from %s", winner->answer,
                            no->protocol == IPPROTO_TCP ? "a reset" : "ICMP",
                            ip_text(&no->from, ip));
    if (winner && r->ran.status == 0)
        return winner->answer;
    return n ? arena_strndup(&r->o->arena, r->ran.err.p, n) : "not found";
}

static void show_case(const struct name_run *r, bool good, struct table *t)
{
    const struct dns_seen *winner = dns_seen_winner(&r->dns, true);
    char rcode[24];
    size_t n = r->dns.items.n;
    const struct dns_seen *last = n ? &r->dns.items.items[n - 1] : NULL;
    int64_t ns = n ? last->answered_ns - r->dns.items.items[0].asked_ns : 0;
    for (size_t i = 0; i < n; i++) /* the slowest of the last pair counts */
        ns = MAX(ns, r->dns.items.items[i].answered_ns - r->dns.items.items[0].asked_ns);
    table_cell(t, TABLE_PLAIN, "%s", r->c->what);
    table_cell(t, TABLE_STRONG, "%s", r->typed);
    table_cell(t, TABLE_PLAIN, "%s", winner ? winner->name : "-");
    table_cell(t, good ? TABLE_GOOD : TABLE_BAD, "%s%s",
               good ? "" : "UNEXPECTED: ", result_text(r, winner));
    table_cell(t, TABLE_DIM, "%s",
               winner ? dns_seen_rcode(winner, rcode)
               : last ? dns_seen_rcode(last, rcode)
                      : "no query");
    table_cell(t, TABLE_DIM, "%zu", n);
    table_cell(t, TABLE_DIM, "%.2f", (double)ns / 1e6);
}

static void describe_table(struct table *t)
{
    table_init(t, "Names, asked inside pod shop/foo (each row is what its link showed)");
    table_column(t, "kind", TABLE_LEFT);
    table_column(t, "typed", TABLE_LEFT);
    table_column(t, "answered as", TABLE_LEFT);
    table_column(t, "result", TABLE_LEFT);
    table_limit(t, 60);
    table_column(t, "rcode", TABLE_LEFT);
    table_column(t, "queries", TABLE_RIGHT);
    table_column(t, "ms", TABLE_RIGHT);
}

int names_show(struct observer *o, FILE *out, struct err *e)
{
    struct table t;
    const char *wrong = NULL;
    int code = 0;
    describe_table(&t);
    for (size_t i = 0; code == 0 && i < ARRAY_SIZE(cases); i++) {
        struct name_run r = { .o = o, .c = &cases[i] };
        write_typed(&r);
        if ((code = run_case(&r, e)) < 0)
            break;
        bool good = is_as_expected(&r);
        wrong = good || wrong ? wrong : cases[i].what;
        show_case(&r, good, &t);
        ran_done(&r.ran);
        dns_seen_done(&r.dns);
    }
    table_print(&t, out);
    table_done(&t);
    if (code == 0 && wrong)
        code = err_set(e, ERR_REFUSED, "names: the answer for \"%s\" is not what the objects say",
                       wrong);
    return code;
}
