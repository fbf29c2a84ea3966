#include "registry/fieldset.h"

#include "documents.h"

static const char port[] = "'k:{\\'port\\':80,\\'protocol\\':\\'TCP\\'}'";

/* The element of port 80 in a set, in the place of an @. */
static const char *with_port(const char *text)
{
    static char out[4096];
    char *p = out;
    for (; *text; text++) {
        if (*text == '@')
            p += sprintf(p, "%s", port);
        else
            *p++ = *text;
    }
    *p = 0;
    return out;
}

static void test_operations(void **state)
{
    json_t *a = doc_of("{'f:x':{'.':{},'f:y':{}},'f:z':{}}");
    json_t *b = doc_of("{'f:x':{'f:y':{},'f:w':{}}}");
    (void)state;
    assert_doc(fieldset_union(a, b), "{'f:x':{'.':{},'f:y':{},'f:w':{}},'f:z':{}}");
    assert_doc(fieldset_minus(a, b), "{'f:x':{},'f:z':{}}");
    assert_doc(fieldset_common(a, b), "{'f:x':{'f:y':{}}}");
    assert_doc(fieldset_minus(a, a), "{}");
    assert_doc(fieldset_common(a, NULL), "{}");
    json_decref(a);
    json_decref(b);
}

static void test_of_documents(void **state)
{
    const struct schema_type *t = schema_type("core.Service");
    json_t *d = doc_of("{'metadata':{'labels':{'a':'b'}},'spec':{'selector':{'x':'y'},"
                       "'ports':[{'port':80,'name':'http'}],'externalIPs':['1.2.3.4']}}");
    (void)state;
    assert_doc(fieldset_of(t, d),
               with_port("{'f:metadata':{'f:labels':{'f:a':{}}},'f:spec':{'f:selector':{},"
                         "'f:ports':{@:{'.':{},'f:port':{},'f:name':{}}},'f:externalIPs':{}}}"));
    json_decref(d);
}

static void test_differences(void **state)
{
    const struct schema_type *t = schema_type("core.Service");
    json_t *a = doc_of("{'spec':{'type':'ClusterIP','ports':[{'port':80,'name':'a'}]}}");
    json_t *b =
        doc_of("{'metadata':{'labels':{'a':'b'}},'spec':{'ports':[{'port':80,'name':'b'}]}}");
    json_t *changed, *removed;
    (void)state;
    fieldset_compare(t, a, b, &changed, &removed);
    assert_doc(changed, with_port("{'f:metadata':{'.':{},'f:labels':{'.':{},'f:a':{}}},"
                                  "'f:spec':{'f:ports':{@:{'f:name':{}}}}}"));
    assert_doc(removed, "{'f:spec':{'f:type':{}}}");
    json_decref(a);
    json_decref(b);
}

static void test_merge_and_remove(void **state)
{
    const struct schema_type *t = schema_type("core.Service");
    json_t *d = doc_of("{'spec':{'ports':[{'port':1},{'port':80,'name':'a'}],'type':'NodePort'}}");
    json_t *applied = doc_of("{'spec':{'ports':[{'port':9},{'port':80,'name':'b'}]}}");
    json_t *set = doc_of(with_port("{'f:spec':{'f:type':{},'f:ports':{@:{'f:name':{}}}}}"));
    (void)state;
    fieldset_merge(t, d, applied);
    assert_doc(json_deep_copy(d), "{'spec':{'ports':[{'port':1},{'port':9},{'port':80,'name':'b'}],"
                                  "'type':'NodePort'}}");
    json_t *held = doc_of(with_port("{'f:spec':{'f:ports':{@:{'.':{},'f:port':{}}}}}"));
    fieldset_remove(t, d, set, held);
    assert_doc(json_deep_copy(d), "{'spec':{'ports':[{'port':1},{'port':9},{'port':80}]}}");
    fieldset_remove(t, d, set, NULL); /* nobody holds anything in it */
    assert_doc(d, "{}");
    json_decref(applied);
    json_decref(held);
    json_decref(set);
}

static void on_path(void *ctx, const char *path)
{
    strcat(strcat(ctx, path), " ");
}

static void test_paths(void **state)
{
    char text[256] = "";
    json_t *set = doc_of(with_port("{'f:spec':{'f:type':{},'f:ports':{@:{'f:name':{}}}},"
                                   "'f:metadata':{'f:finalizers':{'v:\\'x\\'':{}}}}"));
    struct strbuf twice = { 0 };
    json_t *d = doc_of("{'spec':{'ports':[{'port':80},{'port':80,'protocol':'TCP'}]}}");
    (void)state;
    fieldset_each(set, on_path, text);
    assert_string_equal(text, ".spec.type .spec.ports[port=80,protocol=\"TCP\"].name "
                              ".metadata.finalizers[=\"x\"] ");
    assert_true(fieldset_duplicate(schema_type("core.Service"), d, &twice));
    assert_string_equal(twice.p,
                        ".spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]");
    strbuf_done(&twice);
    json_decref(set);
    json_decref(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),  cmocka_unit_test(test_of_documents),
        cmocka_unit_test(test_differences), cmocka_unit_test(test_merge_and_remove),
        cmocka_unit_test(test_paths),
    };
    schema_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
