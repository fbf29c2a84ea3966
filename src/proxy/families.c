#include "proxy/families.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static int can_write(const struct iptables_backend *backend, uint8_t family, const char *proc,
                     struct err *e)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/net/if_inet6", proc);
    if (family == 6 && access(path, F_OK) < 0)
        return err_set(e, -EAFNOSUPPORT, "the kernel has no IPv6 (there is no %s)", path);
    return backend ? iptables_knows(backend, family, e) : 0;
}

int families_find(const struct iptables_backend *backend, const struct ip addresses[FAMILIES],
                  const char *proc, void (*warn)(void *ctx, const char *text), void *ctx,
                  bool ret[FAMILIES], struct err *e)
{
    unsigned first = !addresses[0].family && addresses[1].family ? 1 : 0;
    for (unsigned i = 0; i < FAMILIES; i++) {
        unsigned f = i == 0 ? first : !first;
        struct err why = { 0 };
        int code = can_write(backend, f == 0 ? 4 : 6, proc, &why);
        ret[f] = code == 0;
        if (code != 0 && f == first)
            return err_set(e, code, "no %s rules can be written on this host: %s", family_names[f],
                           why.text);
        if (code != 0) {
            struct strbuf text = { 0 };
            strbuf_printf(&text, "Services have no %s addresses on this host: %s", family_names[f],
                          why.text);
            warn(ctx, text.p);
            strbuf_done(&text);
        }
    }
    return 0;
}
