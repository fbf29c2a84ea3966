/* signpost trace: one real request, observed from end to end. */
#include "base/err.h"
#include "base/table.h"
#include "cmd/commands.h"
#include "cmd/trace_causes.h"
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

struct options {
    const char *lab_dir, *output;
    long wait;
};

static void print_text(const struct journey_report *r)
{
    char cost[OUTCOME_TEXT_MAX];
    enum outcome o = outcome_of(r->seen);
    journey_print(r->journey, "One request, as it was observed", stdout);
    putchar('\n');
    tone_line(stdout, o == OUTCOME_ANSWERED ? TABLE_GOOD : TABLE_BAD, "%s", r->verdict);
    for (size_t i = 0; i < r->n_causes; i++)
        tone_line(stdout, TABLE_WARN, "by the objects: %s%s%s", r->causes[i].text,
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
    int code = request_make(observer, to, (unsigned)o->wait, &r, e);
    if (code < 0)
        return code;
    request_tell(&r, &j);
    request_sightings(&r, &seen);
    outcome_text(outcome_of(&seen), &seen, verdict);
    trace_causes_init(&causes);
    if (outcome_of(&seen) != OUTCOME_ANSWERED)
        trace_causes_find(&causes, observer->dir, from, to);
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

static int trace(const struct options *o, const char *from, const char *to, int *ret, struct err *e)
{
    static const char *const outputs[] = { "text", "json", "html", NULL };
    char dir[PATH_MAX];
    struct observer observer;
    pid_t lab;
    const char *place = o->lab_dir ? o->lab_dir : place_default(dir);
    size_t i = 0;
    while (outputs[i] && strcmp(outputs[i], o->output) != 0)
        i++;
    if (!outputs[i])
        return err_set(e, ERR_INVALID, "--output %s: give text, json or html", o->output);
    if (o->wait < 1 || o->wait > REQUEST_WAIT_MAX_S)
        return err_set(e, ERR_INVALID, "--wait %ld: give 1 to %d seconds", o->wait,
                       REQUEST_WAIT_MAX_S);
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

static int run(int argc, char **argv)
{
    struct options o = { .output = "text", .wait = REQUEST_WAIT_S };
    const struct flag flags[] = {
        { "lab-dir", FLAG_STRING, &o.lab_dir, "DIR", "Where the lab lies that both are in." },
        { "wait", FLAG_INT, &o.wait, "SECONDS", "How long the request may take." },
        { "output", FLAG_STRING, &o.output, "text|json|html", "How to print." },
    };
    struct err e = { 0 };
    int left = 0, status = EXIT_TROUBLE;
    int rc = flags_parse(&cmd_trace, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_ANSWERED;
    if (rc == 0 && left != 2)
        rc = err_set(&e, ERR_INVALID, "give two: who asks, NAMESPACE/POD, and for what, TO[:PORT]");
    if (rc == 0)
        rc = trace(&o, argv[0], argv[1], &status, &e);
    if (rc < 0)
        (void)fprintf(stderr, "signpost trace: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : status;
}

const struct command cmd_trace = {
    .name = "trace",
    .args = "NAMESPACE/POD TO[:PORT]",
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
        "The last line is the verdict: how far the request came, and what ended it.\n\n"
        "Exit status: 0 answered, 1 not answered, 2 trouble.",
    .run = run,
};
