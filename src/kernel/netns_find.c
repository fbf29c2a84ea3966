#include "kernel/netns_find.h"

#include "base/cleanup.h"
#include "base/ht.h"
#include "kernel/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADDRESSES_MAX 4096 /* of one namespace */

int netns_of(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool netns_same(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Of the thread's namespace. */
static int read_addresses(struct ip *out, size_t max)
{
    struct ifaddrs *all;
    size_t n = 0;
    if (getifaddrs(&all) < 0)
        return -errno;
    for (const struct ifaddrs *a = all; a && n < max; a = a->ifa_next) {
        struct ip ip = a->ifa_addr ? ip_of_sockaddr(a->ifa_addr) : (struct ip){ .family = 0 };
        if (ip.family && !(a->ifa_flags & IFF_LOOPBACK))
            out[n++] = ip;
    }
    freeifaddrs(all);
    return (int)n;
}

int netns_addresses(int net, struct ip *out, size_t max)
{
    cleanup_close int home = netns_current();
    int code = home < 0 ? home : netns_enter(net);
    if (code < 0)
        return code;
    code = read_addresses(out, max);
    int back = netns_enter(home);
    return back < 0 ? back : code;
}

static int visit(const struct netns_search *s, int net, pid_t pid)
{
    struct ip ips[ADDRESSES_MAX];
    int n = netns_addresses(net, ips, ADDRESSES_MAX);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < s->n_ips; k++)
            if (ip_equal(&s->ips[k], &ips[i]))
                s->found(s->ctx, k, pid);
    return n;
}

/* True: it is the first time. */
static bool is_new(struct ht *seen, int net)
{
    struct stat st;
    if (fstat(net, &st) < 0 || ht_get(seen, &st.st_ino, sizeof st.st_ino))
        return false;
    ht_put(seen, &st.st_ino, sizeof st.st_ino, seen);
    return true;
}

static void look_at(const struct netns_search *s, pid_t pid, struct ht *seen,
                    struct netns_searched *r)
{
    cleanup_close int net = netns_of(pid);
    int code = net;
    if (net == -ENOENT || net == -ESRCH) /* it has just ended */
        return;
    if (net >= 0 && !is_new(seen, net))
        return;
    if (net >= 0)
        code = visit(s, net, pid);
    r->namespaces += code >= 0;
    if (code >= 0)
        return;
    r->closed++;
    r->error = code;
}

int netns_find(const struct netns_search *s, struct netns_searched *ret, struct err *e)
{
    struct ht seen = { 0 };
    DIR *proc = opendir("/proc");
    *ret = (struct netns_searched){ .namespaces = 0 };
    if (!proc)
        return err_set(e, -errno, "/proc: %s", strerror(errno));
    for (const struct dirent *d = readdir(proc); d; d = readdir(proc)) {
        char *end;
        long pid = strtol(d->d_name, &end, 10);
        ret->limited = ret->namespaces >= NETNS_FIND_MAX;
        if (!*end && pid > 0 && !ret->limited)
            look_at(s, (pid_t)pid, &seen, ret);
    }
    (void)closedir(proc);
    ht_done(&seen);
    return 0;
}
