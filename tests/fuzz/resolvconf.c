/* Any text as a resolv.conf: as the kubelet reads it, as each resolver does, and the file that a
 * Pod gets from it. */
#include "client/resolvconf.h"
#include "client/textfile.h"
#include "client/way.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Through a file, with the bounds of the command. */
static const char *read_text(const uint8_t *data, size_t size, struct arena *a)
{
    char path[64];
    const char *text = NULL;
    int fd = memfd_create("resolv.conf", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int ret = textfile_read(path, HOST_RESOLVCONF_MAX, a, &text, NULL, NULL);
    require((ret == 0) == (memchr(data, 0, size) == NULL));
    close(fd);
    return ret == 0 ? text : NULL;
}

/* What was written is read as the same. */
static void write_again(const struct resolvconf *r, struct arena *a)
{
    struct resolvconf back;
    const char *text = resolvconf_text(r, a);
    require(resolvconf_parse_host(text, a, &back, NULL) == 0);
    require(back.servers.n == r->servers.n && back.searches.n == r->searches.n);
}

static void read_in_way(const struct way *way, const char *text, struct arena *a)
{
    static const struct stub_env env = { .hostname = "pod.example.org",
                                         .res_options = "ndots:3 rotate" };
    struct stub_conf conf;
    struct walk w;
    unsigned candidates = 0;
    way->read_conf(text, &env, a, &conf);
    require(conf.n_servers >= 1 && conf.n_servers <= STUB_SERVERS_MAX);
    require(conf.ndots >= 0 && conf.timeout_ms / 1000 == conf.timeout);
    if (way == &way_glibc) {
        require(conf.n_servers <= STUB_SERVERS_USED);
        require(conf.ndots <= STUB_NDOTS_MAX && conf.timeout <= STUB_TIMEOUT_MAX);
        require(conf.attempts <= STUB_ATTEMPTS_MAX);
    } else {
        require(conf.attempts >= 0 && conf.timeout_ms >= 0);
    }
    walk_init(&w, way->walk, "bar.other", &conf, a);
    while (walk_next(&w)) {
        walk_report(&w, WALK_NXDOMAIN);
        require(++candidates <= conf.searches.n + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct resolvconf r;
    arena_init(&a, 4096);
    const char *text = read_text(data, size, &a);
    if (text) {
        if (resolvconf_parse_host(text, &a, &r, NULL) == 0)
            write_again(&r, &a);
        for (size_t i = 0; ways[i]; i++)
            read_in_way(ways[i], text, &a);
    }
    arena_done(&a);
    return 0;
}
