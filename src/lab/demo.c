#include "lab/demo.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/table.h"
#include "lab/enter.h"
#include "lab/lab.h"
#include "lab/names.h"
#include "lab/place.h"
#include "lab/report.h"
#include "lab/request.h"
#include "lab/spread.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CLIENT     "shop/foo"
#define REQUESTS   300
#define FEW        60           /* requests of a look at what changed */
#define ROUND      40           /* by chance, one in ten million rounds misses a pod of three */
#define PATIENT    "1"          /* seconds for a connection, as curl takes them */
#define IMPATIENT  "0.1"        /* for what is asked again and again until it is there */
#define SOON_NS    3000000000LL /* a cache may have kept for a second that there was none */
#define LATER_NS   10000000000LL
#define TMPDIR_MAX 60 /* bytes: the name of a socket in the laboratory has 108 in all */

struct demo {
    char root[PATH_MAX], dir[PATH_MAX], source[PATH_MAX];
    pid_t client;
};

static void headline(const char *text)
{
    putchar('\n');
    tone_line(stdout, TABLE_STRONG, "== %s", text);
    fflush(stdout);
}

static void show_progress(void *ctx, const char *line)
{
    (void)ctx;
    tone_line(stdout, TABLE_DIM, "   %s", line);
    fflush(stdout);
}

/* The folder is changed while the demonstration runs, so it works on a copy. */
static const char *copy_from, *copy_to;

static int copy_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    char to[PATH_MAX];
    (void)ftw;
    place_path(to, copy_to, "%s", path + strlen(copy_from));
    if (flag == FTW_D)
        return place_mkdir(to, 0755);
    if (flag != FTW_F)
        return 0;
    cleanup_free char *text = place_read(path, (size_t)st->st_size + 1);
    return text ? place_write(to, text, (size_t)st->st_size) : -errno;
}

static int copy_folder(const char *from, const char *to, struct err *e)
{
    copy_from = from;
    copy_to = to;
    int code = nftw(from, copy_one, 16, FTW_PHYS);
    return code < 0 ? err_set(e, code, "cannot copy %s: %s", from, strerror(-code)) : 0;
}

static int start_lab(struct demo *d, const char *source, struct err *e)
{
    struct lab_options lab = { .dir = d->dir, .source = d->source, .mine = true };
    lab.progress = show_progress;
    int64_t start = clock_ns();
    int code = copy_folder(source, d->source, e);
    if (code == 0)
        code = lab_start(&lab, e);
    if (code < 0)
        return code;
    tone_line(stdout, TABLE_DIM, "   all ready after %.2f s", (double)(clock_ns() - start) / 1e9);
    code = report_status(d->dir, stdout, e);
    return code < 0 ? code : place_pod_pid(d->dir, CLIENT, &d->client, e);
}

/* Until the proxies have taken in what the pods' readiness changed last: the first answer. */
static int wait_answer(const struct demo *d, const char *name, int64_t within_ns, int64_t *ret_ns,
                       struct err *e)
{
    int64_t start = clock_ns();
    struct spread s = { .n = 0 };
    for (int64_t now = start; now - start < within_ns; now = clock_ns()) {
        int code = spread_measure(d->client, name, 1, IMPATIENT, &s, e);
        if (code < 0)
            return code;
        if (s.answered) {
            *ret_ns = clock_ns() - start;
            return 0;
        }
        usleep(10000);
    }
    return err_set(e, -ETIMEDOUT, "http://%s/ gave no answer within %lld s", name,
                   (long long)(within_ns / 1000000000));
}

static int show_command(const struct demo *d, const char *const *argv, struct err *e)
{
    struct ran r;
    int code = enter_run(d->client, argv, LATER_NS, &r, e);
    if (code < 0)
        return code;
    printf("$ signpost lab exec %s --", CLIENT);
    for (const char *const *arg = argv; *arg; arg++)
        printf(" %s", *arg);
    printf("\n%s", r.out.p);
    if (r.status)
        code = err_set(e, ERR_REFUSED, "%s ended with %d: %s", argv[0], r.status, r.err.p);
    ran_done(&r);
    return code;
}

static int show_client(const struct demo *d, struct err *e)
{
    static const char *const getent[] = { "getent", "hosts", "bar", NULL };
    static const char *const curl[] = { "curl", "-sS", "http://bar/", NULL };
    int code = show_command(d, getent, e);
    return code < 0 ? code : show_command(d, curl, e);
}

static int show_spread(const struct demo *d, const char *title, const char *const *pods,
                       unsigned requests, struct err *e)
{
    struct spread s;
    char text[200];
    int code = spread_measure(d->client, "bar", requests, PATIENT, &s, e);
    if (code < 0)
        return code;
    snprintf(text, sizeof text, "%s: %u requests to http://bar/ in %.2f s", title, requests,
             (double)s.ns / 1e9);
    spread_print(&s, text, stdout);
    code = spread_check(&s, requests, pods, e);
    return code < 0 ? err_wrap(e, "%s", title) : 0;
}

/* Requests in small rounds until none reaches the pod any more. */
static int wait_without(const struct demo *d, const char *pod, const char *what, int64_t start_ns,
                        struct err *e)
{
    struct spread s;
    uint64_t failed = 0;
    do {
        int code = spread_measure(d->client, "bar", ROUND, PATIENT, &s, e);
        if (code < 0)
            return code;
        failed += s.failed;
        if (!s.failed && !spread_of(&s, pod)) {
            printf("   %s: within %.0f ms no request reaches it any more, %llu failed on the way\n",
                   what, (double)(clock_ns() - start_ns) / 1e6, (unsigned long long)failed);
            return 0;
        }
    } while (clock_ns() - start_ns < LATER_NS);
    return err_set(e, -ETIMEDOUT, "%s: requests still reach %s after %lld s", what, pod,
                   LATER_NS / 1000000000);
}

static int remove_pod(const struct demo *d, struct err *e)
{
    static const char *const left[] = { "bar-1", "bar-3", NULL };
    char path[PATH_MAX];
    if (unlink(place_path(path, d->source, "shop/bar-2.yaml")) < 0)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    int code = wait_without(d, "bar-2", "bar-2's manifest was removed", clock_ns(), e);
    return code < 0 ? code : show_spread(d, "without bar-2", left, REQUESTS, e);
}

static int run_in_pod(const struct demo *d, const char *pod, const char *const *argv, struct err *e)
{
    pid_t pid;
    struct ran r;
    int code = place_pod_pid(d->dir, pod, &pid, e);
    if (code == 0)
        code = enter_run(pid, argv, LATER_NS, &r, e);
    if (code < 0)
        return code;
    if (r.status)
        code = err_set(e, ERR_REFUSED, "%s in pod %s ended with %d: %s", argv[0], pod, r.status,
                       r.err.p);
    ran_done(&r);
    return code;
}

static int make_unready(const struct demo *d, struct err *e)
{
    static const char *const touch[] = { "touch", "/tmp/unready", NULL };
    static const char *const left[] = { "bar-1", NULL };
    int code = run_in_pod(d, "shop/bar-3", touch, e);
    if (code == 0)
        code = wait_without(d, "bar-3", "bar-3 says that it is not ready (probed once a second)",
                            clock_ns(), e);
    return code < 0 ? code : show_spread(d, "bar-3 not ready", left, FEW, e);
}

static int wait_with(const struct demo *d, const char *pod, const char *what, struct err *e)
{
    struct spread s;
    int64_t start = clock_ns();
    do {
        int code = spread_measure(d->client, "bar", ROUND, PATIENT, &s, e);
        if (code < 0)
            return code;
        if (spread_of(&s, pod)) {
            printf("   %s: requests reach it after %.0f ms\n", what,
                   (double)(clock_ns() - start) / 1e6);
            return 0;
        }
    } while (clock_ns() - start < LATER_NS);
    return err_set(e, -ETIMEDOUT, "%s: no request reaches %s after %lld s", what, pod,
                   LATER_NS / 1000000000);
}

static int make_ready(const struct demo *d, struct err *e)
{
    static const char *const remove[] = { "rm", "/tmp/unready", NULL };
    int code = run_in_pod(d, "shop/bar-3", remove, e);
    return code < 0 ? code : wait_with(d, "bar-3", "bar-3 is ready again", e);
}

static int add_service(const struct demo *d, struct err *e)
{
    static const char text[] = "apiVersion: v1\n"
                               "kind: Service\n"
                               "metadata:\n"
                               "  name: fresh\n"
                               "  namespace: shop\n"
                               "spec:\n"
                               "  selector:\n"
                               "    app: bar\n"
                               "  ports:\n"
                               "    - port: 80\n"
                               "      targetPort: http\n";
    char path[PATH_MAX];
    int64_t ns;
    int code = place_write(place_path(path, d->source, "shop/fresh.yaml"), text, sizeof text - 1);
    if (code < 0)
        return err_set(e, code, "%s: %s", path, strerror(-code));
    code = wait_answer(d, "fresh", SOON_NS, &ns, e);
    if (code < 0)
        return err_wrap(e, "a new Service");
    printf("   Service shop/fresh, new in the folder: resolved and answered after %.0f ms\n",
           (double)ns / 1e6);
    return 0;
}

static int watch(struct demo *d, struct err *e)
{
    struct observer o;
    headline("The walk");
    int code = observer_open(&o, d->dir, CLIENT, e);
    if (code < 0)
        return code;
    code = request_show(&o, "bar", stdout, e);
    if (code == 0) {
        headline("Names");
        code = names_show(&o, stdout, e);
    }
    observer_done(&o);
    return code;
}

static int change(struct demo *d, struct err *e)
{
    static const char *const all[] = { "bar-1", "bar-2", "bar-3", NULL };
    headline("The spread");
    int code = show_spread(d, "three pods", all, REQUESTS, e);
    if (code == 0)
        headline("Changes, without a restart");
    if (code == 0)
        code = remove_pod(d, e);
    if (code == 0)
        code = make_unready(d, e);
    if (code == 0)
        code = make_ready(d, e);
    return code < 0 ? code : add_service(d, e);
}

static int run(struct demo *d, const char *source, struct err *e)
{
    int64_t ns;
    headline("A lab from a folder of manifests");
    int code = start_lab(d, source, e);
    if (code == 0)
        code = wait_answer(d, "bar", LATER_NS, &ns, e);
    if (code == 0) {
        headline("A client that knows nothing of all this");
        code = show_client(d, e);
    }
    if (code == 0)
        code = watch(d, e);
    if (code == 0)
        code = change(d, e);
    return code;
}

/* In a process of its own, because it moves into the lab's namespaces and may be interrupted:
 * whoever started it is left to clear up. What went wrong goes through `tell`. */
static noreturn_fn void run_apart(struct demo *d, const char *source, int tell)
{
    struct err e = { 0 };
    int64_t start = clock_ns();
    int code = run(d, source, &e);
    if (code == 0) {
        headline("Done");
        printf("   every step was observed; the whole took %.1f s\n",
               (double)(clock_ns() - start) / 1e9);
    }
    if (fflush(stdout) != 0)
        code = err_set(&e, -errno, "cannot write: %s", strerror(errno));
    if (code < 0)
        dprintf(tell, "%s", e.text);
    _exit(code < 0);
}

static int wait_for(pid_t pid, int told, struct err *e)
{
    char text[sizeof e->text] = "";
    int status = 0;
    ssize_t n = read(told, text, sizeof text - 1);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (n > 0)
        return err_set(e, ERR_REFUSED, "%s", text);
    if (WIFSIGNALED(status))
        return err_set(e, ERR_REFUSED, "the demonstration was ended by signal %d",
                       WTERMSIG(status));
    return WEXITSTATUS(status) ? err_set(e, ERR_REFUSED, "the demonstration failed") : 0;
}

/* In $TMPDIR, or in /tmp when that is too long. */
static int make_folder(struct demo *d, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || tmp[0] != '/' || strlen(tmp) > TMPDIR_MAX)
        tmp = "/tmp";
    snprintf(d->root, sizeof d->root, "%s/signpost-demo-XXXXXX", tmp);
    if (!mkdtemp(d->root))
        return err_set(e, -errno, "%s: %s", d->root, strerror(errno));
    place_path(d->dir, d->root, "lab");
    place_path(d->source, d->root, "manifests");
    return 0;
}

int demo_run(const char *source, struct err *e)
{
    struct demo d = { .root = "" };
    int told[2];
    int code = make_folder(&d, e);
    if (code < 0)
        return code;
    if (pipe2(told, O_CLOEXEC) < 0)
        return err_set(e, -errno, "%s", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        run_apart(&d, source, told[1]);
    /* ^C ends the demonstration; this process sees it end. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    close(told[1]);
    code = pid < 0 ? err_set(e, -errno, "cannot start a process: %s", strerror(errno))
                   : wait_for(pid, told[0], e);
    close(told[0]);
    lab_stop(d.dir, NULL);
    place_remove(d.root);
    return code;
}
