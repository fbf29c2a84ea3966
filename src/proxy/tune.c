#include "proxy/tune.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct tuner {
    const char *root;
    void (*warn)(void *ctx, const char *text);
    void *ctx;
};

/* Returns the value, or a negative errno. */
static long read_number(const char *path)
{
    char text[32] = "";
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    long value;
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return -errno;
    text[strcspn(text, "\n\t ")] = '\0';
    return str_to_long(text, 0, LONG_MAX, &value) == 0 ? value : -EINVAL;
}

static int write_number(const char *path, long value)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", value);
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, (size_t)n) == n ? 0 : -errno;
}

static void set(const struct tuner *t, const char *name, long value)
{
    char path[512], said[512];
    snprintf(path, sizeof path, "%s/%s", t->root, name);
    long now = read_number(path);
    if (now == value)
        return;
    int ret = now < 0 && now != -EINVAL ? (int)now : write_number(path, value);
    if (ret == 0)
        return;
    snprintf(said, sizeof said, "sysctl %s stays as it is, %ld was wanted: %s", name, value,
             err_str(ret));
    t->warn(t->ctx, said);
}

static void set_seconds(const struct tuner *t, const char *name, long long ns)
{
    if (ns > 0)
        set(t, name, (long)(ns / 1000000000));
}

void tune_apply(const struct tune_options *o, const char *root,
                void (*warn)(void *ctx, const char *text), void *ctx)
{
    struct tuner t = { root, warn, ctx };
    if (o->max_per_core > 0) {
        long cores = MAX(sysconf(_SC_NPROCESSORS_CONF), 1);
        set(&t, "net/netfilter/nf_conntrack_max", MAX(o->min, o->max_per_core * cores));
    }
    set_seconds(&t, "net/netfilter/nf_conntrack_tcp_timeout_established", o->tcp_established_ns);
    set_seconds(&t, "net/netfilter/nf_conntrack_tcp_timeout_close_wait", o->tcp_close_wait_ns);
    set_seconds(&t, "net/netfilter/nf_conntrack_udp_timeout", o->udp_ns);
    set_seconds(&t, "net/netfilter/nf_conntrack_udp_timeout_stream", o->udp_stream_ns);
    if (o->tcp_be_liberal)
        set(&t, "net/netfilter/nf_conntrack_tcp_be_liberal", 1);
}

void tune_localnet(const char *root, void (*warn)(void *ctx, const char *text), void *ctx)
{
    struct tuner t = { root, warn, ctx };
    set(&t, "net/ipv4/conf/all/route_localnet", 1);
}

bool tune_is_liberal(const char *root)
{
    char path[512];
    snprintf(path, sizeof path, "%s/net/netfilter/nf_conntrack_tcp_be_liberal", root);
    return read_number(path) > 0;
}
