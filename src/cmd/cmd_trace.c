/* signpost trace: one real request, observed from end to end. */
#include "base/err.h"
#include "base/log.h"
#include "base/table.h"
#include "client/way.h"
#include "cmd/commands.h"
#include "cmd/trace_causes.h"
#include "cmd/trace_watch.h"
#include "explain/journey.h"
#include "explain/outcome.h"
#include "lab/lab.h"
#include "lab/place.h"
#include "lab/request.h"

#include <errno.h>
#include <string.h>

#define EXIT_ANSWERED 0
#define EXIT_FAILED   1
#define EXIT_TROUBLE  2

#define WATCH_WAIT_S 5 /* a resolver's shortest time-out */

struct options {
    const char *output, *as;
    long wait; /* 0: not given */
    bool watch;
    long seconds, count;
    struct trace_place_options place;
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

static int show(const struct options *o, const struct journey_report *r)
{
    cleanup(strbuf_done) struct strbuf out = { 0 };
    if (strcmp(o->output, "json") == 0)
        journey_json(r, &out);
    else if (strcmp(o->output, "html") == 0)
        journey_html(r, &out);
    else
        print_text(r);
    if (out.len)
        fwrite(out.p, 1, out.len, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "signpost trace: cannot write: %s\n", strerror(errno));
        return EXIT_TROUBLE;
    }
    return outcome_of(r->seen) == OUTCOME_ANSWERED ? EXIT_ANSWERED : EXIT_FAILED;
}

static int observe(const struct options *o, struct observer *observer, const char *from,
                   const char *to, int *ret, struct err *e)
{
    struct request r;
    struct sightings seen;
    struct journey j = { 0 };
    struct trace_causes causes;
    char verdict[OUTCOME_TEXT_MAX];
    int code = request_make(observer, to, o->as, (unsigned)o->wait, &r, e);
    if (code < 0)
        return code;
    request_tell(&r, &j);
    request_sightings(&r, &seen);
    outcome_text(outcome_of(&seen), &seen, verdict);
    trace_causes_init(&causes);
    trace_causes_find(&causes, &seen, observer->dir, from, to, o->as);
    *ret = show(o, &(struct journey_report){ .journey = &j,
                                             .seen = &seen,
                                             .verdict = verdict,
                                             .causes = causes.items.items,
                                             .n_causes = causes.items.n });
    trace_causes_done(&causes);
    journey_done(&j);
    request_done(&r);
    return 0;
}

static int trace(struct options *o, const char *from, const char *to, int *ret, struct err *e)
{
    char dir[PATH_MAX];
    struct observer observer;
    pid_t lab;
    const char *place = o->place.lab_dir ? o->place.lab_dir : place_default(dir);
    if (trace_place_on_node(&o->place))
        return err_set(e, ERR_INVALID,
                       "--pid, --manifests, --kubeconfig and --master are for --watch");
    const struct way *way;
    if (o->as && way_from_text(o->as, &way, e) < 0)
        return err_wrap(e, "--as");
    if (!*to || strpbrk(to, "/?#@ \t"))
        return err_set(e, ERR_INVALID, "\"%s\": give a name or an address, and :PORT or not", to);
    int code = lab_find(place, &lab, e);
    if (code == 0)
        code = observer_open(&observer, place, from, e);
    if (code < 0)
        return code;
    code = observe(o, &observer, from, to, ret, e);
    observer_done(&observer);
    return code;
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

static int check(struct options *o, struct err *e)
{
    static const char *const outputs[] = { "text", "json", "html", NULL };
    if (!is_one_of(o->output, outputs))
        return err_set(e, ERR_INVALID, "--output %s: give text, json or html", o->output);
    if (o->watch && strcmp(o->output, "html") == 0)
        return err_set(e, ERR_INVALID, "--output html is of one request: leave out --watch");
    if (o->wait < 1 || o->wait > REQUEST_WAIT_MAX_S)
        return err_set(e, ERR_INVALID, "--wait %ld: give 1 to %d seconds", o->wait,
                       REQUEST_WAIT_MAX_S);
    if (!o->watch && (o->seconds || o->count))
        return err_set(e, ERR_INVALID, "--for and --count are of use with --watch only");
    if (o->seconds < 0 || o->count < 0)
        return err_set(e, ERR_INVALID, "--for and --count: give 1 or more, or 0 for no limit");
    return check_place(&o->place, e);
}

static int work(struct options *o, int left, char **argv, int *ret, struct err *e)
{
    int wanted = !o->place.pid + !o->watch, code = check(o, e);
    if (code == 0 && left != wanted)
        code = o->watch ? err_set(e, ERR_INVALID, "give whom to watch: NAMESPACE/POD, or --pid N")
                        : err_set(e, ERR_INVALID,
                                  "give two: who asks, NAMESPACE/POD, and for what, TO[:PORT]");
    if (code < 0)
        return code;
    if (!o->watch)
        return trace(o, argv[0], argv[1], ret, e);
    const struct trace_watch_options w = { o->place, strcmp(o->output, "json") == 0, o->seconds,
                                           o->count, o->wait };
    *ret = EXIT_ANSWERED;
    return trace_watch(&w, o->place.pid ? NULL : argv[0], e);
}

static int run(int argc, char **argv)
{
    struct options o = { .output = "text", .wait = -1, .place.objects.follow = true };
    struct explain_objects_options *objects = &o.place.objects;
    const struct flag flags[] = {
        { "watch", FLAG_BOOL, &o.watch, NULL,
          "Make no request: print a line for each query and connection of the pod, as they come." },
        { "for", FLAG_INT, &o.seconds, "SECONDS", "End --watch after so long." },
        { "count", FLAG_INT, &o.count, "N", "End --watch after so many lines." },
        { "lab-dir", FLAG_STRING, &o.place.lab_dir, "DIR", "Where the lab lies that both are in." },
        { "pid", FLAG_INT, &o.place.pid, "N",
          "Watch the network of this process of this node, in place of a pod of a lab." },
        { "manifests", FLAG_LIST, &objects->manifests, "DIR",
          "Watch a pod of this node, that this folder of manifests has; repeatable." },
        { "kubeconfig", FLAG_STRING, &objects->kubeconfig, "FILE",
          "The same for a pod that this cluster has; \"\" for kubectl's own choice." },
        { "context", FLAG_STRING, &objects->context, "NAME", "Context of the kubeconfig file." },
        { "master", FLAG_STRING, &objects->master, "URL",
          "The API server's URL, whatever the kubeconfig says." },
        { "service-cluster-ip-range", FLAG_STRING, &objects->range, "CIDR[,CIDR]",
          "Where cluster IPs come from, with --manifests." },
        { "as", FLAG_STRING, &o.as, "NAME",
          "Whose ways the look-up follows, as in `lookup --as`; without it those of curl's "
          "library." },
        { "wait", FLAG_INT, &o.wait, "SECONDS",
          "How long the request may take (10); with --watch, what counts as no answer (5)." },
        { "output", FLAG_STRING, &o.output, "text|json|html", "How to print." },
    };
    struct err e = { 0 };
    int left = 0, status = EXIT_TROUBLE;
    log_set_fd(2);
    log_set_level(LOG_WARNING);
    int rc = flags_parse(&cmd_trace, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_ANSWERED;
    if (o.wait == -1)
        o.wait = o.watch ? WATCH_WAIT_S : REQUEST_WAIT_S;
    if (rc == 0)
        rc = work(&o, left, argv, &status, &e);
    flag_list_done(&objects->manifests);
    if (rc < 0)
        (void)fprintf(stderr, "signpost trace: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : status;
}

const struct command cmd_trace = {
    .name = "trace",
    .args = "NAMESPACE/POD TO[:PORT] | --watch NAMESPACE/POD",
    .summary = "follow one real request from a pod, and say how far it came",
    .details =
        "Makes one web request in a pod of a running lab (curl http://TO[:PORT]/) and observes it: "
        "its "
        "DNS queries and who answered them, the rules that its connection attempt met, what the "
        "connection table made of it, the pod at which it arrived, and what came back. It only "
        "looks: "
        "the one table of rules that it adds asks for reports of the client's connection attempts, "
        "and "
        "goes with it.\n\n"
        "With --watch it makes no request, but prints a line for each query and connection of a "
        "pod, "
        "of a lab or of this node, as they come: the name that was looked up, the Service, the pod "
        "behind it, how long it took and what came of it.\n\n"
        "The last line is the verdict: how far the request came, and what ended it.\n\n"
        "Exit status: 0 answered, 1 not answered, 2 trouble.",
    .run = run,
};
