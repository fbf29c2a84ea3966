/* The template of the node cache's Corefile: whatever it is, it is rendered or refused. */
#include "node/template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stub_domain stub = { "a.example", "10.1.1.1" };
    const struct node_settings settings = { .upstreams = size % 2 ? "8.8.8.8" : NULL,
                                            .stubs = &stub,
                                            .n_stubs = 1 };
    const struct template_values v = {
        .local = "10.0.0.10", .cluster = "10.0.0.11", .port = 53, .settings = &settings
    };
    cleanup(strbuf_done) struct strbuf out = { 0 };
    struct err e;
    if (template_render((const char *)data, size, "base", &v, &out, &e) == 0 &&
        !memmem(out.p, out.len, "a.example:53 {", 14))
        abort(); /* the stub domain's block is missing */
    return 0;
}
