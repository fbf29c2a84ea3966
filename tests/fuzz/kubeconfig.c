/* Any bytes as a kubeconfig file: what is read is complete, what is refused has a sentence. */
#include "source/kubeconfig.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct api_config *c)
{
    if (strncmp(c->server, "http://", 7) != 0 && strncmp(c->server, "https://", 8) != 0)
        abort();
    if (!(c->cert || c->cert_pem) != !(c->key || c->key_pem))
        abort();
    if ((c->insecure && (c->ca || c->ca_pem)) || !c->namespace || !*c->namespace)
        abort();
    for (size_t i = 0; c->exec && i < c->exec->n_env; i++)
        if (!strchr(c->exec->env[i], '='))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    const char *files[] = { path, path };
    struct api_config c = { 0 };
    struct arena a;
    struct err e = { 0 };
    if (fd < 0)
        fd = memfd_create("kubeconfig", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    arena_init(&a, 4096);
    for (size_t n = 1; n <= 2; n++) {
        const char *context = n == 2 ? "other" : NULL;
        if (kubeconfig_load(files, n, context, &a, &c, &e) == 0)
            check(&c);
        else if (!e.text[0])
            abort();
    }
    arena_done(&a);
    return 0;
}
