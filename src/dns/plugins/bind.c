/* `bind ADDR|IFACE...`: listens on these addresses only. Interface names stand for all their
 * addresses at the time of the start. */
#include "dns/plugin.h"

#include <ifaddrs.h>
#include <string.h>

struct bind_list {
    struct ip *items;
    size_t n;
};

static void bind_add(struct setup *s, struct bind_list *l, const struct ip *ip)
{
    struct ip *items = arena_alloc(setup_arena(s), (l->n + 1) * sizeof *items);
    for (size_t i = 0; i < l->n; i++) {
        if (ip_equal(&l->items[i], ip))
            return;
        items[i] = l->items[i];
    }
    items[l->n] = *ip;
    l->items = items;
    l->n++;
}

/* Link-local IPv6 addresses would need a scope to be bound; they are left out. */
static bool can_bind(const struct ip *ip)
{
    return ip->family == 4 ||
           (ip->family == 6 && !(ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80));
}

static size_t interface_addresses(struct setup *s, const char *name, struct bind_list *l)
{
    struct ifaddrs *all = NULL;
    size_t found = 0;
    if (getifaddrs(&all) < 0)
        return 0;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || strcmp(i->ifa_name, name) != 0)
            continue;
        struct ip ip = ip_of_sockaddr(i->ifa_addr);
        if (!can_bind(&ip))
            continue;
        bind_add(s, l, &ip);
        found++;
    }
    freeifaddrs(all);
    return found;
}

static int read_address(struct setup *s, struct dispenser *d, struct bind_list *l, struct err *e)
{
    struct ip ip;
    const char *text = dispenser_val(d);
    if (ip_parse(text, &ip) == 0) {
        bind_add(s, l, &ip);
        return 0;
    }
    if (interface_addresses(s, text, l))
        return 0;
    return dispenser_err(d, e, "not a valid IP address or interface name: '%s'", text);
}

static bool excepted(const struct bind_list *except, const struct ip *ip)
{
    for (size_t i = 0; i < except->n; i++)
        if (ip_equal(&except->items[i], ip))
            return true;
    return false;
}

static int read_block(struct setup *s, struct dispenser *d, struct bind_list *except, struct err *e)
{
    while (dispenser_next_block(d)) {
        if (strcmp(dispenser_val(d), "except") != 0)
            return dispenser_unknown(d, e);
        size_t before = except->n;
        while (dispenser_next_arg(d)) {
            int ret = read_address(s, d, except, e);
            if (ret < 0)
                return ret;
        }
        if (except->n == before)
            return dispenser_arg_err(d, e);
    }
    return 0;
}

static int bind_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct bind_list bind = { 0 }, except = { 0 };
    while (dispenser_next_directive(d)) {
        size_t args = 0;
        for (; dispenser_next_arg(d); args++) {
            int ret = read_address(s, d, &bind, e);
            if (ret < 0)
                return ret;
        }
        if (args == 0)
            return dispenser_arg_err(d, e);
        int ret = read_block(s, d, &except, e);
        if (ret < 0)
            return ret;
    }
    size_t bound = 0;
    for (size_t i = 0; i < bind.n; i++) {
        if (excepted(&except, &bind.items[i]))
            continue;
        setup_bind(s, &bind.items[i]);
        bound++;
    }
    return bound ? 0 : dispenser_err(d, e, "no address is left to bind");
}

const struct plugin plugin_bind = { .name = "bind", .setup = bind_setup, .repeatable = true };
