#include "registry/allocate.h"

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/shape.h"

#include <string.h>

#define PORT_COUNT 65536
#define DRAWS_MAX  (1 << 20) /* addresses looked at in a range before it counts as full */

struct range {
    struct ip_prefix prefix;
    char text[64];
    unsigned __int128 first, last, offset; /* usable numbers; offset: of the part for drawing */
};

struct allocator {
    struct registry *registry;
    const struct resource *services, *addresses, *cidrs;
    struct range ranges[ALLOCATE_RANGES_MAX];
    unsigned n_ranges;
    long port_min, port_max;
    uint32_t ports[PORT_COUNT]; /* uses of each */
    bool loading;
};

typedef unsigned __int128 number;

/* ---- addresses as numbers ---- */

static number number_of(const struct ip *ip)
{
    number n = 0;
    for (size_t i = 0; i < ip_len(ip); i++)
        n = n << 8 | ip->bytes[i];
    return n;
}

static struct ip ip_of(number n, unsigned family)
{
    struct ip ip = { .family = (uint8_t)family };
    for (size_t i = ip_len(&ip); i > 0; i--, n >>= 8)
        ip.bytes[i - 1] = (uint8_t)n;
    return ip;
}

/* A sixteenth of the range, 16 to 256 addresses, is left for those who ask by name. */
static number band(number size, number part, number least, number most)
{
    number n = size / part;
    if (size <= least)
        return 0;
    return n < least ? least : n > most ? most : n;
}

/* Without network and broadcast address. */
static void measure(struct range *r)
{
    unsigned bits = (r->prefix.ip.family == 4 ? 32u : 128u) - r->prefix.bits;
    number size = (number)1 << bits;
    r->first = number_of(&r->prefix.ip) + 1;
    r->last = number_of(&r->prefix.ip) + size - (r->prefix.ip.family == 4 ? 2 : 1);
    r->offset = band(size, 16, 16, 256);
}

static int read_range(struct allocator *a, const char *text, struct err *e)
{
    if (a->n_ranges == ALLOCATE_RANGES_MAX)
        return err_set(e, ERR_INVALID, "--service-cluster-ip-range: more than one of each family");
    struct range *r = &a->ranges[a->n_ranges];
    if (ip_prefix_parse(text, &r->prefix) < 0)
        return err_set(e, ERR_PARSE,
                       "--service-cluster-ip-range: \"%s\" is no address block, as 10.96.0.0/16",
                       text);
    unsigned least = r->prefix.ip.family == 4 ? 8 : 64, most = r->prefix.ip.family == 4 ? 30 : 126;
    if (r->prefix.bits < least || r->prefix.bits > most)
        return err_set(e, ERR_INVALID, "--service-cluster-ip-range: %s: must be /%u to /%u", text,
                       least, most);
    if (a->n_ranges && r->prefix.ip.family == a->ranges[0].prefix.ip.family)
        return err_set(e, ERR_INVALID, "--service-cluster-ip-range: two of the same family");
    char ip[IP_TEXT_MAX];
    (void)snprintf(r->text, sizeof r->text, "%s/%u", ip_text(&r->prefix.ip, ip), r->prefix.bits);
    measure(r);
    a->n_ranges++;
    return 0;
}

int allocator_new(struct registry *r, const struct registry_options *o, struct allocator **ret,
                  struct err *e)
{
    struct allocator *a = xcalloc(1, sizeof *a);
    cleanup_free char *copy = xstrdup(o->cluster_ip_range);
    char *rest = copy;
    int code = 0;
    for (char *text; code == 0 && (text = strsep(&rest, ","));)
        code = read_range(a, text, e);
    if (code < 0) {
        free(a);
        return code;
    }
    a->registry = r;
    a->services = resource_find("", "v1", "services");
    a->addresses = resource_find("networking.k8s.io", "v1", "ipaddresses");
    a->cidrs = resource_find("networking.k8s.io", "v1", "servicecidrs");
    a->port_min = o->node_port_min;
    a->port_max = o->node_port_max;
    a->loading = true;
    *ret = a;
    return 0;
}

void allocator_free(struct allocator *a)
{
    free(a);
}

/* ---- objects of our own ---- */

static void put_object(struct allocator *a, const struct resource *of, json_t *doc)
{
    struct fault f = { 0 };
    json_t *shaped;
    meta_fill_new(of, doc, "");
    if (shape_object(of, doc, NULL, &shaped, &f) == 0)
        registry_put(a->registry, of, shaped);
    json_decref(doc);
    fault_done(&f);
}

static void put_address(struct allocator *a, const char *ip, const struct item *service)
{
    struct item *old = registry_find(a->registry, a->addresses, "", ip);
    if (old)
        return;
    put_object(a, a->addresses,
               json_pack("{s:{s:s, s:{s:s, s:s}}, s:{s:{s:s, s:s, s:s, s:s}}}", "metadata", "name",
                         ip, "labels", "ipaddress.kubernetes.io/ip-family",
                         strchr(ip, ':') ? "IPv6" : "IPv4", "ipaddress.kubernetes.io/managed-by",
                         "ipallocator.k8s.io", "spec", "parentRef", "group", "", "resource",
                         "services", "namespace", service->namespace, "name", service->name));
}

static void put_cidr(struct allocator *a)
{
    char now[48];
    json_t *list = json_array();
    if (registry_find(a->registry, a->cidrs, "", "kubernetes")) {
        json_decref(list);
        return;
    }
    for (unsigned i = 0; i < a->n_ranges; i++)
        json_array_append_new(list, json_string(a->ranges[i].text));
    put_object(a, a->cidrs,
               json_pack("{s:{s:s}, s:{s:o}, s:{s:[{s:s, s:s, s:s, s:s, s:s}]}}", "metadata",
                         "name", "kubernetes", "spec", "cidrs", list, "status", "conditions",
                         "type", "Ready", "status", "True", "lastTransitionTime", meta_now(now),
                         "reason", "", "message", "Kubernetes Service CIDR is ready"));
}

/* ---- what Services have ---- */

static bool lists(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), text))
            return true;
    return false;
}

static void change_addresses(struct allocator *a, const json_t *now, const json_t *before,
                             const struct item *service)
{
    const json_t *list = path_get(now, "spec.clusterIPs"),
                 *old = path_get(before, "spec.clusterIPs");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *ip = json_string_value(json_array_get(list, i));
        if (strcmp(ip, "None") != 0 && !lists(old, ip))
            put_address(a, ip, service);
    }
    for (size_t i = 0; i < json_array_size(old); i++) {
        const char *ip = json_string_value(json_array_get(old, i));
        struct item *taken = registry_find(a->registry, a->addresses, "", ip);
        if (taken && !lists(list, ip))
            registry_delete(a->registry, taken);
    }
}

static void count_port(struct allocator *a, const json_t *port, int by)
{
    json_int_t n = json_integer_value(port);
    if (n > 0 && n < PORT_COUNT)
        a->ports[n] += (uint32_t)by;
}

static void count_ports(struct allocator *a, const json_t *doc, int by)
{
    const json_t *list = path_get(doc, "spec.ports");
    for (size_t i = 0; i < json_array_size(list); i++)
        count_port(a, json_object_get(json_array_get(list, i), "nodePort"), by);
    count_port(a, path_get(doc, "spec.healthCheckNodePort"), by);
}

void allocator_changed(struct allocator *a, const struct item *now, const struct item *before)
{
    const struct item *any = now ? now : before;
    if (a->loading || any->resource != a->services)
        return;
    json_t *doc = now ? item_doc(now) : NULL, *old = before ? item_doc(before) : NULL;
    count_ports(a, doc, 1);
    count_ports(a, old, -1);
    change_addresses(a, doc, old, any);
    json_decref(doc);
    json_decref(old);
}

void allocator_start(struct allocator *a)
{
    struct item_list l;
    a->loading = false;
    put_cidr(a);
    registry_list(a->registry, a->services, NULL, &l);
    vec_each (i, &l) {
        json_t *doc = item_doc(*i);
        count_ports(a, doc, 1);
        change_addresses(a, doc, NULL, *i);
        json_decref(doc);
    }
    item_list_done(&l);
}

/* ---- addresses ---- */

unsigned allocator_family(const struct allocator *a, unsigned i)
{
    return i < a->n_ranges ? a->ranges[i].prefix.ip.family : 0;
}

static bool is_free(struct allocator *a, number n, unsigned family, char out[IP_TEXT_MAX])
{
    struct ip ip = ip_of(n, family);
    return registry_find(a->registry, a->addresses, "", ip_text(&ip, out)) == NULL;
}

/* From a random place on, around once. */
static bool draw_between(struct allocator *a, number low, number high, unsigned family,
                         char out[IP_TEXT_MAX])
{
    if (low > high)
        return false;
    number size = high - low + 1;
    number start = rand_seed() % size;
    number looks = size < DRAWS_MAX ? size : DRAWS_MAX;
    for (number i = 0; i < looks; i++)
        if (is_free(a, low + (start + i) % size, family, out))
            return true;
    return false;
}

int allocator_ip_draw(struct allocator *a, unsigned family, bool dry, char out[IP_TEXT_MAX])
{
    struct range *r = a->ranges[0].prefix.ip.family == family ? &a->ranges[0] : &a->ranges[1];
    if (dry) {
        (void)ip_text(&r->prefix.ip, out);
        return 0;
    }
    if (draw_between(a, r->first + r->offset, r->last, family, out) ||
        draw_between(a, r->first, MIN(r->last, r->first + r->offset - 1), family, out))
        return 0;
    return ERR_LIMIT;
}

const char *allocator_ip_wrong(struct allocator *a, const char *text, const char *namespace,
                               const char *name)
{
    struct ip ip;
    char canonical[IP_TEXT_MAX];
    if (ip_parse_sloppy(text, &ip) < 0)
        return "must be a valid IP address";
    number n = number_of(&ip);
    const struct range *in = NULL;
    for (unsigned i = 0; i < a->n_ranges; i++)
        if (a->ranges[i].prefix.ip.family == ip.family && n >= a->ranges[i].first &&
            n <= a->ranges[i].last)
            in = &a->ranges[i];
    if (!in)
        return "the provided IP is not in the valid range";
    const struct item *taken =
        registry_find(a->registry, a->addresses, "", ip_text(&ip, canonical));
    if (!taken)
        return NULL;
    json_t *doc = item_doc(taken);
    bool mine = str_eq(path_text(doc, "spec.parentRef.namespace"), namespace) &&
                str_eq(path_text(doc, "spec.parentRef.name"), name);
    json_decref(doc);
    return mine ? NULL : "provided IP is already allocated";
}

void allocator_first(const struct allocator *a, char out[IP_TEXT_MAX])
{
    struct ip ip = ip_of(a->ranges[0].first, a->ranges[0].prefix.ip.family);
    (void)ip_text(&ip, out);
}

/* ---- ports ---- */

bool allocator_port_in_range(const struct allocator *a, long port)
{
    return port >= a->port_min && port <= a->port_max;
}

bool allocator_port_used(const struct allocator *a, long port)
{
    return port > 0 && port < PORT_COUNT && a->ports[port] > 0;
}

static bool asked_for(const json_t *mine, long port)
{
    for (size_t i = 0; i < json_array_size(mine); i++)
        if (json_integer_value(json_array_get(mine, i)) == port)
            return true;
    return false;
}

static bool draw_port(struct allocator *a, const json_t *mine, long low, long high, long *ret)
{
    long size = high - low + 1;
    long start = size > 0 ? (long)(rand_seed() % (uint64_t)size) : 0;
    for (long i = 0; i < size; i++) {
        long port = low + (start + i) % size;
        if (allocator_port_used(a, port) || asked_for(mine, port))
            continue;
        *ret = port;
        return true;
    }
    return false;
}

int allocator_port_draw(struct allocator *a, const json_t *mine, long *ret)
{
    long kept = (long)band((number)(a->port_max - a->port_min + 1), 32, 16, 128);
    if (draw_port(a, mine, a->port_min + kept, a->port_max, ret) ||
        draw_port(a, mine, a->port_min, a->port_min + kept - 1, ret))
        return 0;
    return ERR_LIMIT;
}

const char *allocator_port_range(const struct allocator *a, char out[32])
{
    (void)snprintf(out, 32, "%ld-%ld", a->port_min, a->port_max);
    return out;
}
