/* signpost lab: a cluster of network namespaces on this machine. */
#include "base/str.h"
#include "base/table.h"
#include "config/flags.h"
#include "lab/backend.h"
#include "lab/breakage.h"
#include "lab/demo.h"
#include "lab/enter.h"
#include "lab/lab.h"
#include "lab/place.h"
#include "lab/report.h"
#include "lab/request.h"
#include "source/kubeconfig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define WAIT_MAX 3600 /* seconds */

extern const struct command cmd_lab;

struct options {
    const char *dir, *node, *name, *kubeconfig;
    long port, wait;
    bool help;
};

static void show_progress(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "  %s\n", line);
}

static int source_folder(int argc, char **argv, char out[PATH_MAX], struct err *e)
{
    if (argc != 1)
        return err_set(e, ERR_INVALID, "give one folder of manifests");
    if (!realpath(argv[0], out))
        return err_set(e, -errno, "%s: %s", argv[0], strerror(errno));
    return 0;
}

static int start(const struct options *o, struct lab_options *lab, struct err *e)
{
    struct arena a;
    struct api_config api;
    char file[PATH_MAX];
    int code = 0;
    arena_init(&a, 4096);
    if (o->kubeconfig && !realpath(o->kubeconfig, file))
        code = err_set(e, -errno, "--kubeconfig %s: %s", o->kubeconfig, strerror(errno));
    else if (o->kubeconfig)
        code = kubeconfig_load((const char *[]){ file }, 1, NULL, &a, &api, e);
    lab->api = o->kubeconfig ? &api : NULL;
    if (code == 0)
        code = lab_start(lab, e);
    arena_done(&a);
    return code;
}

static int run_up(const struct options *o, int argc, char **argv, struct err *e)
{
    char source[PATH_MAX], path[PATH_MAX], kubectl[PATH_MAX + 64] = "";
    struct lab_options lab = { .dir = o->dir, .source = source, .progress = show_progress };
    lab.ready_s = o->wait;
    if (o->wait < 1 || o->wait > WAIT_MAX)
        return err_set(e, ERR_INVALID, "--wait %ld: give 1 to %d seconds", o->wait, WAIT_MAX);
    int code = source_folder(argc, argv, source, e);
    if (code == 0)
        code = start(o, &lab, e);
    if (code == 0)
        code = lab_wait_names(o->dir, e);
    if (code < 0)
        return code;
    if (report_kubeconfig(o->dir, path))
        snprintf(kubectl, sizeof kubectl, "  kubectl --kubeconfig %s get pods -A\n", path);
    printf("The lab runs, in %s. Try:\n"
           "  signpost lab status\n"
           "  signpost lab exec NAMESPACE/POD -- getent hosts NAME\n"
           "  signpost lab walk NAMESPACE/POD NAME\n"
           "  signpost lookup NAME --pod NAMESPACE/POD\n"
           "%s  signpost lab down\n",
           o->dir, kubectl);
    return 0;
}

static int run_walk(const struct options *o, int argc, char **argv, struct err *e)
{
    struct observer observer;
    pid_t lab;
    if (argc != 2 || !strchr(argv[0], '/'))
        return err_set(e, ERR_INVALID,
                       "give a pod and the name of a Service with a web server behind it: "
                       "signpost lab walk NAMESPACE/POD NAME");
    int code = lab_find(o->dir, &lab, e);
    if (code == 0)
        code = observer_open(&observer, o->dir, argv[0], e);
    if (code < 0)
        return code;
    code = request_show(&observer, argv[1], stdout, e);
    observer_done(&observer);
    return code;
}

static void list_failures(const char *dir, bool running)
{
    struct failures all;
    struct table t;
    failures_read(&all);
    table_init(&t, "Failures that a lab can have");
    table_column(&t, "name", TABLE_LEFT);
    table_column(&t, "what is wrong", TABLE_LEFT);
    for (size_t i = 0; i < all.n; i++) {
        bool there = running && breakage_is_there(dir, &all.items[i]);
        table_cell(&t, there ? TABLE_BAD : TABLE_STRONG, "%s%s", all.items[i].name,
                   there ? " (there)" : "");
        table_cell(&t, TABLE_PLAIN, "%s", all.items[i].summary);
    }
    table_print(&t, stdout);
    table_done(&t);
    failures_done(&all);
}

static int break_it(const char *dir, const struct failure *f, struct err *e)
{
    cleanup_free char *to = NULL;
    int code = breakage_make(dir, f, &to, e);
    if (code == 0)
        printf("Now %s.\nTry:\n"
               "  signpost trace %s%s%s%s %s\n"
               "  signpost lab mend %s\n",
               f->summary, f->as ? "--as " : "", f->as ? f->as : "", f->as ? " " : "", f->from, to,
               f->name);
    return code;
}

static int run_failure(const struct options *o, int argc, char **argv,
                       int (*act)(const char *dir, const struct failure *f, struct err *e),
                       struct err *e)
{
    struct failures all;
    const struct failure *f;
    pid_t lab;
    if (argc != 1)
        return err_set(e, ERR_INVALID,
                       "give the name of one failure; \"signpost lab break\" lists "
                       "them");
    int code = lab_find(o->dir, &lab, e);
    if (code < 0)
        return code;
    failures_read(&all);
    code = failures_find(&all, argv[0], &f, e);
    if (code == 0)
        code = act(o->dir, f, e);
    failures_done(&all);
    return code;
}

static int run_break(const struct options *o, int argc, char **argv, struct err *e)
{
    pid_t lab;
    if (argc)
        return run_failure(o, argc, argv, break_it, e);
    list_failures(o->dir, lab_find(o->dir, &lab, NULL) == 0);
    return 0;
}

static int run_mend(const struct options *o, int argc, char **argv, struct err *e)
{
    return run_failure(o, argc, argv, breakage_mend, e);
}

static int run_down(const struct options *o, int argc, char **argv, struct err *e)
{
    (void)argc, (void)argv;
    return lab_stop(o->dir, e);
}

static int find_target(const struct options *o, const char *pod, pid_t *ret, struct err *e)
{
    return o->node ? place_node_pid(o->dir, o->node, ret, e) : place_pod_pid(o->dir, pod, ret, e);
}

static int run_exec(const struct options *o, int argc, char **argv, struct err *e)
{
    int skip = o->node ? 0 : 1, status;
    pid_t lab, target, child;
    if (skip < argc && str_eq(argv[skip], "--"))
        skip++;
    if (argc <= skip)
        return err_set(e, ERR_INVALID,
                       "give a pod and a command: signpost lab exec NAMESPACE/POD -- "
                       "CMD ARGS..., or --node NODE -- CMD ARGS...");
    int code = lab_find(o->dir, &lab, e);
    if (code == 0)
        code = find_target(o, argv[0], &target, e);
    if (code < 0)
        return code;
    child = enter_start(target, (const char *const *)argv + skip, (int[]){ -1, -1, -1 }, e);
    if (child < 0)
        return (int)child;
    signal(SIGINT, SIG_IGN); /* the program inside decides what ^C means */
    signal(SIGQUIT, SIG_IGN);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    exit(enter_status(status));
}

static int run_status(const struct options *o, int argc, char **argv, struct err *e)
{
    (void)argc, (void)argv;
    pid_t lab;
    int code = lab_find(o->dir, &lab, e);
    return code < 0 ? code : report_status(o->dir, stdout, e);
}

static int run_demo(const struct options *o, int argc, char **argv, struct err *e)
{
    (void)o;
    char source[PATH_MAX];
    int code = source_folder(argc, argv, source, e);
    return code < 0 ? code : demo_run(source, e);
}

static int run_backend(const struct options *o, int argc, char **argv, struct err *e)
{
    (void)argc, (void)argv;
    if (o->port < 1 || o->port > 65535)
        return err_set(e, ERR_INVALID, "--port %ld: give 1 to 65535", o->port);
    return backend_run(&(struct backend_options){ (uint16_t)o->port, o->name }, e);
}

static const struct verb {
    const char *name;
    int (*run)(const struct options *o, int argc, char **argv, struct err *e);
} verbs[] = { { "up", run_up },         { "down", run_down }, { "exec", run_exec },
              { "status", run_status }, { "walk", run_walk }, { "demo", run_demo },
              { "break", run_break },   { "mend", run_mend }, { "backend", run_backend } };

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (str_eq(verbs[i].name, name))
            return &verbs[i];
    }
    return NULL;
}

/* Options end at the first "--" and at a pod's name, so that those of a command inside stay its
 * own: what comes from there on is not shown to the parser. */
static int own_arguments(int argc, char **argv)
{
    bool exec = argc > 1 && str_eq(argv[1], "exec");
    for (int i = 2; i < argc; i++) {
        if (str_eq(argv[i], "--"))
            return i;
        bool takes_value = str_eq(argv[i], "--dir") || str_eq(argv[i], "-dir") ||
                           str_eq(argv[i], "--node") || str_eq(argv[i], "-node");
        if (exec && argv[i][0] != '-')
            return i;
        i += takes_value;
    }
    return argc;
}

static int act(struct options *o, int argc, char **argv, struct err *e)
{
    const struct flag flags[] = {
        { "dir", FLAG_STRING, &o->dir, "DIR", "Where the lab's files lie." },
        { "node", FLAG_STRING, &o->node, "NODE",
          "exec: in this node (or \"outside\") in place of a pod." },
        { "kubeconfig", FLAG_STRING, &o->kubeconfig, "FILE",
          "up: write all objects to this API server, too." },
        { "wait", FLAG_INT, &o->wait, "SECONDS", "up: how long for all pods to be ready; 60." },
        { "port", FLAG_INT, &o->port, "N", "backend: the port to listen on." },
        { "name", FLAG_STRING, &o->name, "NAME", "backend: what it calls itself; $HOSTNAME." },
    };
    int own = own_arguments(argc, argv), left = 0;
    int code = flags_parse(&cmd_lab, flags, ARRAY_SIZE(flags), own, argv, &left, e);
    if (code)
        return code;
    const struct verb *v = left ? find_verb(argv[0]) : NULL;
    if (!v)
        return err_set(
            e, ERR_INVALID, "%s%s%s: up, down, exec, status, walk, demo, break, mend or backend",
            left ? "there is no \"" : "what shall it do", left ? argv[0] : "", left ? "\"" : "");
    memmove(argv + left, argv + own, (size_t)(argc - own) * sizeof *argv);
    argv[left + argc - own] = NULL;
    return v->run(o, left + argc - own - 1, argv + 1, e);
}

static int run(int argc, char **argv)
{
    char dir[PATH_MAX];
    struct options o = { .dir = place_default(dir), .port = 8080, .wait = LAB_READY_S };
    struct err e = { 0 };
    int code = act(&o, argc, argv, &e);
    if (code < 0)
        fprintf(stderr, "signpost lab: %s\n", e.text);
    return code < 0;
}

const struct command cmd_lab = {
    .name = "lab",
    .args = "up DIR | down | exec NAMESPACE/POD -- CMD... | status | walk NAMESPACE/POD NAME | "
            "demo DIR | break [NAME] | mend NAME",
    .summary = "a mini-cluster in network namespaces, without root",
    .details =
        "\"up\" makes nodes and pods of a folder of manifests: each is a network namespace, inside "
        "one user, network, mount and PID namespace of the lab's own, so it needs no root and "
        "cannot "
        "touch the network of this machine. Containers are programs of this machine; \"image\" "
        "counts "
        "only where there is no \"command\". The folder is followed: a Pod whose manifest goes "
        "ends, "
        "and what is added appears.\n\n"
        "Where a Pod of the folder is an API server (as in examples/shop, by \"signpost up\"), the "
        "objects are published there, and a kubectl outside reaches it by the file that "
        "\"status\" names (docs/cluster.md).\n\n"
        "With --kubeconfig the objects are also created, changed and deleted on an API server, "
        "with the "
        "status of pods as a kubelet writes it; the server must be reachable from the lab, so it "
        "is a "
        "pod of the lab itself as a rule (docs/cluster.md).\n\n"
        "\"exec\" runs a program inside a pod, or a node with --node. \"walk\" makes one web "
        "request "
        "in a pod and shows every step of its way that was observed. \"demo\" shows a request on "
        "its "
        "whole way from a name to a pod, with what was observed at each step, and ends with "
        "failure "
        "when a step was not seen.\n\n"
        "\"break\" gives the running lab a failure that everyone meets, in a namespace of its own, "
        "and "
        "says which request shows it; without a name it lists them. \"mend\" takes it away "
        "again.\n\n"
        "A sub-folder \"outside\" with a Corefile and a hosts file is the world outside: the name "
        "server that the nodes use, and web servers at the addresses in hosts.",
    .run = run,
};
