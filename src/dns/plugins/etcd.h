/* `etcd`: names kept in etcd in SkyDNS's way, "/skydns/test/example/a" for a.example.test.
 *
 * The values are a tree sorted by key that never changes: a change makes new nodes on the way to
 * the root, exchanges the root by RCU and retires the old nodes. So readers see one revision, take
 * no lock, and a change costs the logarithm of how many there are. */
#pragma once

#include "dns/plugin.h"
#include "source/etcd.h"

#define ETCD_KEY_MAX     2048    /* bytes; a name takes at most 1020 */
#define ETCD_VALUE_MAX   65536   /* bytes of a value; longer ones are reported and give no record */
#define ETCD_KEYS_MAX    2000000 /* further ones are reported and left out */
#define ETCD_WALK_MAX    8192    /* values that one name looks at; more records fit no message */
#define ETCD_LOOK_MAX    32768   /* values that all walks of one answer look at */
#define ETCD_LOOKUPS_MAX 256     /* host names that one answer has looked up elsewhere */
#define ETCD_PATH_MAX    1024    /* bytes of the option `path` */

#define ETCD_FIRST_NS 5000000000LL /* queries are held for the first list so long after a start */

#define ETCD_TTL      300 /* of values that say nothing */
#define ETCD_SOA_TTL  30
#define ETCD_PRIORITY 10

/* ---- values (etcd_value.c) ---- */

/* What the host of a value is; which records it gives follows from it. */
enum etcd_host {
    ETCD_HOST_BAD,  /* the value cannot be read */
    ETCD_HOST_NONE, /* neither host nor text */
    ETCD_HOST_NAME,
    ETCD_HOST_TEXT, /* has text, and no host or a name */
    ETCD_HOST_V4,
    ETCD_HOST_V6,
};

/* One allocation, never changed. */
struct etcd_value {
    struct etcd_lease *lease; /* a reference; or NULL */
    const char *key, *group;  /* group "" when there is none */
    const uint8_t *host;      /* plain wire, or NULL */
    const uint8_t *domain;    /* the key's own name, plain wire; NULL: it is none */
    const uint8_t *text;      /* rdata of a TXT record; NULL: no text */
    uint32_t key_len, text_len;
    uint32_t ttl;   /* 0: not said */
    uint32_t strip; /* labels taken off the target */
    int32_t weight;
    uint16_t priority, port;
    uint16_t slashes; /* of the key */
    enum etcd_host kind;
    bool mail;
    bool no_port; /* -1: no SRV record */
    struct ip ip;
};

/* From a key and its JSON; never NULL. With ETCD_HOST_BAD e says why. */
struct etcd_value *etcd_value_new(const struct etcd_pair *p, struct err *e);
void etcd_value_free(struct etcd_value *v); /* NULL is fine */

/* ---- the tree (etcd_tree.c) ---- */

struct etcd_node;

/* The writer's side; control thread. */
struct etcd_tree {
    struct etcd_node *root;
    uint64_t generation;
    size_t n, bad; /* keys; those whose value cannot be read */
    struct etcd_waste *waste;
};

void etcd_tree_put(struct etcd_tree *t, struct etcd_value *v); /* takes it over */
void etcd_tree_del(struct etcd_tree *t, const char *key, size_t len);
/* What is to be published now. Call etcd_tree_retire() when it is. */
struct etcd_node *etcd_tree_root(struct etcd_tree *t);
void etcd_tree_retire(struct etcd_tree *t);
/* Retires all of it, once nobody can find it any more. */
void etcd_tree_drop(struct etcd_tree *t);

const struct etcd_value *etcd_find(const struct etcd_node *root, const char *key, size_t len);
/* Calls fn in order of the keys for all that begin with prefix, until it says false. */
void etcd_each(const struct etcd_node *root, const char *prefix, size_t len,
               bool (*fn)(void *ctx, const struct etcd_value *v), void *ctx);

/* ---- the data behind a block (etcd_data.c) ---- */

/* Source and tree of one set of options; blocks with the same ones share it, over a reload too. */
struct etcd_data;

struct etcd_data *etcd_data_open(uv_loop_t *loop, const struct etcd_options *o, struct err *e);
void etcd_data_close(struct etcd_data *d); /* NULL is fine */
/* Worker: false before the first list is there. The root may be NULL. */
bool etcd_data_root(const struct etcd_data *d, const struct etcd_node **ret);
/* Worker: is the first list still to come, and it is not long ago that it was begun? */
bool etcd_data_may_wait(const struct etcd_data *d, int64_t now_ns);

/* ---- the plugin ---- */

struct etcd {
    struct zone_set *zones, *fallthrough; /* fallthrough may be NULL */
    char path[ETCD_PATH_MAX];             /* "/skydns"; "" for the root */
    size_t path_len;
    uint32_t lease_min, lease_max; /* seconds */
    struct etcd_options options;
    uv_loop_t *loop;
    struct etcd_data *data;
    struct etcd_held **held; /* by worker; made when needed */
};

/* etcd.c: the step. */
enum step etcd_answer(struct query *q, void *conf);

/* etcd_hold.c: goes on with the query when the first list is there, or does not come. */
enum step etcd_hold(struct query *q, struct etcd *x);
void etcd_hold_stop(struct worker *w, void *conf);

/* etcd_setup.c */
int etcd_read_options(struct etcd *x, struct setup *s, struct dispenser *d, struct err *e);

/* ---- names (etcd_walk.c) ---- */

enum etcd_found { ETCD_FOUND, ETCD_NO_SUCH_NAME, ETCD_BROKEN };

/* Some values, in order; in the query's arena. */
struct etcd_list {
    const struct etcd_value **items;
    size_t n;
    bool cut; /* there were more than ETCD_WALK_MAX */
};

struct etcd_query {
    struct query *q;
    struct etcd *x;
    const struct etcd_node *root;
    const uint8_t *zone; /* plain wire, lower case */
    int64_t now_ns;
    const struct etcd_value *broken; /* with ETCD_BROKEN */
    struct etcd_op *ops, **tail;     /* what the answer is made of, see etcd_answer.c */
    size_t n_ops;
    size_t looked_at; /* values, over all walks */
    unsigned lookups;
};

/* The values of a name (plain wire) that records of that type can come from. exact: those of the
 * name itself, not what lies below it. A walk that meets values that cannot be read goes on without
 * them, unless there are no others. */
enum etcd_found etcd_services(struct etcd_query *e, const uint8_t *name, uint16_t type, bool exact,
                              struct etcd_list *ret);
/* The key of a name; lower case. Returns its length. */
size_t etcd_key(const struct etcd *x, const uint8_t *name, char out[ETCD_PATH_MAX + ETCD_KEY_MAX]);
uint32_t etcd_ttl(const struct etcd_query *e, const struct etcd_value *v);

/* ---- records (etcd_answer.c) ---- */

/* Notes the records and look-ups that answer the question. */
enum etcd_found etcd_plan(struct etcd_query *e);
/* Puts them into the reply, waiting for look-ups as need be. */
enum step etcd_carry_out(struct etcd_query *e);
void etcd_soa(struct etcd_query *e, enum section s);
