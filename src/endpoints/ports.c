#include "endpoints/ports.h"

#include "base/str.h"

#include <string.h>

int port_compare(const void *a, const void *b)
{
    const struct slice_port *x = a, *y = b;
    int r = strcmp(x->name, y->name);
    if (r)
        return r;
    if (x->protocol != y->protocol)
        return x->protocol < y->protocol ? -1 : 1;
    return x->port < y->port ? -1 : x->port > y->port;
}

bool ports_equal(const struct slice_port *a, const struct slice_port *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (port_compare(&a[i], &b[i]) != 0 || !str_eq(a[i].app_protocol, b[i].app_protocol))
            return false;
    return true;
}
