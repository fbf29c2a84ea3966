/* A treap: a search tree by key that is a heap by a hash of the key, and so has one shape for one
 * set of keys and the depth of a random tree, whatever the keys are. */
#include "base/hash.h"
#include "base/rcu.h"
#include "base/vec.h"
#include "dns/plugins/etcd.h"

#include <string.h>

struct etcd_node {
    struct etcd_node *left, *right;
    struct etcd_value *value;
    uint64_t rank;       /* of the heap: the highest is the root */
    uint64_t generation; /* of the tree when it was made: a newer one must not change it */
};

/* What a change has left behind. */
struct etcd_waste {
    VEC(struct etcd_node *) nodes;
    VEC(struct etcd_value *) values;
    struct etcd_node *root; /* a whole tree, nodes and values; or NULL */
};

static int compare(const struct etcd_value *v, const char *key, size_t len)
{
    int c = memcmp(v->key, key, MIN(v->key_len, len));
    return c ? c : (v->key_len > len) - (v->key_len < len);
}

/* ---- readers ---- */

const struct etcd_value *etcd_find(const struct etcd_node *n, const char *key, size_t len)
{
    while (n) {
        int c = compare(n->value, key, len);
        if (c == 0)
            return n->value;
        n = c > 0 ? n->left : n->right;
    }
    return NULL;
}

struct range {
    const char *prefix;
    size_t len;
    bool (*fn)(void *ctx, const struct etcd_value *v);
    void *ctx;
};

static bool visit(const struct etcd_node *n, const struct range *r)
{
    if (!n)
        return true;
    const struct etcd_value *v = n->value;
    int c = memcmp(v->key, r->prefix, MIN(v->key_len, r->len));
    if (c == 0 && v->key_len < r->len)
        c = -1;
    if (c >= 0 && !visit(n->left, r))
        return false;
    if (c == 0 && !r->fn(r->ctx, v))
        return false;
    return c > 0 || visit(n->right, r);
}

void etcd_each(const struct etcd_node *root, const char *prefix, size_t len,
               bool (*fn)(void *ctx, const struct etcd_value *v), void *ctx)
{
    struct range r = { prefix, len, fn, ctx };
    visit(root, &r);
}

/* ---- the writer ---- */

static struct etcd_waste *waste(struct etcd_tree *t)
{
    if (!t->waste)
        t->waste = xcalloc(1, sizeof *t->waste);
    return t->waste;
}

/* The node, or a copy of it where readers may see it. */
static struct etcd_node *own(struct etcd_tree *t, struct etcd_node *n)
{
    if (n->generation == t->generation)
        return n;
    struct etcd_node *copy = xmalloc(sizeof *copy);
    *copy = *n;
    copy->generation = t->generation;
    vec_push(&waste(t)->nodes, n);
    return copy;
}

static void split(struct etcd_tree *t, struct etcd_node *n, const struct etcd_value *at,
                  struct etcd_node **ret_left, struct etcd_node **ret_right)
{
    if (!n) {
        *ret_left = *ret_right = NULL;
        return;
    }
    n = own(t, n);
    if (compare(n->value, at->key, at->key_len) < 0) {
        *ret_left = n;
        split(t, n->right, at, &n->right, ret_right);
    } else {
        *ret_right = n;
        split(t, n->left, at, ret_left, &n->left);
    }
}

static struct etcd_node *merge(struct etcd_tree *t, struct etcd_node *left, struct etcd_node *right)
{
    if (!left || !right)
        return left ? left : right;
    if (left->rank > right->rank) {
        left = own(t, left);
        left->right = merge(t, left->right, right);
        return left;
    }
    right = own(t, right);
    right->left = merge(t, left, right->left);
    return right;
}

static struct etcd_node *insert(struct etcd_tree *t, struct etcd_node *n, struct etcd_node *made)
{
    const struct etcd_value *v = made->value;
    if (!n)
        return made;
    if (made->rank > n->rank) {
        split(t, n, v, &made->left, &made->right);
        return made;
    }
    n = own(t, n);
    if (compare(n->value, v->key, v->key_len) > 0)
        n->left = insert(t, n->left, made);
    else
        n->right = insert(t, n->right, made);
    return n;
}

/* The path to a key that is there, every node our own; the last one is the key's. */
static struct etcd_node **reach(struct etcd_tree *t, const char *key, size_t len)
{
    struct etcd_node **at = &t->root;
    for (;;) {
        *at = own(t, *at);
        int c = compare((*at)->value, key, len);
        if (c == 0)
            return at;
        at = c > 0 ? &(*at)->left : &(*at)->right;
    }
}

static void replace(struct etcd_tree *t, struct etcd_node *n, struct etcd_value *v)
{
    t->bad -= n->value->kind == ETCD_HOST_BAD;
    vec_push(&waste(t)->values, n->value);
    n->value = v;
}

void etcd_tree_put(struct etcd_tree *t, struct etcd_value *v)
{
    t->bad += v->kind == ETCD_HOST_BAD;
    if (etcd_find(t->root, v->key, v->key_len)) {
        replace(t, *reach(t, v->key, v->key_len), v);
        return;
    }
    struct etcd_node *made = xcalloc(1, sizeof *made);
    made->value = v;
    made->rank = hash_bytes(v->key, v->key_len);
    made->generation = t->generation;
    t->root = insert(t, t->root, made);
    t->n++;
}

void etcd_tree_del(struct etcd_tree *t, const char *key, size_t len)
{
    if (!etcd_find(t->root, key, len))
        return;
    struct etcd_node **at = reach(t, key, len), *n = *at;
    *at = merge(t, n->left, n->right);
    replace(t, n, NULL);
    vec_push(&waste(t)->nodes, n);
    t->n--;
}

struct etcd_node *etcd_tree_root(struct etcd_tree *t)
{
    t->generation++; /* what there is is seen from now on */
    return t->root;
}

/* ---- the end of things ---- */

static void free_all(struct etcd_node *n)
{
    if (!n)
        return;
    free_all(n->left);
    free_all(n->right);
    etcd_value_free(n->value);
    free(n);
}

static void waste_free(void *p)
{
    struct etcd_waste *w = p;
    vec_each (n, &w->nodes)
        free(*n);
    vec_each (v, &w->values)
        etcd_value_free(*v);
    free_all(w->root);
    vec_done(&w->nodes);
    vec_done(&w->values);
    free(w);
}

void etcd_tree_retire(struct etcd_tree *t)
{
    if (t->waste)
        rcu_retire(t->waste, waste_free);
    t->waste = NULL;
}

void etcd_tree_drop(struct etcd_tree *t)
{
    if (t->root)
        waste(t)->root = t->root;
    t->root = NULL;
    t->n = t->bad = 0;
    etcd_tree_retire(t);
}
