#include "lab/publish.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "lab/api_object.h"
#include "lab/manifest.h"
#include "source/api_client.h"

#define REPLY_MAX      (4 << 20) /* bytes of an object as it comes back */
#define REQUEST_MS     10000
#define AWAY_MS        250
#define REFUSED_NS     2000000000LL /* until what was refused is tried again */
#define HTTP_NOT_FOUND 404
#define HTTP_CONFLICT  409

enum step { STEP_NONE, STEP_DELETE, STEP_CREATE, STEP_CHANGE, STEP_STATUS, STEP_END };

struct entry {
    char *kind, *namespace, *name;
    json_t *wanted;         /* NULL: it is to be gone */
    json_t *there;          /* what was written last; NULL: it is not there as far as we know */
    json_t *status_there;   /* the same of its status */
    bool replace, told_end; /* another one of this name goes first; its deletion was asked for */
    int64_t again_ns;       /* was refused: not before */
    char *complaint;        /* what the server said then */
};

struct publisher {
    uv_loop_t *loop;
    struct api_client *client;
    const struct publish_calls *calls;
    uv_timer_t timer;
    VEC(struct entry *) entries;
    struct entry *busy; /* whose request is under way; NULL: none */
    enum step step;
    json_t *sent; /* what will be there when the request has worked; owned */
    bool away, told_away;
};

static void work(struct publisher *p);

static void on_timer(uv_timer_t *t)
{
    work(t->data);
}

int publisher_new(uv_loop_t *loop, const struct api_config *api, const struct publish_calls *calls,
                  struct publisher **ret, struct err *e)
{
    if (api->exec) /* its process would be taken for one of a pod, and could reach nobody */
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: credentials from a program (exec: %s) are not offered by the lab; use a "
            "token or a certificate",
            api->origin, api->exec->command);
    struct publisher *p = xcalloc(1, sizeof *p);
    int code = api_client_new(loop, api, &p->client, e);
    if (code < 0) {
        free(p);
        return code;
    }
    p->loop = loop;
    p->calls = calls;
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    *ret = p;
    return 0;
}

/* ---- what is to be ---- */

static struct entry *find_entry(const struct publisher *p, const char *kind, const char *namespace,
                                const char *name)
{
    vec_each (i, &p->entries) {
        if (str_eq((*i)->name, name) && str_eq((*i)->namespace, namespace) &&
            str_eq((*i)->kind, kind))
            return *i;
    }
    return NULL;
}

static struct entry *add_entry(struct publisher *p, const char *kind, const char *namespace,
                               const char *name)
{
    struct entry *n = xcalloc(1, sizeof *n);
    *n = (struct entry){ .kind = xstrdup(kind),
                         .namespace = xstrdup(namespace),
                         .name = xstrdup(name) };
    vec_push(&p->entries, n);
    return n;
}

static void drop_entry(struct publisher *p, struct entry *x)
{
    for (size_t i = 0; i < p->entries.n; i++) {
        if (p->entries.items[i] == x) {
            vec_swap_remove(&p->entries, i);
            break;
        }
    }
    json_decref(x->wanted);
    json_decref(x->there);
    json_decref(x->status_there);
    free(x->complaint);
    free(x->kind);
    free(x->namespace);
    free(x->name);
    free(x);
}

static void work_soon(struct publisher *p)
{
    if (!p->busy && !p->away)
        uv_timer_start(&p->timer, on_timer, 0, 0);
}

bool publisher_put(struct publisher *p, const char *kind, const char *namespace, const char *name,
                   json_t *object)
{
    struct strbuf path = { 0 };
    struct entry *x = find_entry(p, kind, namespace, name);
    if (x && x->wanted && json_equal(x->wanted, object))
        return false;
    bool known = api_object_path(kind, namespace, &path);
    strbuf_done(&path);
    if (!known) {
        log_warning("%s %s/%s is not written to the API server: the lab does not know this kind",
                    kind, namespace, name);
        return true;
    }
    if (!x)
        x = add_entry(p, kind, namespace, name);
    json_decref(x->wanted);
    x->wanted = json_deep_copy(object); /* the caller may change its own */
    x->again_ns = 0;
    work_soon(p);
    return true;
}

void publisher_remove(struct publisher *p, const char *kind, const char *namespace,
                      const char *name)
{
    struct entry *x = find_entry(p, kind, namespace, name);
    if (!x)
        return;
    json_decref(x->wanted);
    x->wanted = NULL;
    x->replace = true;
    x->again_ns = 0;
    work_soon(p);
}

/* One whose request is under way is looked at when its reply is there: what then fails as unknown
 * is created. */
void publisher_begin_anew(struct publisher *p)
{
    vec_each (i, &p->entries) {
        struct entry *x = *i;
        json_decref(x->there);
        json_decref(x->status_there);
        x->there = x->status_there = NULL;
        x->told_end = false;
        x->again_ns = 0;
    }
    work_soon(p);
}

/* ---- the next request ---- */

static bool is_ending(const struct entry *x)
{
    return json_text(x->wanted, "metadata.deletionTimestamp") != NULL;
}

static enum step next_step(const struct entry *x)
{
    enum step step = STEP_NONE;
    json_t *status = json_object_get(x->wanted, "status");
    if (x->replace)
        return STEP_DELETE;
    if (!x->there)
        return x->wanted ? STEP_CREATE : STEP_NONE;
    json_t *body = api_object_body(x->wanted);
    if (!json_equal(x->there, body))
        step = STEP_CHANGE;
    else if (status && api_object_has_status(x->kind) && !json_equal(x->status_there, status))
        step = STEP_STATUS;
    else if (is_ending(x) && !x->told_end)
        step = STEP_END;
    json_decref(body);
    return step;
}

size_t publisher_waiting(const struct publisher *p)
{
    size_t n = 0;
    vec_each (x, &p->entries)
        n += next_step(*x) != STEP_NONE;
    return n;
}

/* Namespaces and Nodes before what is in them and on them. ret_ns: when the first of those that
 * were refused is due, 0 for none. */
static struct entry *choose(const struct publisher *p, int64_t *ret_ns)
{
    struct entry *best = NULL;
    int64_t now = clock_ns();
    *ret_ns = 0;
    vec_each (i, &p->entries) {
        struct entry *x = *i;
        if (next_step(x) == STEP_NONE)
            continue;
        if (x->again_ns > now)
            *ret_ns = *ret_ns ? MIN(*ret_ns, x->again_ns) : x->again_ns;
        else if (!best || api_object_rank(x->kind) < api_object_rank(best->kind))
            best = x;
    }
    return best;
}

/* Fills method, path, body and what will be there. */
static void describe(struct publisher *p, const struct entry *x, struct api_request *r,
                     struct strbuf *path, struct strbuf *body)
{
    json_t *patch = NULL, *status = json_object_get(x->wanted, "status");
    static const char *const methods[] = { NULL, "DELETE", "POST", "PATCH", "PATCH", "DELETE" };
    static const char merge[] = "application/merge-patch+json";
    api_object_path(x->kind, x->namespace, path);
    if (p->step != STEP_CREATE)
        strbuf_printf(path, "/%s%s%s", x->name, p->step == STEP_STATUS ? "/status" : "",
                      p->step == STEP_DELETE ? "?gracePeriodSeconds=0" : "");
    if (p->step == STEP_CREATE || p->step == STEP_CHANGE)
        p->sent = api_object_body(x->wanted);
    if (p->step == STEP_CREATE)
        patch = json_incref(p->sent);
    else if (p->step == STEP_CHANGE)
        patch = api_object_patch(x->there, p->sent);
    else if (p->step == STEP_STATUS) {
        p->sent = json_deep_copy(status);
        patch = json_pack("{s:O}", "status", status);
    }
    r->method = methods[p->step];
    r->content_type = p->step == STEP_CREATE ? "application/json" : patch ? merge : NULL;
    cleanup_free char *text = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
    if (text)
        strbuf_puts(body, text);
    json_decref(patch);
}

static void on_end(void *ctx, const struct http_result *h);

static void send_step(struct publisher *p, struct entry *x)
{
    struct strbuf path = { 0 }, body = { 0 };
    struct api_request r = {
        .total_ms = REQUEST_MS, .body_max = REPLY_MAX, .end = on_end, .ctx = p
    };
    struct http_call *call;
    struct err e;
    p->busy = x;
    p->step = next_step(x);
    describe(p, x, &r, &path, &body);
    r.path = path.p;
    r.body = body.p;
    r.body_len = body.len;
    if (api_client_send(p->client, &r, &call, &e) < 0)
        on_end(p, &(struct http_result){ .error = ERR_LIMIT, .text = e.text });
    strbuf_done(&path);
    strbuf_done(&body);
}

static void work(struct publisher *p)
{
    int64_t later;
    if (p->busy)
        return;
    struct entry *x = choose(p, &later);
    p->away = false;
    if (x)
        send_step(p, x);
    else
        p->calls->idle(p->calls->ctx);
    if (!x && later)
        uv_timer_start(&p->timer, on_timer, (uint64_t)MAX(later - clock_ns(), 0) / 1000000 + 1, 0);
}

/* ---- what came of it ---- */

static void forget(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

static void gone(struct publisher *p, struct entry *x)
{
    if (p->step != STEP_DELETE) /* somebody else's doing, or a server that cannot do this step */
        x->again_ns = clock_ns() + REFUSED_NS;
    x->replace = x->told_end = false;
    forget(&x->there);
    forget(&x->status_there);
    if (!x->wanted)
        drop_entry(p, x);
}

static void done(struct publisher *p, struct entry *x, const struct http_result *h)
{
    free(x->complaint);
    x->complaint = NULL;
    if (p->step == STEP_CREATE || p->step == STEP_CHANGE) {
        json_decref(x->there);
        x->there = json_incref(p->sent);
    } else if (p->step == STEP_STATUS) {
        json_decref(x->status_there);
        x->status_there = json_incref(p->sent);
    } else if (p->step == STEP_END) {
        x->told_end = true;
    } else {
        gone(p, x);
        return;
    }
    json_t *reply = h->body && !x->replace ? json_loadb(h->body, h->len, 0, NULL) : NULL;
    if (reply)
        p->calls->written(p->calls->ctx, x->kind, x->namespace, x->name, reply);
    json_decref(reply);
}

/* There is one of this name from an earlier time. A Pod cannot be made another; all else can. */
static void taken(struct entry *x)
{
    if (str_eq(x->kind, "Pod"))
        x->replace = true;
    else
        x->there = json_object();
}

static void refused(struct entry *x, const char *text)
{
    x->again_ns = clock_ns() + REFUSED_NS;
    if (str_eq(x->complaint, text))
        return;
    log_error("%s %s/%s on the API server: %s", x->kind, x->namespace, x->name, text);
    free(x->complaint);
    x->complaint = xstrdup(text);
}

static void tell_away(struct publisher *p, const struct http_result *h)
{
    char text[API_STATUS_TEXT];
    p->away = api_is_away(h);
    if (p->away && !p->told_away)
        log_info("waiting for the API server at %s: %s", api_client_server(p->client),
                 api_status_text(h, h->body, h->len, text));
    else if (!p->away && p->told_away)
        log_info("the API server at %s answers", api_client_server(p->client));
    p->told_away = p->away;
}

static void take_result(struct publisher *p, struct entry *x, const struct http_result *h)
{
    char text[API_STATUS_TEXT];
    if (h->status / 100 == 2)
        done(p, x, h);
    else if (h->status == HTTP_NOT_FOUND && p->step != STEP_CREATE)
        gone(p, x);
    else if (h->status == HTTP_CONFLICT && p->step == STEP_CREATE)
        taken(x);
    else
        refused(x, api_status_text(h, h->body, h->len, text));
}

static void on_end(void *ctx, const struct http_result *h)
{
    struct publisher *p = ctx;
    struct entry *x = p->busy;
    p->busy = NULL;
    tell_away(p, h);
    if (!p->away)
        take_result(p, x, h);
    forget(&p->sent);
    uv_timer_start(&p->timer, on_timer, p->away ? AWAY_MS : 0, 0);
}
