/* glibc: getaddrinfo() and res_search(). */
#include "base/cleanup.h"
#include "client/glibc.h"
#include "client/way.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#define EDNS_SIZE 1200 /* what glibc announces with edns0 */

/* The first server is always that of the file, unless `rotate` moves the start each time. */
static unsigned first_server(struct stub *s)
{
    if (!s->conf->rotate || s->conf->n_servers < 2)
        return 0;
    return s->rotation++ % s->conf->n_servers;
}

static enum walk_outcome no_answer(const struct glibc *g, bool tcp)
{
    if (tcp ? g->tcp_refused : !g->got_somewhere)
        return WALK_UNREACHABLE;
    return g->last_rcode == RCODE_SERVFAIL ? WALK_SERVFAIL : WALK_FAILED;
}

static enum walk_outcome ask_servers(struct glibc *g)
{
    struct ask *a = g->ask;
    const struct stub_conf *c = a->stub->conf;
    unsigned first = first_server(a->stub);
    bool tcp = c->use_vc;
    for (int attempt = 0; attempt < (tcp ? 1 : c->attempts); attempt++) {
        for (unsigned i = 0; i < c->n_servers; i++) {
            g->server = (first + i) % c->n_servers;
            g->attempt = (unsigned)attempt;
            a->n_replies = 0;
            enum glibc_step step = tcp ? GLIBC_OVER_TCP : glibc_over_udp(g);
            if (step == GLIBC_OVER_TCP) {
                tcp = true; /* and stays so for this name */
                step = glibc_over_tcp(g);
            }
            if (step == GLIBC_DONE)
                return walk_judge(&a->replies[0].brief,
                                  a->n_replies > 1 ? &a->replies[1].brief : NULL);
        }
    }
    return no_answer(g, tcp);
}

static enum walk_outcome ask(struct ask *a, const struct name *name)
{
    struct glibc g = { .ask = a };
    if (!name)
        return WALK_BAD;
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++)
        g.fds[i] = -1;
    ask_build(a, name, a->stub->conf->edns0 ? EDNS_SIZE : 0, a->stub->conf->trust_ad);
    enum walk_outcome o = ask_servers(&g);
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++)
        cleanup_close_fn(&g.fds[i]);
    return o;
}

/* getaddrinfo() has no word for NO_RECOVERY: to it the name does not exist. */
static int eai_of(enum walk_error error, bool address)
{
    static const int errors[] = {
        [WALK_OK] = 0,
        [WALK_HOST_NOT_FOUND] = EAI_NONAME,
        [WALK_TRY_AGAIN] = EAI_AGAIN,
        [WALK_NO_RECOVERY] = EAI_FAIL,
        [WALK_NO_DATA] = EAI_NODATA,
    };
    return error == WALK_NO_RECOVERY && address ? EAI_NONAME : errors[error];
}

/* A reply with rdata for none of our types (an alias that leads nowhere): the walk is over, and the
 * C library says that there is no such name. */
static void finish(const struct walk *w, uint16_t type, struct stub_result *r)
{
    bool address = type == STUB_ADDRESS || type == RR_A || type == RR_AAAA;
    r->error = eai_of(walk_error(w), address);
    if (r->error == 0 && address && r->n_ips == 0)
        r->error = EAI_NONAME;
}

/* No query is sent for an address of anything else: letters, digits, "-" and "_", and no "-" at the
 * start of the name. (Names of the hosts file may be what they like.) */
static bool is_host_name(const char *text)
{
    struct name name;
    if (name_from_text(text, &name) < 0)
        return false;
    for (unsigned i = 0; i < name.n_labels; i++) {
        const uint8_t *label = name.wire + name.off[i];
        for (unsigned j = 1; j <= label[0]; j++) {
            uint8_t c = label[j];
            bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            bool good = letter || (c >= '0' && c <= '9') || c == '-' || c == '_';
            if (!good || (c == '-' && i == 0 && j == 1))
                return false;
        }
    }
    return true;
}

static bool is_literal(const char *name, struct ip *ret)
{
    struct in_addr four;
    if (!inet_aton(name, &four) || strpbrk(name, " \t\n"))
        return ip_parse(name, ret) == 0;
    *ret = (struct ip){ .family = 4 };
    memcpy(ret->bytes, &four, 4);
    return true;
}

static void order(const struct stub *s, struct arena *a, struct nss_order *ret)
{
    nsswitch_parse(s->nsswitch, a, ret);
    if (!ret->found)
        nsswitch_default(ret);
}

static const char *error_name(int error)
{
    switch (error) {
    case EAI_NONAME:
        return "EAI_NONAME";
    case EAI_NODATA:
        return "EAI_NODATA";
    case EAI_AGAIN:
        return "EAI_AGAIN";
    default:
        return "EAI_FAIL";
    }
}

static const char *error_text(int error, const char *name, struct arena *a)
{
    (void)name;
    (void)a;
    return gai_strerror(error);
}

const struct way way_glibc = {
    .name = "glibc",
    .function = "getaddrinfo()",
    .like = "glibc 2.26 and later",
    .walk = &walk_glibc,
    .hosts = &hostsfile_glibc,
    .read_conf = stub_conf_parse,
    .order = order,
    .is_literal = is_literal,
    .is_host_name = is_host_name,
    .ask = ask,
    .finish = finish,
    .not_host_error = EAI_NONAME,
    .no_source_error = EAI_NONAME,
    .literal_error = EAI_NONAME,
    .error_name = error_name,
    .error_text = error_text,
};
