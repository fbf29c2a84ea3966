/* Any bytes as a body in protocol buffers: what is read is a document of a kind that is known, and
 * what is refused says why. What is written of it is read as what gives the same bytes again. */
#include "base/str.h"
#include "registry/proto_answer.h"
#include "registry/proto_body.h"
#include "registry/resource.h"
#include "registry/shape.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_twice(const json_t *doc)
{
    struct strbuf first = { 0 }, second = { 0 };
    struct fault f = { 0 };
    json_t *again;
    if (!proto_document_put(doc, &first) || proto_body_read(first.p, first.len, &again, &f) < 0)
        abort();
    if (!proto_document_put(again, &second) || first.len != second.len ||
        memcmp(first.p, second.p, first.len) != 0)
        abort();
    json_decref(again);
    strbuf_done(&first);
    strbuf_done(&second);
}

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
    if (r && shape_object(r, doc, NULL, &shaped, &f) == 0) {
        write_twice(shaped);
        json_decref(shaped);
    }
    fault_done(&f);
    json_decref(doc);
    return 0;
}
