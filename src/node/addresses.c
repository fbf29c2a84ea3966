#include "node/addresses.h"

#include "base/log.h"
#include "base/mem.h"
#include "kernel/link.h"

#include <errno.h>

static const char *link_of(const struct node_addresses *a)
{
    return a->on_lo ? "lo" : a->link;
}

/* 1: made, 0: it was there. The link need not be up: local routes are there as soon as it has
 * addresses. */
static int ensure_link(struct node_addresses *a, struct link_table *t, struct err *e)
{
    if (a->on_lo || link_index(t, a->link) > 0)
        return 0;
    int ret = link_add_dummy(t, a->link);
    if (ret == -EOPNOTSUPP) {
        log_info("This kernel knows no dummy links: the addresses go to lo");
        a->on_lo = true;
        return 0;
    }
    return ret < 0 ? err_set(e, ret, "link %s cannot be made: %s", a->link, err_str(ret)) : 1;
}

static int ensure_address(struct node_addresses *a, struct link_table *t, size_t i, struct err *e)
{
    char text[IP_TEXT_MAX];
    int ret = link_add_address(t, link_of(a), &a->ips[i], a->ips[i].family == 6 ? 128 : 32);
    if (ret == -EEXIST) {
        if (a->on_lo && !a->looked)
            a->foreign |= 1U << i;
        return 0;
    }
    return ret < 0 ? err_set(e, ret, "address %s cannot be put on link %s: %s",
                             ip_text(&a->ips[i], text), link_of(a), err_str(ret))
                   : 1;
}

int addresses_open(struct node_addresses *a, struct err *e)
{
    a->links = xcalloc(1, sizeof *a->links);
    int ret = link_table_open(a->links);
    return ret < 0 ? err_set(e, ret, "no netlink socket: %s", err_str(ret)) : 0;
}

int addresses_ensure(struct node_addresses *a, bool inherited, struct err *e)
{
    a->looked |= inherited;
    int made = ensure_link(a, a->links, e);
    for (size_t i = 0; i < a->n_ips && made >= 0; i++) {
        int ret = ensure_address(a, a->links, i, e);
        made = ret < 0 ? ret : made + ret;
    }
    a->looked = true;
    return made;
}

void addresses_remove(struct node_addresses *a)
{
    if (!a->links)
        return;
    if (!a->on_lo)
        (void)link_delete(a->links, a->link);
    for (size_t i = 0; i < a->n_ips && a->on_lo; i++)
        if (!(a->foreign >> i & 1))
            (void)link_delete_address(a->links, "lo", &a->ips[i], a->ips[i].family == 6 ? 128 : 32);
}

void addresses_done(struct node_addresses *a)
{
    if (a->links)
        link_table_done(a->links);
    free(a->links);
    a->links = NULL;
}
