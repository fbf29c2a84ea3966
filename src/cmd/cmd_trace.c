/* signpost trace: one real request observed from end to end, or all flows of a pod. */
#include "base/err.h"
#include "base/log.h"
#include "base/table.h"
#include "cmd/commands.h"
#include "cmd/trace_request.h"
#include "cmd/trace_watch.h"
#include "lab/request.h"

#include <errno.h>
#include <string.h>

#define EXIT_ANSWERED 0
#define EXIT_FAILED   1
#define EXIT_TROUBLE  2

#define WATCH_WAIT_S 5 /* a resolver's shortest time-out */

struct options {
    const char *output;
    bool watch;
    long seconds, count;
    struct trace_request_options request; /* wait -1: not given */
    int status;
};

static void print_text(const struct journey_report *r)
{
    char cost[OUTCOME_TEXT_MAX];
    enum outcome o = outcome_of(r->seen);
    journey_print(r->journey, "One request, as it was observed", stdout);
    putchar('\n');
    tone_line(stdout, o == OUTCOME_ANSWERED ? TABLE_GOOD : TABLE_BAD, "%s", r->verdict);
    for (size_t i = 0; i < r->n_causes; i++)
        tone_line(stdout, TABLE_WARN, "by %s: %s%s%s",
                  r->causes[i].seen ? "what was seen" : "the objects", r->causes[i].text,
                  r->causes[i].change ? "; " : "", r->causes[i].change ? r->causes[i].change : "");
    if (*outcome_cost(r->seen, cost))
        tone_line(stdout, TABLE_WARN, "%s", cost);
}

static void show(void *ctx, const struct journey_report *r)
{
    struct options *o = ctx;
    cleanup(strbuf_done) struct strbuf out = { 0 };
    if (strcmp(o->output, "json") == 0)
        journey_json(r, &out);
    else if (strcmp(o->output, "html") == 0)
        journey_html(r, &out);
    else
        print_text(r);
    if (out.len)
        fwrite(out.p, 1, out.len, stdout);
    o->status = outcome_of(r->seen) == OUTCOME_ANSWERED ? EXIT_ANSWERED : EXIT_FAILED;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "signpost trace: cannot write: %s\n", strerror(errno));
        o->status = EXIT_TROUBLE;
    }
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

static int check_place(const struct trace_place_options *p, struct err *e)
{
    const struct explain_objects_options *objects = &p->objects;
    if (objects->manifests.n && (objects->kubeconfig || objects->master))
        return err_set(e, ERR_INVALID, "--manifests and an API server exclude each other");
    if (p->lab_dir && trace_place_on_node(p))
        return err_set(e, ERR_INVALID, "--lab-dir is of a lab: leave out --pid and its objects");
    if (p->pid < 0 || p->pid > INT_MAX)
        return err_set(e, ERR_INVALID, "--pid %ld: no process has this number", p->pid);
    return 0;
}

static int check_watch(const struct options *o, struct err *e)
{
    const struct trace_request_options *r = &o->request;
    if (!o->watch && (o->seconds || o->count))
        return err_set(e, ERR_INVALID, "--for and --count are of use with --watch only");
    if (o->seconds < 0 || o->count < 0)
        return err_set(e, ERR_INVALID, "--for and --count: give 1 or more, or 0 for no limit");
    if (o->watch && strcmp(o->output, "html") == 0)
        return err_set(e, ERR_INVALID, "--output html is of one request: leave out --watch");
    if (o->watch && (r->as || r->data || strcmp(r->protocol, "tcp") != 0))
        return err_set(e, ERR_INVALID,
                       "--protocol, --as and --data are of one request: leave out "
                       "--watch");
    return 0;
}

static int check(const struct options *o, struct err *e)
{
    static const char *const outputs[] = { "text", "json", "html", NULL };
    if (!is_one_of(o->output, outputs))
        return err_set(e, ERR_INVALID, "--output %s: give text, json or html", o->output);
    if (o->request.wait < 1 || o->request.wait > REQUEST_WAIT_MAX_S)
        return err_set(e, ERR_INVALID, "--wait %ld: give 1 to %d seconds", o->request.wait,
                       REQUEST_WAIT_MAX_S);
    int code = check_watch(o, e);
    return code < 0 ? code : check_place(&o->request.place, e);
}

static int watch(const struct options *o, const char *from, struct err *e)
{
    const struct trace_watch_options w = { o->request.place, strcmp(o->output, "json") == 0,
                                           o->seconds, o->count, o->request.wait };
    return trace_watch(&w, from, e);
}

static int work(struct options *o, int left, char **argv, struct err *e)
{
    bool pid = o->request.place.pid;
    int code = check(o, e);
    if (code == 0 && left != !pid + !o->watch)
        code = err_set(e, ERR_INVALID,
                       o->watch ? "give whom to watch: NAMESPACE/POD, or --pid N"
                       : pid    ? "give for what it asks: TO[:PORT]"
                                : "give two: who asks, NAMESPACE/POD, and for what, TO[:PORT]");
    if (code < 0)
        return code;
    const char *from = pid ? NULL : argv[0];
    return o->watch ? watch(o, from, e) : trace_request(&o->request, from, argv[!pid], show, o, e);
}

static int run(int argc, char **argv)
{
    struct options o = { .output = "text", .request = { .protocol = "tcp", .wait = -1 } };
    struct trace_place_options *place = &o.request.place;
    struct explain_objects_options *objects = &place->objects;
    const struct flag flags[] = {
        { "watch", FLAG_BOOL, &o.watch, NULL,
          "Make no request: print a line for each query and connection of the pod, as they come." },
        { "for", FLAG_INT, &o.seconds, "SECONDS", "End --watch after so long." },
        { "count", FLAG_INT, &o.count, "N", "End --watch after so many lines." },
        { "lab-dir", FLAG_STRING, &place->lab_dir, "DIR", "Where the lab lies that both are in." },
        { "pid", FLAG_INT, &place->pid, "N",
          "Who asks is this process of this node, in place of a pod of a lab." },
        { "manifests", FLAG_LIST, &objects->manifests, "DIR",
          "Who asks is a pod of this node; this folder of manifests has the objects; repeatable." },
        { "kubeconfig", FLAG_STRING, &objects->kubeconfig, "FILE",
          "The same, and this cluster has the objects; \"\" for kubectl's own choice." },
        { "context", FLAG_STRING, &objects->context, "NAME", "Context of the kubeconfig file." },
        { "master", FLAG_STRING, &objects->master, "URL",
          "The API server's URL, whatever the kubeconfig says." },
        { "service-cluster-ip-range", FLAG_STRING, &objects->range, "CIDR[,CIDR]",
          "Where cluster IPs come from, with --manifests." },
        { "protocol", FLAG_STRING, &o.request.protocol, "tcp|udp",
          "What is sent: a web request, or one datagram to TO:PORT (default tcp)." },
        { "data", FLAG_STRING, &o.request.data, "TEXT",
          "The datagram; without it a DNS query to port 53, a line of text to others." },
        { "as", FLAG_STRING, &o.request.as, "NAME",
          "Whose ways the look-up follows, as in `lookup --as`; without it those of curl's "
          "library, "
          "or glibc's." },
        { "wait", FLAG_INT, &o.request.wait, "SECONDS",
          "How long the request may take (10); with --watch, what counts as no answer (5)." },
        { "output", FLAG_STRING, &o.output, "text|json|html", "How to print." },
    };
    struct err e = { 0 };
    int left = 0;
    log_set_fd(2);
    log_set_level(LOG_WARNING);
    int rc = flags_parse(&cmd_trace, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_ANSWERED;
    if (o.request.wait == -1)
        o.request.wait = o.watch ? WATCH_WAIT_S : REQUEST_WAIT_S;
    objects->follow = o.watch;
    if (rc == 0)
        rc = work(&o, left, argv, &e);
    flag_list_done(&objects->manifests);
    if (rc < 0)
        (void)fprintf(stderr, "signpost trace: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : o.status;
}

const struct command cmd_trace = {
    .name = "trace",
    .args = "NAMESPACE/POD TO[:PORT] | --pid N TO[:PORT] | --watch NAMESPACE/POD",
    .summary = "follow one real request from a pod, and say how far it came",
    .details =
        "Makes one request and observes it: its DNS queries and who answered them, the rules that "
        "its connection attempt met, what the connection table made of it, the pod at which it "
        "arrived, and what came back. In a pod of a running lab it is a web request of an "
        "unmodified curl. With --manifests or --kubeconfig, as root on a node, it is made in the "
        "network of a pod of that node, or of a process with --pid, by signpost itself. It only "
        "looks: the one table of rules that it adds asks for reports of what this request sends, "
        "and goes with it. What cannot be looked at is told as blind.\n\n"
        "With --watch it makes no request, but prints a line for each query and connection of a "
        "pod, "
        "of a lab or of this node, as they come: the name that was looked up, the Service, the pod "
        "behind it, how long it took and what came of it.\n\n"
        "The last line is the verdict: how far the request came, and what ended it.\n\n"
        "Exit status: 0 answered, 1 not answered, 2 trouble.",
    .run = run,
};
