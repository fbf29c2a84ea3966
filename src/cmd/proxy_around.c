#include "cmd/proxy_around.h"

#include "endpoints/cluster_ip.h"
#include "kube/pod.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The address from which this machine would send to the world; for a folder without our Node. */
static void guess_address(struct ip *ret, uint8_t family)
{
    struct sockaddr_storage to, from;
    socklen_t len = sizeof from;
    struct ip ip;
    cleanup_close int fd =
        socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0 || ip_parse(family == 4 ? "192.0.2.1" : "2001:db8::1", &ip) < 0)
        return;
    socklen_t to_len = ip_to_sockaddr(&ip, 9, &to);
    if (connect(fd, (struct sockaddr *)&to, to_len) == 0 &&
        getsockname(fd, (struct sockaddr *)&from, &len) == 0)
        *ret = ip_of_sockaddr((struct sockaddr *)&from);
}

static void find_node_ips(struct store *store, const struct model *model,
                          const struct proxy_settings *settings, struct address_list *out)
{
    struct ip primary[FAMILIES];
    bool have_node = store_get(store, KIND_NODE, "", settings->node_name) != NULL;
    memcpy(primary, model_place(model)->addresses, sizeof primary);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!have_node && !primary[f].family)
            guess_address(&primary[f], f == 0 ? 4 : 6);
    node_port_addresses(settings, primary, out);
}

static void add_range(void *ctx, const struct object *o)
{
    range_list *ranges = ctx;
    const struct service_cidr *s = service_cidr_of(o);
    for (unsigned i = 0; i < s->n_cidrs; i++)
        vec_push(ranges, s->cidrs[i]);
}

static void add_own_ranges(range_list *ranges)
{
    static const char *const own[] = { CLUSTER_IP_DEFAULT_V4, CLUSTER_IP_DEFAULT_V6 };
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        struct ip_prefix range;
        if (ip_prefix_parse(own[i], &range) < 0)
            abort();
        vec_push(ranges, range);
    }
}

static int compare_ranges(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct ip_prefix));
}

void proxy_ranges_find(struct store *store, const struct proxy_settings *settings, bool from_folder,
                       range_list *ret)
{
    for (unsigned i = 0; i < settings->n_service_ranges; i++)
        vec_push(ret, settings->service_ranges[i]);
    if (settings->n_service_ranges == 0) {
        store_each(store, KIND_SERVICE_CIDR, NULL, add_range, ret);
        if (from_folder)
            add_own_ranges(ret);
    }
    if (ret->n > 0)
        qsort(ret->items, ret->n, sizeof *ret->items, compare_ranges);
}

void proxy_around_find(struct store *store, const struct model *model,
                       const struct proxy_settings *settings, bool from_folder,
                       struct proxy_around *ret)
{
    find_node_ips(store, model, settings, &ret->node_ips);
    proxy_ranges_find(store, settings, from_folder, &ret->ranges);
}

static bool same(const void *x, size_t n_x, const void *y, size_t n_y, size_t size)
{
    return n_x == n_y && (n_x == 0 || memcmp(x, y, n_x * size) == 0);
}

bool proxy_around_equal(const struct proxy_around *a, const struct proxy_around *b)
{
    return same(a->node_ips.ips.items, a->node_ips.ips.n, b->node_ips.ips.items, b->node_ips.ips.n,
                sizeof(struct ip)) &&
           same(a->ranges.items, a->ranges.n, b->ranges.items, b->ranges.n,
                sizeof(struct ip_prefix));
}

struct surroundings proxy_around_view(const struct proxy_around *a)
{
    return (struct surroundings){ .node_ips = a->node_ips.ips.items,
                                  .n_node_ips = a->node_ips.ips.n,
                                  .ranges = a->ranges.items,
                                  .n_ranges = a->ranges.n };
}

void proxy_around_done(struct proxy_around *a)
{
    vec_done(&a->node_ips.ips);
    vec_done(&a->ranges);
}
