/* What `explain` is given of a node: rules as `nft -j list ruleset` prints them, and the lines of a
 * connection table. The first byte says which. */
#include "explain/entries.h"
#include "explain/others.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *ctx, const struct entry *e)
{
    unsigned *sum = ctx;
    *sum += e->from_port + e->chosen_port;
}

static void judge(const char *text)
{
    struct arena a;
    struct others o;
    struct others_finding f;
    struct err e;
    struct others_packet p = { .protocol = IPPROTO_UDP, .to_port = 53 };
    if (ip_parse("10.244.1.9", &p.from) < 0 || ip_parse("10.96.0.10", &p.to) < 0)
        abort();
    arena_init(&a, 65536);
    if (others_read(text, &a, &o, &e) == 0) {
        for (unsigned h = 0; h < HOOKS; h++)
            if (others_drop(&o, (enum hook)h, &p, &a, &f) && !strlen(f.where))
                abort();
        (void)others_untrack(&o, &p, &a, &f);
        (void)others_keep_source(&o, &p, &a, &f);
    }
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned sum = 0;
    if (size == 0 || size > 65536)
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] == 'c')
        entries_read(text, take, &sum);
    else
        judge(text);
    free(text);
    return 0;
}
