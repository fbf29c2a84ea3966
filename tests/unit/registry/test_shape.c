#include "registry/shape.h"

#include "documents.h"
#include "registry/defaults.h"
#include "registry/resource.h"

static void shaped(const char *type, const char *in, const char *want)
{
    char *why = NULL;
    json_t *d = doc_of(in), *out;
    if (shape_read(schema_type(type), d, NULL, &out, &why) < 0)
        fail_msg("%s", why);
    json_decref(d);
    assert_doc(out, want);
}

static void refused(const char *type, const char *in, const char *want)
{
    char *why = NULL;
    json_t *d = doc_of(in), *out;
    assert_int_equal(shape_read(schema_type(type), d, NULL, &out, &why), -1);
    assert_non_null(strstr(why, want));
    free(why);
    json_decref(d);
}

static void test_zero_values(void **state)
{
    (void)state;
    shaped("core.ServicePort", "{'port':80,'name':''}", "{'port':80,'targetPort':0}");
    shaped("core.ServiceSpec", "{'ports':[],'selector':{},'externalName':null}", "{}");
    shaped("core.ServiceSpec", "{'ipFamilyPolicy':''}", "{'ipFamilyPolicy':''}");
    shaped("discovery.EndpointSlice", "{'addressType':'IPv4','endpoints':[]}",
           "{'metadata':{},'addressType':'IPv4','endpoints':[],'ports':null}");
    shaped("core.Service", "{}", "{'metadata':{},'spec':{},'status':{'loadBalancer':{}}}");
    shaped("core.Volume", "{'name':'v','emptyDir':{}}", "{'name':'v','emptyDir':{}}");
    shaped("coordination.LeaseSpec", "{'renewTime':'2026-01-02T05:04:05.1+02:00'}",
           "{'renewTime':'2026-01-02T03:04:05.100000Z'}");
}

static void test_wrong_values(void **state)
{
    (void)state;
    refused("core.ServicePort", "{'port':'x'}",
            "cannot unmarshal string into Go struct field ServicePort.port of type int32");
    refused("core.ServicePort", "{'port':99999999999}", "of type int32");
    refused("core.ServicePort", "{'port':1.5}", "number 1.5");
    refused("core.Service", "{'spec':{'ports':{}}}",
            "cannot unmarshal object into Go struct field ServiceSpec.spec.ports");
    refused("core.ConfigMap", "{'data':{'a':1}}", "cannot unmarshal number");
    refused("core.ConfigMap", "{'binaryData':{'a':'!'}}", "base64");
    refused("core.Service", "[]", "array");
    refused("core.ResourceRequirements", "{'limits':{'cpu':'1x'}}", "quantities");
    refused("coordination.LeaseSpec", "{'renewTime':'now'}", "parsing time");
}

static void test_unknown_fields(void **state)
{
    char *why = NULL;
    json_t *d = doc_of("{'x':1,'spec':{'y':2,'ports':[{'port':1},{'z':3}]},'kind':'Service'}");
    json_t *unknown = json_array(), *out;
    (void)state;
    assert_int_equal(shape_read(schema_type("core.Service"), d, unknown, &out, &why), 0);
    assert_doc(unknown, "['spec.ports[1].z','spec.y','x']");
    json_decref(out);
    json_decref(d);
}

static void test_defaults(void **state)
{
    json_t *d = doc_of("{'containers':[{'name':'c','ports':[{'containerPort':1}],"
                       "'livenessProbe':{'httpGet':{'port':1}}}]}");
    (void)state;
    defaults_fill(schema_type("core.PodSpec"), d);
    assert_string_equal(json_string_value(json_object_get(d, "restartPolicy")), "Always");
    json_t *c = json_array_get(json_object_get(d, "containers"), 0);
    assert_doc(json_deep_copy(json_object_get(c, "ports")),
               "[{'containerPort':1,'protocol':'TCP'}]");
    assert_doc(json_deep_copy(json_object_get(c, "livenessProbe")),
               "{'httpGet':{'port':1,'path':'/','scheme':'HTTP'},'timeoutSeconds':1,"
               "'periodSeconds':10,'successThreshold':1,'failureThreshold':3}");
    json_decref(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_values),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_defaults),
    };
    schema_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
