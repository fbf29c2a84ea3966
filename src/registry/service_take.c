/* Families, cluster addresses and node ports of a Service. */
#include "base/str.h"
#include "registry/allocate.h"
#include "registry/kind_service.h"
#include "registry/meta.h"
#include "registry/path.h"

#include <string.h>

struct taking {
    struct write *w;
    struct allocator *a;
    struct fault *f;
    json_t *claimed; /* node ports that the request asks for, as far as it was looked at */
};

static int invalid(struct taking *t)
{
    return fault_invalid(t->f, t->w->resource, meta_name(t->w->doc));
}

/* ---- families ---- */

static const char *family_word(unsigned family)
{
    return family == 6 ? "IPv6" : "IPv4";
}

static bool has_family(const struct taking *t, const char *word)
{
    for (unsigned i = 0; allocator_family(t->a, i); i++)
        if (strcmp(family_word(allocator_family(t->a, i)), word) == 0)
            return true;
    return false;
}

static json_t *families(json_t *doc)
{
    json_t *list = path_get(doc, "spec.ipFamilies");
    if (!json_is_array(list)) {
        list = json_array();
        path_set(doc, "spec.ipFamilies", list);
    }
    return list;
}

static void add_other_family(json_t *list)
{
    const char *first = json_string_value(json_array_get(list, 0));
    json_array_append_new(list, json_string(strcmp(first, "IPv6") == 0 ? "IPv4" : "IPv6"));
}

/* Addresses that were given tell their families. */
static void families_of_ips(json_t *doc)
{
    const json_t *ips = path_get(doc, "spec.clusterIPs");
    json_t *list = families(doc);
    for (size_t i = json_array_size(list); i < json_array_size(ips); i++) {
        const char *ip = json_string_value(json_array_get(ips, i));
        if (strcmp(ip, "None") != 0)
            json_array_append_new(list, json_string(strchr(ip, ':') ? "IPv6" : "IPv4"));
    }
}

static void default_policy(struct taking *t)
{
    json_t *doc = t->w->doc;
    bool selectorless =
        service_is_headless(doc) && !json_object_size(path_get(doc, "spec.selector"));
    const char *old = path_text(t->w->old, "spec.ipFamilyPolicy");
    if (old)
        path_default_text(doc, "spec.ipFamilyPolicy", old);
    else
        path_default_text(doc, "spec.ipFamilyPolicy",
                          selectorless ? "RequireDualStack" : "SingleStack");
}

/* From two families to one: what was left as it was loses its second half. */
static void trim(struct taking *t)
{
    static const char *const lists[] = { "spec.ipFamilies", "spec.clusterIPs" };
    json_t *doc = t->w->doc;
    if (!t->w->old || !str_eq(path_text(doc, "spec.ipFamilyPolicy"), "SingleStack"))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        json_t *now = path_get(doc, lists[i]);
        const json_t *old = path_get(t->w->old, lists[i]);
        if (json_array_size(now) == 2 && old && json_equal(now, old))
            json_array_remove(now, 1);
    }
}

static void check_single(struct taking *t)
{
    json_t *doc = t->w->doc;
    const json_t *policy = path_get(doc, "spec.ipFamilyPolicy");
    if (!str_eq(json_string_value(policy), "SingleStack"))
        return;
    if (json_array_size(path_get(doc, "spec.clusterIPs")) == 2)
        fault_value(t->f, "spec.ipFamilyPolicy", policy,
                    "may be RequireDualStack or PreferDualStack when multiple cluster IPs are "
                    "specified");
    if (json_array_size(path_get(doc, "spec.ipFamilies")) == 2)
        fault_value(t->f, "spec.ipFamilyPolicy", policy,
                    "may be RequireDualStack or PreferDualStack when multiple IP families are "
                    "specified");
}

static void check_offered(struct taking *t, const json_t *list, bool dual)
{
    char field[64];
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)snprintf(field, sizeof field, "spec.ipFamilies[%zu]", i);
        if (!has_family(t, json_string_value(json_array_get(list, i))))
            fault_value(t->f, field, json_array_get(list, i), "not configured on this cluster");
    }
    if (dual && !allocator_family(t->a, 1))
        fault_value(t->f, "spec.ipFamilyPolicy", path_get(t->w->doc, "spec.ipFamilyPolicy"),
                    "this cluster is not configured for dual-stack services");
}

static int settle_families(struct taking *t)
{
    json_t *doc = t->w->doc;
    bool headless = service_is_headless(doc);
    bool free_choice = headless && !json_object_size(path_get(doc, "spec.selector"));
    families_of_ips(doc);
    default_policy(t);
    trim(t);
    check_single(t);
    if (invalid(t) < 0)
        return -1;
    json_t *list = families(doc);
    const char *policy = path_text(doc, "spec.ipFamilyPolicy");
    bool single = strcmp(policy, "SingleStack") == 0;
    if (!json_array_size(list))
        json_array_append_new(list, json_string(family_word(allocator_family(t->a, 0))));
    if (!free_choice)
        check_offered(t, list, strcmp(policy, "RequireDualStack") == 0);
    if (invalid(t) < 0)
        return -1;
    if (!single && json_array_size(list) == 1 && (free_choice || allocator_family(t->a, 1)))
        add_other_family(list);
    return 0;
}

/* ---- addresses ---- */

static int take_ip(struct taking *t, json_t *ips, size_t i)
{
    json_t *doc = t->w->doc;
    char text[IP_TEXT_MAX], why[256];
    const char *given = json_string_value(json_array_get(ips, i)), *wrong;
    const char *word = json_string_value(json_array_get(path_get(doc, "spec.ipFamilies"), i));
    if (!given) {
        if (allocator_ip_draw(t->a, strcmp(word, "IPv6") == 0 ? 6 : 4, t->w->dry_run, text) < 0)
            return fault_set(t->f, 500, "InternalError",
                             "Internal error occurred: failed to allocate a serviceIP: range is "
                             "full");
        json_array_append_new(ips, json_string(text));
        return 0;
    }
    wrong = allocator_ip_wrong(t->a, given, meta_namespace(doc), meta_name(doc));
    if (!wrong)
        return 0;
    (void)snprintf(why, sizeof why, "failed to allocate IP %s: %s", given, wrong);
    fault_value(t->f, "spec.clusterIPs", ips, why);
    return invalid(t);
}

static int take_ips(struct taking *t)
{
    json_t *doc = t->w->doc, *ips = path_get(doc, "spec.clusterIPs");
    if (!json_is_array(ips)) {
        ips = json_array();
        path_set(doc, "spec.clusterIPs", ips);
    }
    for (size_t i = 0; i < json_array_size(path_get(doc, "spec.ipFamilies")); i++)
        if (take_ip(t, ips, i) < 0)
            return -1;
    path_set(doc, "spec.clusterIP", json_incref(json_array_get(ips, 0)));
    return 0;
}

/* ---- node ports ---- */

static bool had_port(const struct taking *t, json_int_t port)
{
    const json_t *list = service_ports(t->w->old);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_object_get(json_array_get(list, i), "nodePort")) == port)
            return true;
    return port && json_integer_value(path_get(t->w->old, "spec.healthCheckNodePort")) == port;
}

/* Why this request cannot have a port; NULL: it is the request's from now on. A new Service may ask
 * for one only once. */
static const char *claim_wrong(struct taking *t, long n, char out[128])
{
    char range[32];
    bool claimed = false;
    for (size_t i = 0; i < json_array_size(t->claimed); i++)
        claimed |= json_integer_value(json_array_get(t->claimed, i)) == n;
    if (had_port(t, n) || (claimed && t->w->old))
        return NULL;
    if (!t->w->dry_run && !allocator_port_in_range(t->a, n)) {
        (void)snprintf(out, 128,
                       "provided port is not in the valid range. The range of valid ports is %s",
                       allocator_port_range(t->a, range));
        return out;
    }
    if (claimed || allocator_port_used(t->a, n))
        return "provided port is already allocated";
    json_array_append_new(t->claimed, json_integer(n));
    return NULL;
}

static int claim_port(struct taking *t, const json_t *port, const char *field)
{
    char text[128];
    const char *wrong = claim_wrong(t, (long)json_integer_value(port), text);
    if (wrong)
        fault_value(t->f, field, port, wrong);
    return invalid(t);
}

static int draw_port(struct taking *t, json_t *mine, json_t *holder, const char *name)
{
    long n;
    if (allocator_port_draw(t->a, mine, &n) < 0)
        return fault_set(t->f, 500, "InternalError",
                         "Internal error occurred: failed to allocate a nodePort: range is full");
    json_object_set_new(holder, name, json_integer(n));
    json_array_append_new(mine, json_integer(n));
    return 0;
}

/* In a new Service ports of the same number share a node port, that of the first of them. */
static json_t *shared_port(const json_t *list, const json_t *p)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        json_t *n = json_object_get(o, "nodePort");
        if (json_integer_value(n) &&
            json_equal(json_object_get(o, "port"), json_object_get(p, "port")))
            return n;
    }
    return NULL;
}

/* Is that node port one which an earlier port of the same number has been given? */
static bool has_shared(const json_t *list, size_t i)
{
    const json_t *p = json_array_get(list, i);
    for (size_t k = 0; k < i; k++) {
        const json_t *o = json_array_get(list, k);
        if (json_equal(json_object_get(o, "port"), json_object_get(p, "port")))
            return json_equal(json_object_get(o, "nodePort"), json_object_get(p, "nodePort"));
    }
    return false;
}

static int take_port(struct taking *t, json_t *mine, size_t i, bool draw)
{
    char field[64];
    const json_t *list = service_ports(t->w->doc);
    json_t *p = json_array_get(list, i), *shared;
    (void)snprintf(field, sizeof field, "spec.ports[%zu].nodePort", i);
    bool given = json_integer_value(json_object_get(p, "nodePort")) != 0;
    if (!given && !draw)
        return 0;
    if (!given && !t->w->old && (shared = shared_port(list, p))) {
        json_object_set(p, "nodePort", shared);
        given = true;
    }
    if (!given)
        return draw_port(t, mine, p, "nodePort");
    if (!t->w->old && has_shared(list, i))
        return 0;
    return claim_port(t, json_object_get(p, "nodePort"), field);
}

/* Two ports of one protocol with one node port: unnamed ports take it over from the same old one.
 * The original finds this while it allocates, and gives the error no reason. */
static int check_twice(struct taking *t, size_t i)
{
    const json_t *list = service_ports(t->w->doc), *p = json_array_get(list, i);
    const json_t *n = json_object_get(p, "nodePort");
    const char *protocol = path_text(p, "protocol");
    for (size_t k = 0; t->w->old && json_integer_value(n) && k < i; k++) {
        const json_t *o = json_array_get(list, k);
        if (json_equal(json_object_get(o, "nodePort"), n) &&
            str_eq(path_text(o, "protocol"), protocol))
            return fault_set(t->f, 500, "", "duplicate nodePort: {%s %lld}", protocol,
                             (long long)json_integer_value(n));
    }
    return 0;
}

static int take_health(struct taking *t, json_t *mine)
{
    char text[128];
    long n = (long)json_integer_value(path_get(t->w->doc, "spec.healthCheckNodePort"));
    if (!n)
        return draw_port(t, mine, path_object(t->w->doc, "spec"), "healthCheckNodePort");
    const char *wrong = claim_wrong(t, n, text);
    return !wrong ? 0
                  : fault_set(t->f, 500, "InternalError",
                              "Internal error occurred: failed to allocate requested HealthCheck "
                              "NodePort %ld: %s",
                              n, wrong);
}

static int take_ports(struct taking *t)
{
    json_t *doc = t->w->doc, *mine = json_array();
    const json_t *list = service_ports(doc);
    bool draw = !service_is(doc, "LoadBalancer") ||
                json_is_true(path_get(doc, "spec.allocateLoadBalancerNodePorts"));
    int r = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *n = json_object_get(json_array_get(list, i), "nodePort");
        if (json_integer_value(n))
            json_array_append(mine, n);
    }
    for (size_t i = 0; r == 0 && service_needs_ports(doc) && i < json_array_size(list); i++) {
        r = take_port(t, mine, i, draw);
        if (r == 0)
            r = check_twice(t, i);
    }
    if (r == 0 && service_needs_health(doc) && !service_needs_health(t->w->old))
        r = take_health(t, mine);
    json_decref(mine);
    return r;
}

static bool loses_second(const struct taking *t, const char *list)
{
    return json_array_size(path_get(t->w->old, list)) == 2 &&
           json_array_size(path_get(t->w->doc, list)) == 1;
}

/* The second address or family is given back by saying that there is to be one. */
static void check_release(struct taking *t)
{
    static const char path[] = "spec.ipFamilyPolicy";
    json_t *doc = t->w->doc;
    const char *old = path_text(t->w->old, path);
    bool ip = loses_second(t, "spec.clusterIPs"), family = loses_second(t, "spec.ipFamilies");
    if (!ip && !family)
        return;
    if (old)
        path_default_text(doc, path, old);
    if (str_eq(path_text(doc, path), "SingleStack"))
        return;
    if (ip)
        fault_value(t->f, path, path_get(doc, path),
                    "must be 'SingleStack' to release the secondary cluster IP");
    if (family)
        fault_value(t->f, path, path_get(doc, path),
                    "must be 'SingleStack' to release the secondary IP family");
}

/* The checks will tell: no address is drawn for it. */
static bool is_exchanged(const struct write *w)
{
    const json_t *a = json_array_get(path_get(w->doc, "spec.clusterIPs"), 0);
    const json_t *b = json_array_get(path_get(w->old, "spec.clusterIPs"), 0);
    return a && b && !json_equal(a, b);
}

int service_take(struct write *w, struct fault *f)
{
    struct taking t = { .w = w, .a = registry_allocator(w->registry), .f = f };
    if (*w->sub || !service_needs_ip(w->doc))
        return 0;
    t.claimed = json_array();
    service_check_ips(w->doc, f);
    int r = invalid(&t);
    if (r == 0) {
        check_release(&t);
        r = invalid(&t);
    }
    bool exchanged = is_exchanged(w);
    if (r == 0)
        r = settle_families(&t);
    if (r == 0 && !exchanged && !service_is_headless(w->doc))
        r = take_ips(&t);
    if (r == 0)
        r = take_ports(&t);
    json_decref(t.claimed);
    return r;
}
