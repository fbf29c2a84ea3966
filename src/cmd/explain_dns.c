#include "cmd/explain_dns.h"

#include "base/str.h"
#include "cmd/corefile.h"
#include "dns/server.h"
#include "wire/rr.h"

#include <string.h>

struct explain_dns {
    uv_loop_t *loop;
    struct store *store;
    struct dns_server *server;
    char *zone;
    const struct flag_list *outside;
    /* of the question under way */
    struct explain_answer *answer;
    struct arena *arena;
    char rcode[32];
    bool done;
};

static int open_source(void *ctx, const struct object_source *source, struct store **ret,
                       struct err *e)
{
    struct explain_dns *d = ctx;
    (void)source;
    (void)e;
    *ret = d->store;
    return 0;
}

static int set_up(struct explain_dns *d, struct err *e)
{
    cleanup(strbuf_done) struct strbuf text = { 0 };
    const struct dns_options options = {
        .workers = 1, .loop = d->loop, .open_source = open_source, .source_ctx = d, .offline = true
    };
    struct corefile_options forms;
    struct corefile *c;
    command_corefile_options(&forms, 53);
    strbuf_printf(&text, "%s {\n    kubernetes %s {\n        pods verified\n    }\n}\n", d->zone,
                  d->zone);
    int rc = corefile_parse(text.p, text.len, "cluster-domain", &forms, &c, e);
    if (rc == 0)
        rc = dns_server_new(c, &options, &d->server, e);
    return rc == 0 ? dns_server_start(d->server, NULL, e) : rc;
}

int explain_dns_open(uv_loop_t *loop, struct store *store, const char *zone,
                     const struct flag_list *outside, struct explain_dns **ret, struct err *e)
{
    struct explain_dns *d = xcalloc(1, sizeof *d);
    d->loop = loop;
    d->store = store;
    d->zone = xstrdup(zone);
    d->outside = outside;
    int rc = set_up(d, e);
    if (rc < 0)
        explain_dns_close(d);
    else
        *ret = d;
    return rc;
}

void explain_dns_close(struct explain_dns *d)
{
    if (!d)
        return;
    dns_server_stop(d->server);
    uv_run(d->loop, UV_RUN_NOWAIT);
    dns_server_free(d->server);
    free(d->zone);
    free(d);
}

/* ---- what it says */

/* "bar.shop.svc.cluster.local.\t5\tIN\tA\t10.96.0.20" */
static void take_record(struct explain_dns *d, const char *text)
{
    cleanup_free char *copy = xstrdup(text);
    char *save = NULL, *words[5] = { NULL };
    unsigned n = 0;
    struct ip ip;
    for (char *w = strtok_r(copy, " \t", &save); w && n < 5; w = strtok_r(NULL, " \t", &save))
        words[n++] = w;
    if (n < 5)
        return;
    struct explain_answer *a = d->answer;
    if (strcmp(words[3], "CNAME") == 0) {
        size_t len = strlen(words[4]);
        len -= len > 1 && words[4][len - 1] == '.';
        a->alias = arena_strndup(d->arena, words[4], len);
    } else if (ip_parse(words[4], &ip) == 0) {
        a->n_all++;
        if (a->n_ips < EXPLAIN_ADDRESSES_MAX)
            a->ips[a->n_ips++] = ip;
    }
}

static void take_near(struct explain_dns *d, const char *text)
{
    struct explain_answer *a = d->answer;
    for (size_t i = 0; i < a->n_near; i++)
        if (strcmp(a->near[i], text) == 0)
            return;
    if (a->n_near < EXPLAIN_NEAR_MAX)
        a->near[a->n_near++] = arena_strdup(d->arena, text);
}

static void on_rows(void *ctx, const struct why_row *rows, size_t n)
{
    struct explain_dns *d = ctx;
    for (size_t i = 0; i < n; i++) {
        const struct why_row *row = &rows[i];
        if (row->depth > 0)
            continue;
        if (strcmp(row->step, "reply") == 0)
            (void)snprintf(d->rcode, sizeof d->rcode, "%s", row->what);
        else if (strcmp(row->what, "answer") == 0)
            take_record(d, row->detail);
        else if (strcmp(row->what, "near") == 0)
            take_near(d, row->detail);
        else if (strcmp(row->what, "cause") == 0 && !d->answer->cause)
            d->answer->cause = arena_strdup(d->arena, row->detail);
    }
    d->done = true;
}

static void ask(struct explain_dns *d, const struct name *name, uint16_t type)
{
    struct why_request request = { .name = *name, .type = type };
    struct err e;
    d->done = false;
    d->rcode[0] = '\0';
    if (dns_server_why(d->server, &request, on_rows, d, &e) < 0)
        return;
    while (!d->done)
        uv_run(d->loop, UV_RUN_ONCE);
}

/* ---- the world outside */

static bool matches(const char *pattern, size_t len, const char *name)
{
    size_t n = strlen(name);
    n -= n > 0 && name[n - 1] == '.';
    if (len > 2 && pattern[0] == '*' && pattern[1] == '.')
        return n > len - 1 && strncasecmp(name + n - (len - 1), pattern + 1, len - 1) == 0;
    return n == len && strncasecmp(name, pattern, len) == 0;
}

static void ask_world(const struct explain_dns *d, const char *name, struct explain_answer *a)
{
    a->kind = d->outside->n ? ANSWER_NXDOMAIN : ANSWER_OUTSIDE;
    for (size_t i = 0; i < d->outside->n; i++) {
        const char *item = d->outside->items[i], *is = strchr(item, '=');
        if (!is || !matches(item, (size_t)(is - item), name) || a->n_ips == EXPLAIN_ADDRESSES_MAX ||
            ip_parse(is + 1, &a->ips[a->n_ips]) < 0)
            continue;
        a->n_all = ++a->n_ips;
        a->kind = ANSWER_ADDRESSES;
    }
}

static bool is_ours(const struct explain_dns *d, const char *name)
{
    size_t n = strlen(name), z = strlen(d->zone);
    n -= n > 0 && name[n - 1] == '.';
    return n >= z && strncasecmp(name + n - z, d->zone, z) == 0 &&
           (n == z || name[n - z - 1] == '.');
}

/* An alias into the cluster is followed; one that leads out may be known from the flags. */
static void follow_alias(struct explain_dns *d, struct explain_answer *a)
{
    struct explain_answer end = { .kind = ANSWER_NXDOMAIN };
    if (!a->alias || a->n_ips > 0)
        return;
    a->kind = ANSWER_ALIAS;
    if (is_ours(d, a->alias))
        return;
    ask_world(d, a->alias, &end);
    if (end.kind != ANSWER_ADDRESSES)
        return;
    memcpy(a->ips, end.ips, sizeof a->ips);
    a->n_ips = a->n_all = end.n_ips;
    a->kind = ANSWER_ADDRESSES;
}

void explain_dns_ask(void *ctx, const char *name, struct arena *arena, struct explain_answer *ret)
{
    struct explain_dns *d = ctx;
    struct name wire;
    *ret = (struct explain_answer){ .kind = ANSWER_FAILED };
    if (name_from_text(name, &wire) < 0) {
        ret->cause = "it is too long, or no name";
        return;
    }
    if (!is_ours(d, name)) {
        ask_world(d, name, ret);
        return;
    }
    d->answer = ret;
    d->arena = arena;
    ask(d, &wire, RR_A);
    cleanup_free char *first = xstrdup(d->rcode);
    ask(d, &wire, RR_AAAA);
    ret->kind = ret->n_ips                       ? ANSWER_ADDRESSES
                : strcmp(first, "NXDOMAIN") == 0 ? ANSWER_NXDOMAIN
                : strcmp(first, "NOERROR") == 0  ? ANSWER_NODATA
                                                 : ANSWER_FAILED;
    if (ret->n_ips)
        ret->cause = NULL;
    follow_alias(d, ret);
}
