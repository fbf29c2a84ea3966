/* What is run of a Pod manifest, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/podspec.h"

#include <stdio.h>

static const struct pod_facts facts = { "10.244.1.5", "10.244.1.5,fd00::5", "172.18.0.11", "node-1",
                                        "foo" };

struct read {
    json_t *json;
    struct podspec spec;
    struct err e;
    int code;
};

static void read_container(struct read *r, const char *container, const char *more)
{
    char text[4096];
    (void)snprintf(
        text, sizeof text,
        "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"foo\"},\"spec\":{\"containers\":["
        "{\"name\":\"c\",%s}]%s}}",
        container, more);
    r->json = json_loads(text, 0, NULL);
    assert_non_null(r->json);
    r->e.text[0] = 0;
    r->code = podspec_read(r->json, &facts, &r->spec, &r->e);
}

static void done(struct read *r)
{
    if (r->code == 0)
        podspec_done(&r->spec);
    json_decref(r->json);
}

static void expansion(void **state)
{
    (void)state;
    static const char *const env[] = { "A=1", "AB=two", "A=3", NULL };
    struct arena a;
    arena_init(&a, 256);
    assert_string_equal(podspec_expand("$(A)-$(AB)", env, &a), "3-two");
    assert_string_equal(podspec_expand("$$(A) $(C) $( $A", env, &a), "$(A) $(C) $( $A");
    assert_string_equal(podspec_expand("", NULL, &a), "");
    assert_string_equal(podspec_expand("$", NULL, &a), "$");
    arena_done(&a);
}

static void program_of_the_image(void **state)
{
    (void)state;
    static const char *const images[][2] = {
        { "registry.example:5000/team/signpost:0.1.0", "signpost" },
        { "signpost@sha256:00", "signpost" },
        { "nginx", "nginx" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        struct read r;
        char text[200];
        (void)snprintf(text, sizeof text, "\"image\":\"%s\",\"args\":[\"-x\"]", images[i][0]);
        read_container(&r, text, "");
        assert_int_equal(r.code, 0);
        assert_string_equal(r.spec.containers[0].argv[0], images[i][1]);
        assert_string_equal(r.spec.containers[0].argv[1], "-x");
        assert_null(r.spec.containers[0].argv[2]);
        done(&r);
    }
}

static const char *env_of(const struct container *c, const char *name)
{
    for (const char **p = c->env; *p; p++) {
        if (!strncmp(*p, name, strlen(name)) && (*p)[strlen(name)] == '=')
            return *p + strlen(name) + 1;
    }
    return NULL;
}

static void environment(void **state)
{
    (void)state;
    struct read r;
    read_container(
        &r,
        "\"command\":[\"run\",\"$(ME)\"],\"env\":["
        "{\"name\":\"ME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
        "{\"name\":\"URL\",\"value\":\"http://$(ME):80\"},{\"name\":\"EMPTY\"}]",
        "");
    assert_int_equal(r.code, 0);
    const struct container *c = &r.spec.containers[0];
    assert_string_equal(c->argv[1], "10.244.1.5");
    assert_string_equal(env_of(c, "URL"), "http://10.244.1.5:80");
    assert_string_equal(env_of(c, "EMPTY"), "");
    assert_string_equal(env_of(c, "HOSTNAME"), "foo");
    assert_non_null(strstr(env_of(c, "PATH"), "/.lab/bin:"));
    done(&r);
}

static void readiness(void **state)
{
    (void)state;
    struct read r;
    read_container(&r,
                   "\"image\":\"x\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080}],"
                   "\"readinessProbe\":{\"httpGet\":{\"port\":\"http\",\"path\":\"/ok\"},"
                   "\"periodSeconds\":1}",
                   "");
    assert_int_equal(r.code, 0);
    const struct probe *p = &r.spec.containers[0].ready;
    assert_int_equal(p->kind, PROBE_HTTP);
    assert_int_equal(p->port, 8080);
    assert_int_equal(p->period, 1);
    assert_int_equal(p->failures, 3); /* the API server's defaults */
    assert_int_equal(p->successes, 1);
    assert_int_equal(p->timeout, 1);
    assert_string_equal(p->path, "/ok");
    done(&r);
}

static void volumes(void **state)
{
    (void)state;
    struct read r;
    read_container(&r,
                   "\"image\":\"x\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/etc/v\","
                   "\"readOnly\":true}]",
                   ",\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\"}},{\"name\":\"w\","
                   "\"emptyDir\":{}}]");
    assert_int_equal(r.code, 0);
    assert_int_equal(r.spec.n_volumes, 2);
    assert_int_equal(r.spec.containers[0].n_mounts, 1);
    assert_ptr_equal(r.spec.containers[0].mounts[0].volume, &r.spec.volumes[0]);
    assert_true(r.spec.containers[0].mounts[0].read_only);
    assert_int_equal(r.spec.volumes[1].kind, VOLUME_EMPTY);
    done(&r);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "\"command\":[1]", "", "lists of strings" },
        { "\"args\":[\"x\"]", "", "neither command nor image" },
        { "\"image\":\"x\",\"envFrom\":[{}]", "", "envFrom" },
        { "\"image\":\"x\",\"env\":[{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{}}}]", "",
          "env S: valueFrom" },
        { "\"image\":\"x\",\"readinessProbe\":{\"grpc\":{\"port\":1}}", "", "readinessProbe" },
        { "\"image\":\"x\",\"readinessProbe\":{\"tcpSocket\":{\"port\":\"no\"}}", "", "its port" },
        { "\"image\":\"x\",\"readinessProbe\":{\"tcpSocket\":{\"port\":70000}}", "", "its port" },
        { "\"image\":\"x\",\"lifecycle\":{\"postStart\":{}}", "", "lifecycle" },
        { "\"image\":\"x\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]", "",
          "no volume \"v\"" },
        { "\"image\":\"x\"", ",\"volumes\":[{\"name\":\"s\",\"secret\":{}}]", "volume s" },
        { "\"image\":\"x\"", ",\"initContainers\":[{}]", "initContainers" },
        { "\"image\":\"x\"", ",\"restartPolicy\":\"Often\"", "restartPolicy \"Often\"" },
        { "\"image\":\"x\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/../v\"}]",
          ",\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]", "must be absolute" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct read r;
        read_container(&r, cases[i][0], cases[i][1]);
        if (r.code >= 0 || !strstr(r.e.text, cases[i][2]))
            fail_msg("case %zu: %d \"%s\"", i, r.code, r.e.text);
        done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expansion),   cmocka_unit_test(program_of_the_image),
        cmocka_unit_test(environment), cmocka_unit_test(readiness),
        cmocka_unit_test(volumes),     cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
