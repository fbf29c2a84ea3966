/* Replies of etcd's gateway, line by line as a watch brings them. */
#include "source/etcd_reply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct etcd_reply *r)
{
    if (r->error && (!r->code || r->n))
        abort();
    for (size_t i = 0; i < r->n; i++) {
        const struct etcd_event *ev = &r->events[i];
        if (!ev->key_len || ev->key[ev->key_len] || ev->value[ev->value_len])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        struct etcd_reply r;
        struct arena a;
        struct err e = { 0 };
        arena_init(&a, 4096);
        if (etcd_reply_parse(p, n, &a, &r, &e) == 0)
            check(&r);
        else if (!e.text[0])
            abort();
        arena_done(&a);
        p += n + 1;
    }
    return 0;
}
