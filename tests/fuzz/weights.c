/* Any text as a file of `loadbalance weighted`. */
#include "dns/plugins/loadbalance.h"
#include "wire/name.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t owner[] = "\003www\007example\003org";
    struct weights *w = NULL;
    struct err e = { 0 };
    struct ip ip;
    if (ip_parse("192.0.2.1", &ip) < 0)
        abort();
    if (weights_parse((const char *)data, size, "weights", &w, &e) < 0) {
        if (!e.code || !e.text[0])
            abort();
        return 0;
    }
    const struct weight_list *l = weights_find(w, owner, sizeof owner);
    uint32_t weight = weight_of(l, &ip);
    if (weight < 1 || weight > WEIGHT_MAX || (!l && weight != WEIGHT_DEFAULT))
        abort();
    weights_free(w);
    return 0;
}
