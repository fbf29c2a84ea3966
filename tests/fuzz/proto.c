/* Any bytes as an object of the API in protocol buffers: envelope, tree, decoder; as a list, and as
 * a watch event. */
#include "kube/proto.h"
#include "kube/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_object(struct decoder *d, struct arena *a, const uint8_t *p, size_t n)
{
    struct proto_object o;
    const struct tree *t;
    struct object *object = NULL;
    struct err e = { 0 };
    if (proto_unwrap(p, n, a, &o, &e) < 0)
        return;
    const struct proto_message *m = proto_message_find(o.kind);
    if (!m || proto_tree(m, 0, o.raw, o.len, a, &t, &e) < 0)
        return;
    if (decoder_read(d, t, o.api_version, o.kind, &object, &e) < 0 && !e.text[0])
        abort();
    object_free(object);
}

static void read_list(struct arena *a, const uint8_t *p, size_t n)
{
    static const char *const kinds[] = { "Service", "Endpoints", "Lease", "Node" };
    struct cursor list = cursor_of(p, n);
    const struct tree *t;
    const uint8_t *item;
    size_t len, i = 0;
    while (proto_list_next(&list, &item, &len, NULL) == 1 && i < 100)
        (void)proto_tree(proto_message_find(kinds[i++ % 4]), 0, item, len, a, &t, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err e;
    const char *type;
    const uint8_t *object;
    size_t len;
    struct decoder *d = decoder_new("fuzz", 0);
    arena_init(&a, 4096);
    read_object(d, &a, data, size);
    read_list(&a, data, size);
    if (proto_event(data, size, &a, &type, &object, &len, &e) == 0 && object)
        read_object(d, &a, object, len);
    arena_done(&a);
    decoder_free(d);
    return 0;
}
