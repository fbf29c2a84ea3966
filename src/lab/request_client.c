/* The client of a request: curl, and before it the look-up when another resolver's ways are
 * wanted; and what of the client's files and its node's kernel matters for what is seen. */
#include "base/str.h"
#include "kernel/conntrack_stat.h"
#include "lab/enter.h"
#include "lab/place.h"
#include "lab/process_file.h"
#include "lab/request_impl.h"

#include <stdlib.h>
#include <string.h>

#define LOOKUP_NS   60000000000LL /* as long as the slowest resolver takes */
#define RESOLV_MAX  65536
#define STAT_MAX    65536
#define SOCKETS_MAX (1 << 20) /* of the node; what lies behind is not seen */

/* ---- the request itself ---- */

static int run_curl(const struct observer *o, const struct request_how *how, const char *resolve,
                    struct ran *ret, struct err *e)
{
    char url[300], wait[16];
    const char *argv[] = {
        "curl", "-sS", "--max-time",
        wait,   "-w",  "%{http_code} %{time_namelookup} %{time_connect} %{time_total}",
        url,    NULL,  NULL,
        NULL
    };
    snprintf(url, sizeof url, "http://%s/", how->typed);
    snprintf(wait, sizeof wait, "%u", how->wait_s);
    if (resolve) {
        argv[7] = "--connect-to";
        argv[8] = resolve;
    }
    return enter_run(o->pods.items[o->client].pid, argv, (how->wait_s + 10) * 1000000000LL, ret, e);
}

/* Looks the name up as that resolver does; *ret: its first address, or NULL: it has none. */
static int look_up(struct observer *o, const struct request_how *how, const char **ret,
                   struct ran *ran, struct err *e)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(how->typed, ":"), how->typed);
    const char *const argv[] = { "signpost", "lookup",   name,   "--as",
                                 how->as,    "--output", "json", NULL };
    int code = enter_run(o->pods.items[o->client].pid, argv, LOOKUP_NS, ran, e);
    if (code < 0)
        return code;
    json_t *json = json_loads(ran->out.p ? ran->out.p : "", 0, NULL);
    const char *ip = json_string_value(json_array_get(json_at(json, "result.addresses"), 0));
    *ret = ip ? arena_strdup(&o->arena, ip) : NULL;
    if (!json) {
        code = err_set(e, ERR_INVALID, "%.*s", (int)strcspn(ran->err.p ? ran->err.p : "", "\n"),
                       ran->err.p ? ran->err.p : "signpost lookup said nothing");
        ran_done(ran);
    }
    json_decref(json);
    return code;
}

static int run(struct observer *o, const struct request_how *how, struct ran *ret, struct err *e)
{
    const char *ip = NULL;
    if (!how->as)
        return run_curl(o, how, NULL, ret, e);
    int code = look_up(o, how, &ip, ret, e);
    if (code < 0 || !ip)
        return code; /* of a look-up without an address nothing more comes */
    ran_done(ret);
    return run_curl(o, how, arena_printf(&o->arena, strchr(ip, ':') ? "::[%s]:" : "::%s:", ip), ret,
                    e);
}

/* Its last line is what -w asked for; the first one is the server's. */
static void read_curl(const struct ran *ran, struct asked *a)
{
    double lookup, connect, total;
    const char *last = strrchr(ran->out.p, '\n');
    int got = sscanf(last ? last + 1 : ran->out.p, "%d %lf %lf %lf", &a->status, &lookup, &connect,
                     &total);
    a->said = xstrndup(ran->out.p, strcspn(ran->out.p, "\n"));
    a->error = xstrndup(ran->err.p, strcspn(ran->err.p, "\n"));
    a->complete = got == 4 && ran->status == 0;
    if (got != 4) {
        a->status = 0;
        return;
    }
    a->name_ns = (int64_t)(lookup * 1e9);
    a->connect_ns = (int64_t)(connect * 1e9);
    a->total_ns = (int64_t)(total * 1e9);
}

int request_by_curl(void *ctx, struct observer *o, const struct request_how *how, struct asked *ret,
                    struct err *e)
{
    struct ran ran;
    struct strbuf by = { 0 };
    (void)ctx;
    observer_mark(o,
                  &(struct tuple){ .from = o->pods.items[o->client].ip, .protocol = IPPROTO_TCP });
    int code = run(o, how, &ran, e);
    if (code < 0)
        return code;
    strbuf_printf(&by, "curl http://%s/", how->typed);
    *ret = (struct asked){ .by = strbuf_steal(&by) };
    read_curl(&ran, ret);
    ran_done(&ran);
    return 0;
}

/* ---- what is around it ---- */

size_t request_search_bytes(const struct request *r)
{
    size_t bytes = 0;
    cleanup_free char *text =
        process_file(r->o->pods.items[r->o->client].pid, "etc/resolv.conf", RESOLV_MAX);
    for (const char *line = text; line && *line;) {
        size_t len = strcspn(line, "\n");
        if (str_starts(line, "search"))
            bytes = len;
        line += len + (line[len] == '\n');
    }
    return bytes;
}

/* An address as /proc/net/udp writes it: words of the machine's order. */
static void put_proc_ip(const struct ip *ip, char out[33])
{
    for (size_t i = 0; i < ip_len(ip); i += 4) {
        uint32_t word;
        memcpy(&word, ip->bytes + i, sizeof word);
        snprintf(out + 2 * i, 9, "%08X", word);
    }
}

bool request_is_bound(const struct request *r, const struct ip *ip, uint16_t port)
{
    static const char *const anywhere[] = { "00000000", "00000000000000000000000000000000" };
    char path[64], hex[33], own[48], any[48];
    put_proc_ip(ip, hex);
    snprintf(own, sizeof own, ": %s:%04X ", hex, port);
    for (int v6 = 0; v6 < 2; v6++) { /* a socket of IPv6 may be there for both */
        snprintf(path, sizeof path, "/proc/%d/net/udp%s", (int)r->o->node_pid, v6 ? "6" : "");
        snprintf(any, sizeof any, ": %s:%04X ", anywhere[v6], port);
        cleanup_free char *text = place_read(path, SOCKETS_MAX);
        if (text && (strstr(text, own) || strstr(text, any)))
            return true;
    }
    return false;
}

unsigned long request_insert_failed(const struct request *r)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/net/stat/nf_conntrack", (int)r->o->node_pid);
    cleanup_free char *text = place_read(path, STAT_MAX);
    return text ? conntrack_stat_sum(text, "insert_failed") : 0;
}
