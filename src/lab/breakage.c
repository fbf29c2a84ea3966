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

static int write_objects(const char *dir, const struct failure *f, const struct places *p,
                         struct err *e)
{
    char path[PATH_MAX];
    json_t *list = json_object(), *items = json_array();
    json_object_set_new(list, "kind", json_string("List"));
    json_object_set_new(list, "apiVersion", json_string("v1"));
    json_object_set_new(list, "items", items);
    for (size_t i = 0; i < f->n_objects; i++)
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
           (status_is_ready(m->json) ||
            str_eq(tree_str(doc, "metadata.labels.lab"), "never-ready"));
}

static bool all_run(const char *dir, const struct failure *f)
{
    struct manifests now, nothing = { 0 };
    struct err e;
    char path[PATH_MAX];
    bool all = true;
    if (manifests_read(place_path(path, dir, "objects"), &nothing, &now, &e) < 0)
        return false;
    for (size_t i = 0; i < f->n_objects && all; i++)
        all = !str_eq(tree_str(f->objects[i], "kind"), "Pod") || pod_runs(&now, f, f->objects[i]);
    manifests_done(&now);
    return all;
}

static int wait_pods(const char *dir, const struct failure *f, struct err *e)
{
    int64_t end = clock_ns() + BREAKAGE_READY_NS;
    while (!all_run(dir, f)) {
        if (clock_ns() > end)
            return err_set(e, -ETIMEDOUT, "the pods of %s did not begin to run: see %s/log",
                           f->name, dir);
        usleep(POLL_US);
    }
    return 0;
}

/* ---- rules ---- */

static int run_nft(const char *dir, const struct places *p, const struct tree *rule,
                   const char *commands, struct err *e)
{
    char rest[300];
    pid_t pid;
    struct ran ran;
    cleanup_free char *node = fill_in(p, tree_str(rule, "node"));
    cleanup_free char *filled = fill_in(p, commands);
    const char *const argv[] = { "nft", filled, NULL };
    (void)snprintf(rest, sizeof rest, "nodes/%s/pid", node);
    int code = place_pid(dir, rest, &pid, e);
    if (code == 0)
        code = enter_run(pid, argv, NFT_NS, &ran, e);
    if (code < 0)
        return code;
    if (ran.status)
        code = err_set(e, ERR_REFUSED, "nft on %s: %.*s", node, (int)strcspn(ran.err.p, "\n"),
                       ran.err.p);
    ran_done(&ran);
    return code;
}

static const struct tree *first_rule(const struct failure *f)
{
    return f->rules ? f->rules->child : NULL;
}

static int add_rules(const char *dir, const struct failure *f, struct err *e)
{
    struct places p; /* again: the pods have their addresses now */
    int code = find_places(dir, f, &p, e);
    if (code < 0)
        return code;
    for (const struct tree *r = first_rule(f); r && code == 0; r = r->next)
        code = run_nft(dir, &p, r, tree_str(r, "nft"), e);
    manifests_done(&p.objects);
    return code;
}

/* "table inet $TABLE { ... }" -> "delete table inet $TABLE". */
static void remove_rules(const char *dir, const struct places *p, const struct failure *f)
{
    for (const struct tree *r = first_rule(f); r; r = r->next) {
        const char *text = tree_str(r, "nft");
        char command[200];
        (void)snprintf(command, sizeof command, "delete %.*s", (int)strcspn(text, "{"), text);
        (void)run_nft(dir, p, r, command, NULL);
    }
}

/* ---- the whole ---- */

int breakage_make(const char *dir, const struct failure *f, char **ret_to, struct err *e)
{
    struct places p;
    bool there = breakage_is_there(dir, f);
    int code = find_places(dir, f, &p, e);
    if (code < 0)
        return code;
    if (!there)
        code = write_objects(dir, f, &p, e);
    if (code == 0)
        code = wait_pods(dir, f, e);
    if (!there && code == 0)
        code = add_rules(dir, f, e);
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
    remove_rules(dir, &p, f);
    manifests_done(&p.objects);
    if (unlink(file_of(dir, f, path)) < 0 && errno != ENOENT)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    return 0;
}
