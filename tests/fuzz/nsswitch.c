/* Any text as an nsswitch.conf, as each resolver reads it. */
#include "client/stub.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stub_conf conf = { .n_servers = 1 };
    struct arena a;
    arena_init(&a, 4096);
    const char *text = arena_strndup(&a, (const char *)data, strnlen((const char *)data, size));
    for (size_t i = 0; ways[i]; i++) {
        struct nss_order o;
        struct stub s;
        stub_init(&s, ways[i], &conf, NULL, text);
        ways[i]->order(&s, &a, &o);
        require(o.n <= NSS_STEPS_MAX);
        for (unsigned j = 0; j < o.n; j++)
            require(o.steps[j].name && o.steps[j].returns < 1 << NSS_STATUS_COUNT);
    }
    arena_done(&a);
    return 0;
}
