/* signpost lookup: a client's look-up, each query in order, with timing. */
#include "base/err.h"
#include "client/stub.h"
#include "client/textfile.h"
#include "client/trace.h"
#include "cmd/commands.h"
#include "kernel/netns.h"
#include "lab/place.h"
#include "wire/rr.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#define EXIT_FOUND     0
#define EXIT_NOT_FOUND 1
#define EXIT_TROUBLE   2
#define FILE_MAX       (16 << 20) /* bytes of resolv.conf or hosts */
#define HOSTNAME_SIZE  256

struct options {
    const char *type, *resolv_conf, *hosts, *as, *output, *pod, *lab_dir;
    long pid;
    /* made of them */
    const struct way *way;
    uint16_t rr_type;
    bool json;
};

/* Files that the user named are read where the user is, others where the look-up happens. */
struct files {
    const char *resolv_conf, *hosts, *nsswitch; /* texts; NULL: not there */
};

static int read_named(const struct options *o, struct files *f, struct arena *a, struct err *e)
{
    int rc = 0;
    if (o->resolv_conf)
        rc = textfile_read(o->resolv_conf, FILE_MAX, a, &f->resolv_conf, NULL, e);
    if (rc == 0 && o->hosts)
        rc = textfile_read(o->hosts, FILE_MAX, a, &f->hosts, NULL, e);
    return rc;
}

/* A file that does not exist is no mistake here: the C library goes on without it. */
static int read_default(const char *path, const char **ret_text, struct arena *a, struct err *e)
{
    int rc = textfile_read(path, FILE_MAX, a, ret_text, NULL, e);
    return rc == -ENOENT ? 0 : rc;
}

static int read_defaults(const struct options *o, struct files *f, struct arena *a, struct err *e)
{
    int rc = 0;
    if (!o->resolv_conf)
        rc = read_default("/etc/resolv.conf", &f->resolv_conf, a, e);
    if (rc == 0 && !o->hosts)
        rc = read_default("/etc/hosts", &f->hosts, a, e);
    if (rc == 0)
        rc = read_default("/etc/nsswitch.conf", &f->nsswitch, a, e);
    return rc;
}

/* Goes where that process is: its network, its files (its root folder, too), its host name. */
static int enter_process(pid_t pid, struct err *e)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
    cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, -errno, "process %d: its files cannot be reached: %s", (int)pid,
                       strerror(errno));
    int rc = netns_join(pid, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS);
    if (rc < 0)
        return err_set(e, rc, "process %d: its namespaces cannot be entered: %s", (int)pid,
                       err_str(rc));
    if (fchdir(root) < 0 || chroot(".") < 0)
        return err_set(e, -errno, "process %d: its root folder cannot be entered: %s", (int)pid,
                       strerror(errno));
    return 0;
}

static int enter(const struct options *o, struct err *e)
{
    char dir[PATH_MAX];
    pid_t pid = (pid_t)o->pid;
    if (o->pod) {
        int rc = place_pod_pid(o->lab_dir ? o->lab_dir : place_default(dir), o->pod, &pid, e);
        if (rc < 0)
            return rc;
    }
    return pid ? enter_process(pid, e) : 0;
}

static int read_options(struct options *o, struct err *e)
{
    int rc = way_from_text(o->as, &o->way, e);
    if (rc < 0)
        return rc;
    o->json = str_eq(o->output, "json");
    if (!o->json && !str_eq(o->output, "text"))
        return err_set(e, ERR_INVALID, "--output %s: give text or json", o->output);
    o->rr_type = STUB_ADDRESS;
    if (!str_eq(o->type, "address") && rr_type_from_text(o->type, &o->rr_type) < 0)
        return err_set(e, ERR_INVALID,
                       "--type %s: no such record type; give A, SRV, ... or "
                       "\"address\" for A and AAAA",
                       o->type);
    if (o->pid < 0 || o->pid > INT_MAX)
        return err_set(e, ERR_INVALID, "--pid %ld: no process has this number", o->pid);
    if (o->pid && o->pod)
        return err_set(e, ERR_INVALID, "give --pid or --pod, not both");
    if (o->lab_dir && !o->pod)
        return err_set(e, ERR_INVALID, "--lab-dir is of use with --pod only");
    return 0;
}

/* The environment counts only where it is that of the client looked at. */
static struct stub_env environment(const struct options *o, char hostname[HOSTNAME_SIZE])
{
    bool mine = !o->pid && !o->pod;
    struct stub_env env = { .hostname = hostname };
    if (gethostname(hostname, HOSTNAME_SIZE - 1) < 0)
        hostname[0] = '\0';
    hostname[HOSTNAME_SIZE - 1] = '\0';
    if (mine) {
        env.res_options = getenv("RES_OPTIONS");
        env.localdomain = getenv("LOCALDOMAIN");
        if (getenv("HOSTALIASES"))
            fprintf(stderr, "signpost lookup: warning: HOSTALIASES is set, but not followed\n");
    }
    return env;
}

static int show(const struct options *o, const struct trace *t)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (o->json) {
        trace_json(t, &b);
        fwrite(b.p, 1, b.len, stdout);
    } else {
        trace_print(t, stdout);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "signpost lookup: cannot write: %s\n", strerror(errno));
        return EXIT_TROUBLE;
    }
    return t->result->error ? EXIT_NOT_FOUND : EXIT_FOUND;
}

static int look_up(struct options *o, const char *name, struct arena *a, struct err *e)
{
    char hostname[HOSTNAME_SIZE];
    struct files files = { 0 };
    struct stub_conf conf;
    struct stub stub;
    struct stub_result result;

    int rc = read_options(o, e);
    if (rc == 0)
        rc = read_named(o, &files, a, e);
    if (rc == 0)
        rc = enter(o, e);
    if (rc == 0)
        rc = read_defaults(o, &files, a, e);
    if (rc < 0)
        return rc;
    struct stub_env env = environment(o, hostname);
    o->way->read_conf(files.resolv_conf, &env, a, &conf);
    for (size_t i = 0; i < conf.ignored.n; i++)
        fprintf(stderr, "signpost lookup: warning: resolv.conf: without effect: %s\n",
                conf.ignored.items[i]);
    stub_init(&stub, o->way, &conf, files.hosts, files.nsswitch);
    rc = stub_lookup(&stub, name, o->rr_type, a, &result, e);
    if (rc < 0)
        return rc;
    return show(o, &(struct trace){ name, o->as, o->rr_type, &conf, &result });
}

static int run(int argc, char **argv)
{
    struct options o = { .type = "address", .as = "glibc", .output = "text" };
    const struct flag flags[] = {
        { "type", FLAG_STRING, &o.type, "TYPE",
          "What to ask for: a record type, or \"address\" for A and AAAA as getaddrinfo() does." },
        { "as", FLAG_STRING, &o.as, "NAME",
          "Whose ways to follow: glibc, musl, musl-1.2.3, go or c-ares." },
        { "resolv-conf", FLAG_STRING, &o.resolv_conf, "FILE",
          "Read this file in place of /etc/resolv.conf." },
        { "hosts", FLAG_STRING, &o.hosts, "FILE", "Read this file in place of /etc/hosts." },
        { "pid", FLAG_INT, &o.pid, "N", "Look up where this process is: its network and files." },
        { "pod", FLAG_STRING, &o.pod, "NAMESPACE/NAME", "Look up inside this pod of a lab." },
        { "lab-dir", FLAG_STRING, &o.lab_dir, "DIR", "Where the lab lies, with --pod." },
        { "output", FLAG_STRING, &o.output, "text|json", "How to print." },
    };
    struct err e = { 0 };
    struct arena a;
    int left = 0;
    int rc = flags_parse(&cmd_lookup, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_FOUND;
    if (rc == 0 && left != 1)
        rc = err_set(&e, ERR_INVALID, "give one name to look up, not %d", left);
    arena_init(&a, 64 << 10);
    if (rc == 0)
        rc = look_up(&o, argv[0], &a, &e);
    arena_done(&a);
    if (rc < 0)
        fprintf(stderr, "signpost lookup: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : rc;
}

const struct command cmd_lookup = {
    .name = "lookup",
    .args = "NAME",
    .summary = "look up a name as a client does, and show each query",
    .details =
        "Reads resolv.conf, hosts and nsswitch.conf as the client's resolver does, walks the "
        "search list in its order, and prints each query that leaves with its server, answer and "
        "time, then the result and how many queries were in vain.\n\n"
        "Of nsswitch.conf the services files and dns are followed. Over TCP, where glibc waits as "
        "long as the kernel does, 10 seconds are the limit. Addresses are shown in the order of "
        "the answers.\n\n"
        "Exit status: 0 found, 1 not found, 2 trouble.",
    .run = run,
};
