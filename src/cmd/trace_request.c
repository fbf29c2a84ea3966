#include "cmd/trace_request.h"

#include "base/str.h"
#include "cmd/trace_ask.h"
#include "cmd/trace_causes.h"
#include "lab/lab.h"
#include "lab/place.h"
#include "lab/request.h"
#include "loop/loop.h"

#include <string.h>

struct tracing {
    const struct trace_request_options *options;
    struct observer observer;
    struct request_how how;
    struct trace_ask ask;
    struct explain_objects_options objects; /* of a node, to be asked why */
    bool has_objects;
    char from[600]; /* as these know it */
    void (*take)(void *ctx, const struct journey_report *r);
    void *ctx;
};

static int read_how(struct tracing *t, const char *to, struct err *e)
{
    const struct trace_request_options *o = t->options;
    bool udp = str_eq(o->protocol, "udp");
    if (str_eq(o->protocol, "sctp"))
        return err_set(e, ERR_INVALID,
                       "--protocol sctp: no SCTP requests are made; give tcp or udp, or ask "
                       "\"signpost explain --protocol sctp\"");
    if (!udp && !str_eq(o->protocol, "tcp"))
        return err_set(e, ERR_INVALID, "--protocol %s: give tcp or udp", o->protocol);
    if (o->data && !udp)
        return err_set(e, ERR_INVALID, "--data is of use with --protocol udp only");
    if (!*to || strpbrk(to, "/?#@ \t"))
        return err_set(e, ERR_INVALID, "\"%s\": give a name or an address, and :PORT or not", to);
    t->ask.data = o->data;
    t->how = (struct request_how){ .typed = to,
                                   .wait_s = (unsigned)o->wait,
                                   .protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
                                   .as = o->as,
                                   .ask = trace_ask,
                                   .ctx = &t->ask };
    int code = way_from_text(o->as ? o->as : "glibc", &t->ask.way, e);
    return code < 0 ? err_wrap(e, "--as") : 0;
}

static int observe(struct tracing *t, struct err *e)
{
    struct request r;
    struct sightings seen;
    struct journey j = { 0 };
    struct trace_causes causes;
    char verdict[OUTCOME_TEXT_MAX];
    int code = request_make(&t->observer, &t->how, &r, e);
    if (code < 0)
        return code;
    request_tell(&r, &j);
    request_sightings(&r, &seen);
    outcome_text(outcome_of(&seen), &seen, verdict);
    trace_causes_init(&causes);
    trace_causes_find(&causes, &seen,
                      &(struct trace_causes_of){ .dir = t->observer.dir,
                                                 .objects = t->has_objects ? &t->objects : NULL,
                                                 .from = t->from,
                                                 .to = t->how.typed,
                                                 .as = t->options->as,
                                                 .protocol = t->options->protocol });
    t->take(t->ctx, &(struct journey_report){ .journey = &j,
                                              .seen = &seen,
                                              .verdict = verdict,
                                              .causes = causes.items.items,
                                              .n_causes = causes.items.n });
    trace_causes_done(&causes);
    journey_done(&j);
    request_done(&r);
    return 0;
}

static int trace_in_lab(struct tracing *t, const char *from, struct err *e)
{
    char dir[PATH_MAX];
    pid_t lab;
    const char *given = t->options->place.lab_dir, *place = given ? given : place_default(dir);
    (void)snprintf(t->from, sizeof t->from, "%s", from);
    if (t->how.protocol == IPPROTO_TCP)
        t->how.ask = request_by_curl;
    int code = lab_find(place, &lab, e);
    if (code == 0)
        code = observer_open(&t->observer, place, from, e);
    if (code < 0)
        return code;
    code = observe(t, e);
    observer_done(&t->observer);
    return code;
}

static void name_client(struct tracing *t, const struct trace_place *p)
{
    char ip[IP_TEXT_MAX];
    if (!p->has_objects || !p->n_ips)
        return;
    t->has_objects = true;
    (void)snprintf(t->from, sizeof t->from, "%s", p->key ? p->key : ip_text(&p->ips[0], ip));
}

static int trace_at(struct tracing *t, const struct trace_place *p, struct err *e)
{
    const struct observer_node n = {
        .store = p->has_objects ? cluster_store(p->objects.cluster) : NULL,
        .client = p->client,
        .pod = p->key,
        .pid = p->pid,
        .ips = p->ips,
        .n_ips = p->n_ips,
        .client_net = p->client_net,
        .node_net = p->node_net,
        .node = p->node,
    };
    int code = observer_open_node(&t->observer, &n, e);
    if (code < 0)
        return code;
    t->objects = t->options->place.objects;
    name_client(t, p);
    code = observe(t, e);
    observer_done(&t->observer);
    return code;
}

static int trace_on_node(struct tracing *t, const char *from, struct err *e)
{
    struct trace_place p;
    uv_loop_t loop;
    struct trace_place_options place = t->options->place;
    place.objects.follow = false;
    uv_loop_init(&loop);
    int code = trace_place_find(&loop, &place, from, &p, e);
    if (code == 0)
        code = trace_at(t, &p, e);
    trace_place_done(&p);
    loop_done(&loop);
    return code;
}

int trace_request(const struct trace_request_options *o, const char *from, const char *to,
                  void (*take)(void *ctx, const struct journey_report *r), void *ctx, struct err *e)
{
    struct tracing t = { .options = o, .take = take, .ctx = ctx };
    int code = read_how(&t, to, e);
    if (code < 0)
        return code;
    return trace_place_on_node(&o->place) ? trace_on_node(&t, from, e) : trace_in_lab(&t, from, e);
}
