#include "lab/breakage.h"

#include "base/clock.h"
#include "base/str.h"
#include "lab/enter.h"
#include "lab/manifest.h"
#include "lab/place.h"
#include "lab/status.h"
#include "lab/topology.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NFT_NS  10000000000LL
#define GHOST   250 /* offset of an address in the pods' network: topology hands out the low ones */
#define POLL_US 20000

/* ---- the texts' places ---- */

struct places {
    struct manifests objects; /* the lab's, with status */
    const struct failure *failure;
    const char *node[2];
    struct ip address, ghost;
};

static int find_places(const char *dir, const struct failure *f, struct places *ret, struct err *e)
{
    struct manifests nothing = { 0 };
    struct places p = { .failure = f };
    char path[PATH_MAX];
    unsigned n = 0;
    int code = manifests_read(place_path(path, dir, "objects"), &nothing, &p.objects, e);
    if (code < 0)
        return code;
    vec_each (m, &p.objects.items) {
        struct ip_prefix net;
        if (!str_eq(m->kind, "Node") || n == 2)
            continue;
        const char *pods = json_text(m->json, "spec.podCIDR");
        json_t *first = json_array_get(json_at(m->json, "status.addresses"), 0);
        p.node[n] = m->name;
        if (n++ == 0 && ip_parse(json_text(first, "address"), &p.address) < 0)
            p.address.family = 0;
        if (pods && ip_prefix_parse(pods, &net) == 0)
            p.ghost = ip_at(&net, GHOST);
    }
    *ret = p;
    if (n == 2 && p.address.family && p.ghost.family)
        return 0;
    manifests_done(&ret->objects);
    return err_set(e, ERR_INVALID, "%s needs two nodes with addresses and pod networks", f->name);
}

static const char *pod_ip(const struct places *p, const char *name, size_t len)
{
    char pod[256];
    (void)snprintf(pod, sizeof pod, "%.*s", (int)len, name);
    const struct manifest *m = manifests_find(&p->objects, "Pod", p->failure->name, pod);
    const char *ip = m ? json_text(m->json, "status.podIP") : NULL;
    return ip ? ip : "";
}

/* Puts what the word at *at stands for, and moves behind it; false: it is no word of ours. */
static bool put_word(const struct places *p, const char **at, struct strbuf *out)
{
    char address[IP_TEXT_MAX], ghost[IP_TEXT_MAX], table[100];
    (void)snprintf(table, sizeof table, "broken-%s", p->failure->name);
    const struct {
        const char *word, *value;
    } words[] = {
        { "$NODE1IP", ip_text(&p->address, address) },
        { "$GHOST", ip_text(&p->ghost, ghost) },
        { "$NODE1", p->node[0] },
        { "$NODE2", p->node[1] },
        { "$TABLE", table },
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!str_starts(*at, words[i].word))
            continue;
        strbuf_puts(out, words[i].value);
        *at += strlen(words[i].word);
        return true;
    }
    if (!str_starts(*at, "$IP("))
        return false;
    size_t len = strcspn(*at + 4, ")");
    strbuf_puts(out, pod_ip(p, *at + 4, len));
    *at += 4 + len + 1;
    return true;
}

static char *fill_in(const struct places *p, const char *text)
{
    struct strbuf out = { 0 };
    while (*text) {
        if (*text != '$' || !put_word(p, &text, &out))
            strbuf_putc(&out, *text++);
    }
    return strbuf_steal(&out);
}

/* ---- objects ---- */

static char *file_of(const char *dir, const struct failure *f, char path[PATH_MAX])
{
    return place_path(path, dir, "broken/%s.json", f->name);
}

bool breakage_is_there(const char *dir, const struct failure *f)
{
    char path[PATH_MAX];
    return access(file_of(dir, f, path), F_OK) == 0;
}

static bool is_labelled(const struct tree *doc, const char *word)
{
    return str_eq(tree_str(doc, "metadata.labels.lab"), word);
}

static bool has_later(const struct failure *f)
{
    for (size_t i = 0; i < f->n_objects; i++)
        if (is_labelled(f->objects[i], "later"))
            return true;
    return false;
}

/* later: those, too, that come only when what has to happen first has happened. */
static int write_objects(const char *dir, const struct failure *f, const struct places *p,
                         bool later, struct err *e)
{
    char path[PATH_MAX];
    json_t *list = json_object(), *items = json_array();
    json_object_set_new(list, "kind", json_string("List"));
    json_object_set_new(list, "apiVersion", json_string("v1"));
    json_object_set_new(list, "items", items);
    for (size_t i = 0; i < f->n_objects; i++)
        if (later || !is_labelled(f->objects[i], "later"))
            json_array_append_new(items, manifest_json(f->objects[i]));
    cleanup_free char *text = json_dumps(list, JSON_INDENT(2));
    cleanup_free char *filled = fill_in(p, text);
    json_decref(list);
    int code = place_write(file_of(dir, f, path), filled, strlen(filled));
    return code < 0 ? err_set(e, code, "%s: %s", path, strerror(-code)) : 0;
}

static bool pod_runs(const struct manifests *now, const struct failure *f, const struct tree *doc)
{
    const struct manifest *m = manifests_find(now, "Pod", f->name, tree_str(doc, "metadata.name"));
    return m && str_eq(json_text(m->json, "status.phase"), "Running") &&
           (status_is_ready(m->json) || is_labelled(doc, "never-ready"));
}

static bool is_waited_for(const struct tree *doc, bool later)
{
    return str_eq(tree_str(doc, "kind"), "Pod") && (later || !is_labelled(doc, "later"));
}

static bool all_run(const char *dir, const struct failure *f, bool later)
{
    struct manifests now, nothing = { 0 };
    struct err e;
    char path[PATH_MAX];
    bool all = true;
    if (manifests_read(place_path(path, dir, "objects"), &nothing, &now, &e) < 0)
        return false;
    for (size_t i = 0; i < f->n_objects && all; i++)
        all = !is_waited_for(f->objects[i], later) || pod_runs(&now, f, f->objects[i]);
    manifests_done(&now);
    return all;
}

static int wait_pods(const char *dir, const struct failure *f, bool later, struct err *e)
{
    int64_t end = clock_ns() + BREAKAGE_READY_NS;
    while (!all_run(dir, f, later)) {
        if (clock_ns() > end)
            return err_set(e, -ETIMEDOUT, "the pods of %s did not begin to run: see %s/log",
                           f->name, dir);
        usleep(POLL_US);
    }
    return 0;
}

/* ---- rules ---- */

/* The process in whose namespaces the rule belongs: a node's or a pod's. */
static int find_place(const char *dir, const struct places *p, const struct tree *rule, pid_t *ret,
                      char name[300], struct err *e)
{
    if (tree_str(rule, "pod")) {
        (void)snprintf(name, 300, "%s/%s", p->failure->name, tree_str(rule, "pod"));
        return place_pod_pid(dir, name, ret, e);
    }
    cleanup_free char *node = fill_in(p, tree_str(rule, "node"));
    (void)snprintf(name, 300, "%s", node);
    return place_node_pid(dir, name, ret, e);
}

static int run_nft(const char *dir, const struct places *p, const struct tree *rule,
                   const char *commands, struct err *e)
{
    char where[300];
    pid_t pid;
    struct ran ran;
    cleanup_free char *filled = fill_in(p, commands);
    const char *const argv[] = { "nft", filled, NULL };
    int code = find_place(dir, p, rule, &pid, where, e);
    if (code == 0)
        code = enter_run(pid, argv, NFT_NS, &ran, e);
    if (code < 0)
        return code;
    if (ran.status)
        code = err_set(e, ERR_REFUSED, "nft on %s: %.*s", where, (int)strcspn(ran.err.p, "\n"),
                       ran.err.p);
    ran_done(&ran);
    return code;
}

static const struct tree *first_of(const struct tree *rules)
{
    return rules ? rules->child : NULL;
}

static int add_rules(const char *dir, const struct places *p, const struct tree *rules,
                     struct err *e)
{
    int code = 0;
    for (const struct tree *r = first_of(rules); r && code == 0; r = r->next)
        code = run_nft(dir, p, r, tree_str(r, "nft"), e);
    return code;
}

/* "table inet $TABLE { ... }" -> "delete table inet $TABLE". */
static void remove_rules(const char *dir, const struct places *p, const struct tree *rules)
{
    for (const struct tree *r = first_of(rules); r; r = r->next) {
        const char *text = tree_str(r, "nft");
        char command[200];
        (void)snprintf(command, sizeof command, "delete %.*s", (int)strcspn(text, "{"), text);
        (void)run_nft(dir, p, r, command, NULL);
    }
}

/* ---- what has to happen first ---- */

#define FIRST_ARGS_MAX 16

static size_t read_args(const struct places *p, const struct tree *run, char *ret[FIRST_ARGS_MAX])
{
    size_t n = 0;
    for (const struct tree *t = run->child; t && n < FIRST_ARGS_MAX - 1; t = t->next)
        ret[n++] = fill_in(p, t->text);
    ret[n] = NULL;
    return n;
}

/* Runs the command again and again until it prints the words; once when there are none. */
static int run_until(pid_t pid, const char *const *argv, const char *words, struct err *e)
{
    int64_t end = clock_ns() + BREAKAGE_FIRST_NS;
    for (;;) {
        struct ran ran;
        int code = enter_run(pid, argv, BREAKAGE_FIRST_NS, &ran, e);
        if (code < 0)
            return code;
        bool done = !words || (ran.out.p && strstr(ran.out.p, words));
        ran_done(&ran);
        if (done)
            return 0;
        if (clock_ns() > end)
            return err_set(e, -ETIMEDOUT, "%s did not print \"%s\"", argv[0], words);
        usleep(POLL_US);
    }
}

static int run_command(const char *dir, const struct places *p, const struct tree *step,
                       struct err *e)
{
    char key[300];
    char *argv[FIRST_ARGS_MAX];
    pid_t pid;
    (void)snprintf(key, sizeof key, "%s/%s", p->failure->name, tree_str(step, "in"));
    int code = place_pod_pid(dir, key, &pid, e);
    if (code < 0)
        return code;
    size_t n = read_args(p, tree_get(step, "run"), argv);
    code = run_until(pid, (const char *const *)argv, tree_str(step, "until"), e);
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    return code;
}

static int do_first(const char *dir, const struct places *p, struct err *e)
{
    int code = 0;
    for (const struct tree *step = first_of(p->failure->first); step && code == 0;
         step = step->next) {
        code = add_rules(dir, p, tree_get(step, "rules"), e);
        if (code == 0)
            code = run_command(dir, p, step, e);
        remove_rules(dir, p, tree_get(step, "rules"));
    }
    return code;
}

/* ---- the whole ---- */

/* With the pods' addresses, which they have by now. */
static int act_on_pods(const char *dir, const struct failure *f, bool there, struct err *e)
{
    struct places p;
    int code = find_places(dir, f, &p, e);
    if (code < 0)
        return code;
    if (!there)
        code = add_rules(dir, &p, f->rules, e);
    if (!there && code == 0)
        code = do_first(dir, &p, e);
    if (code == 0 && has_later(f))
        code = write_objects(dir, f, &p, true, e);
    manifests_done(&p.objects);
    return code == 0 ? wait_pods(dir, f, true, e) : code;
}

int breakage_make(const char *dir, const struct failure *f, char **ret_to, struct err *e)
{
    struct places p;
    bool there = breakage_is_there(dir, f);
    int code = find_places(dir, f, &p, e);
    if (code < 0)
        return code;
    if (!there)
        code = write_objects(dir, f, &p, false, e);
    if (code == 0)
        code = wait_pods(dir, f, there, e);
    if (code == 0)
        code = act_on_pods(dir, f, there, e);
    if (code == 0 && ret_to)
        *ret_to = fill_in(&p, f->to);
    manifests_done(&p.objects);
    return code;
}

int breakage_mend(const char *dir, const struct failure *f, struct err *e)
{
    struct places p;
    char path[PATH_MAX];
    int code = find_places(dir, f, &p, e);
    if (code < 0)
        return code;
    remove_rules(dir, &p, f->rules);
    manifests_done(&p.objects);
    if (unlink(file_of(dir, f, path)) < 0 && errno != ENOENT)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    return 0;
}
