#include "source/exec_plugin.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "kernel/runner.h"

#include <errno.h>
#include <string.h>

#define YOUNG_NS 1000000000LL

struct exec_plugin {
    char *key; /* what it is known by */
    struct exec_plugin *next;
    struct arena arena;
    struct api_config config;
    struct api_exec exec;
    struct runner *runner;
    struct runner_reply *reply;
    uv_poll_t *poll; /* while it runs and somebody waits */
    bool running;
    struct exec_waiter *waiters;
    struct exec_credential credential;
    bool have;
    int64_t since_ns;
    metric good, bad; /* runs */
};

static struct exec_plugin *plugins; /* the loop's thread */

/* ---- what they are known by ---- */

static void add_word(struct strbuf *b, const char *text)
{
    strbuf_printf(b, "%zu:%s", text ? strlen(text) : 0, text ? text : "");
}

static char *key_of(const struct api_config *c)
{
    struct strbuf b = { 0 };
    const struct api_exec *x = c->exec;
    const char *const words[] = { x->command,
                                  x->api_version,
                                  x->cluster_config,
                                  c->server,
                                  c->ca,
                                  c->ca_pem,
                                  c->server_name,
                                  c->proxy,
                                  c->insecure ? "insecure" : "",
                                  x->cluster_info ? "info" : "" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        add_word(&b, words[i]);
    for (size_t i = 0; i < x->n_args; i++)
        add_word(&b, x->args[i]);
    strbuf_putc(&b, '|');
    for (size_t i = 0; i < x->n_env; i++)
        add_word(&b, x->env[i]);
    return strbuf_steal(&b);
}

static const char *copy(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static const char *const *copy_list(struct arena *a, const char *const *list, size_t n)
{
    const char **to = arena_alloc(a, (n + 1) * sizeof *to);
    for (size_t i = 0; i < n; i++)
        to[i] = arena_strdup(a, list[i]);
    return to;
}

static void copy_config(struct exec_plugin *p, const struct api_config *c)
{
    struct arena *a = &p->arena;
    const struct api_exec *x = c->exec;
    p->exec = (struct api_exec){ .command = copy(a, x->command),
                                 .api_version = copy(a, x->api_version),
                                 .args = copy_list(a, x->args, x->n_args),
                                 .n_args = x->n_args,
                                 .env = copy_list(a, x->env, x->n_env),
                                 .n_env = x->n_env,
                                 .install_hint = copy(a, x->install_hint),
                                 .cluster_info = x->cluster_info,
                                 .cluster_config = copy(a, x->cluster_config) };
    p->config = (struct api_config){ .server = copy(a, c->server),
                                     .ca = copy(a, c->ca),
                                     .ca_pem = copy(a, c->ca_pem),
                                     .server_name = copy(a, c->server_name),
                                     .insecure = c->insecure,
                                     .proxy = copy(a, c->proxy),
                                     .origin = copy(a, c->origin),
                                     .exec = &p->exec };
}

/* ---- one run ---- */

static void poll_closed(uv_handle_t *h)
{
    free(h);
}

static void stop_poll(struct exec_plugin *p)
{
    if (!p->poll)
        return;
    uv_poll_stop(p->poll);
    uv_close((uv_handle_t *)p->poll, poll_closed);
    p->poll = NULL;
}

/* Those who ask again from within wait for the next run. */
static void tell(struct exec_plugin *p, const struct err *e)
{
    struct exec_waiter *w = p->waiters;
    p->waiters = NULL;
    for (struct exec_waiter *i = w; i; i = i->next)
        i->waiting = false;
    for (struct exec_waiter *next; w; w = next) {
        next = w->next;
        w->told(w->ctx, e);
    }
}

static void fail(struct exec_plugin *p, const char *why)
{
    struct err e;
    const char *hint = p->exec.install_hint;
    err_set(&e, ERR_REFUSED, "%s: credentials from %s: %s%s%s", p->config.origin, p->exec.command,
            why, hint ? "; " : "", hint ? hint : "");
    metric_add(p->bad, 1);
    tell(p, &e);
}

/* What it said in one line, without what could disturb a log. */
static void fail_status(struct exec_plugin *p, const struct runner_reply *r)
{
    struct strbuf b = { 0 };
    if (r->status == -ENOENT)
        strbuf_puts(&b, "there is no such program");
    else if (r->status == -ETIMEDOUT)
        strbuf_printf(&b, "it took longer than %d s", RUNNER_SECONDS);
    else if (r->status == ERR_LIMIT)
        strbuf_printf(&b, "it printed more than %d bytes", RUNNER_OUTPUT_MAX);
    else if (r->status < 0)
        strbuf_puts(&b, err_str(r->status));
    else
        strbuf_printf(&b, "it ended with status %d", r->status);
    if (*r->said)
        strbuf_puts(&b, ": ");
    for (const char *c = r->said; *c; c++)
        strbuf_putc(&b, (unsigned char)*c < ' ' || *c == 127 ? ' ' : *c);
    while (b.len && b.p[b.len - 1] == ' ')
        b.p[--b.len] = 0;
    fail(p, b.p);
    strbuf_done(&b);
}

static void take(struct exec_plugin *p, const struct runner_reply *r)
{
    struct exec_credential c;
    struct err e;
    if (r->status != 0) {
        fail_status(p, r);
    } else if (exec_credential_parse(r->output, r->len, p->exec.api_version, &c, &e) < 0) {
        fail(p, e.text);
    } else {
        exec_credential_done(&p->credential);
        p->credential = c;
        p->have = true;
        p->since_ns = clock_ns();
        metric_add(p->good, 1);
        log_debug("source/apiserver: %s: new credentials from %s", p->config.origin,
                  p->exec.command);
        tell(p, NULL);
    }
}

static void on_reply(uv_poll_t *poll, int status, int events)
{
    struct exec_plugin *p = poll->data;
    (void)status;
    (void)events;
    int code = runner_take(p->runner, p->reply);
    if (code == 0)
        return;
    stop_poll(p);
    p->running = false;
    if (code > 0) {
        take(p, p->reply);
    } else {
        runner_free(p->runner);
        p->runner = NULL;
        fail(p, "the process that runs it has ended");
    }
    explicit_bzero(p->reply, sizeof *p->reply);
}

static int start_runner(struct exec_plugin *p, struct err *e)
{
    const struct api_exec *x = &p->exec;
    const char **argv = arena_alloc(&p->arena, (x->n_args + 2) * sizeof *argv);
    argv[0] = x->command;
    for (size_t i = 0; i < x->n_args; i++)
        argv[i + 1] = x->args[i];
    argv[x->n_args + 1] = NULL;
    int code = runner_new(argv, x->env, x->n_env, &p->runner, e);
    return code == -EPERM || code == -EACCES
               ? err_set(
                     e, ERR_REFUSED,
                     "%s: credentials from %s: this process may not start programs any more, as "
                     "its system calls are limited; start it anew with this configuration",
                     p->config.origin, x->command)
               : code;
}

static int ask(struct exec_plugin *p, struct err *e)
{
    struct strbuf question = { 0 };
    int code = p->runner ? 0 : start_runner(p, e);
    if (code == 0)
        code = exec_credential_ask(&p->config, &question, e);
    if (code == 0 && (code = runner_ask(p->runner, question.p)) < 0)
        err_set(e, code, "its process does not take the question: %s", err_str(code));
    strbuf_done(&question);
    return code;
}

static int begin(struct exec_plugin *p, uv_loop_t *loop, struct err *e)
{
    int code = p->running ? 0 : ask(p, e);
    if (code < 0)
        return code;
    p->running = true;
    p->poll = xcalloc(1, sizeof *p->poll);
    uv_poll_init(loop, p->poll, runner_fd(p->runner));
    p->poll->data = p;
    uv_poll_start(p->poll, UV_READABLE, on_reply);
    return 0;
}

/* ---- for those who use it ---- */

const struct exec_credential *exec_plugin_credential(const struct exec_plugin *p)
{
    bool expired = p->credential.expires_ns && clock_unix_ns() >= p->credential.expires_ns;
    return p->have && !expired ? &p->credential : NULL;
}

void exec_plugin_ask(struct exec_plugin *p, uv_loop_t *loop, struct exec_waiter *w)
{
    struct err e;
    if (w->waiting)
        return;
    w->waiting = true;
    w->next = p->waiters;
    p->waiters = w;
    if (!p->poll && begin(p, loop, &e) < 0)
        fail(p, e.text);
}

/* When nobody waits any more the answer is left for the next who asks. */
void exec_plugin_leave(struct exec_plugin *p, struct exec_waiter *w)
{
    if (!p)
        return;
    for (struct exec_waiter **at = &p->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    w->waiting = false;
    if (!p->waiters)
        stop_poll(p);
}

void exec_plugin_refused(struct exec_plugin *p)
{
    if (clock_ns() - p->since_ns >= YOUNG_NS)
        p->have = false;
}

int exec_plugin_get(const struct api_config *c, struct exec_plugin **ret, struct err *e)
{
    cleanup_free char *key = key_of(c);
    size_t n = 0;
    for (struct exec_plugin *p = plugins; p; p = p->next, n++)
        if (strcmp(p->key, key) == 0) {
            *ret = p;
            return 0;
        }
    if (n >= EXEC_PLUGINS_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d programs that print credentials", c->origin,
                       EXEC_PLUGINS_MAX);
    struct exec_plugin *p = xcalloc(1, sizeof *p);
    arena_init(&p->arena, 4096);
    copy_config(p, c);
    int code = start_runner(p, e);
    if (code < 0) {
        arena_done(&p->arena);
        free(p);
        return code;
    }
    p->key = key;
    key = NULL;
    p->reply = xcalloc(1, sizeof *p->reply);
    static const char help[] = "Runs of programs that print credentials for the API server.";
    p->good = metric_counter("signpost_credential_runs_total", help, "result=\"success\"");
    p->bad = metric_counter("signpost_credential_runs_total", help, "result=\"failure\"");
    p->next = plugins;
    plugins = p;
    *ret = p;
    return 0;
}
