/* Any bytes as a body in protocol buffers: what is read is a document of a kind that is known, and
 * what is refused says why. */
#include "registry/proto_body.h"
#include "registry/resource.h"
#include "registry/shape.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault f = { 0 };
    json_t *doc, *shaped;
    schema_init();
    if (proto_body_read(data, size, &doc, &f) < 0) {
        if (f.code != 400 || !f.message)
            abort();
        fault_done(&f);
        return 0;
    }
    const char *kind = json_string_value(json_object_get(doc, "kind"));
    const char *version = json_string_value(json_object_get(doc, "apiVersion"));
    const struct resource *r = kind && version ? resource_of_kind(version, kind) : NULL;
    if (r && shape_object(r, doc, NULL, &shaped, &f) == 0)
        json_decref(shaped);
    fault_done(&f);
    json_decref(doc);
    return 0;
}
