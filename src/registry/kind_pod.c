#include "registry/kind_pod.h"

#include "base/str.h"
#include "kube/check.h"
#include "kube/quantity.h"
#include "registry/path.h"
#include "registry/value.h"

#include <string.h>

/* ---- defaults that depend on something ---- */

static void fill_container(json_t *c)
{
    const char *key;
    json_t *value;
    const char *image = path_text(c, "image");
    const char *tag = image ? strrchr(image, ':') : NULL;
    bool latest = !tag || strchr(tag, '/') || strcmp(tag, ":latest") == 0;
    if (image && strchr(image, '@'))
        latest = false;
    path_default_text(c, "imagePullPolicy", latest ? "Always" : "IfNotPresent");
    json_object_foreach(path_get(c, "resources.limits"), key, value)
    {
        json_t *requests = path_object(c, "resources.requests");
        if (!json_object_get(requests, key))
            json_object_set(requests, key, value);
    }
}

static void fill_containers(json_t *list)
{
    size_t i;
    json_t *c;
    json_array_foreach(list, i, c) fill_container(c);
}

static void fill_tolerations(json_t *spec)
{
    static const char *const keys[] = { "node.kubernetes.io/not-ready",
                                        "node.kubernetes.io/unreachable" };
    json_t *list = json_object_get(spec, "tolerations");
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        bool there = false;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *t = json_array_get(list, i);
            const char *key = path_text(t, "key"), *effect = path_text(t, "effect");
            there |= (!key || !*key || strcmp(key, keys[k]) == 0) &&
                     (!effect || !*effect || strcmp(effect, "NoExecute") == 0);
        }
        if (there)
            continue;
        if (!list) {
            list = json_array();
            json_object_set_new(spec, "tolerations", list);
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i}", "key", keys[k], "operator",
                                        "Exists", "effect", "NoExecute", "tolerationSeconds", 300));
    }
}

/* Equal requests and limits of all: Guaranteed; none at all: BestEffort. */
static const char *quality(const json_t *spec)
{
    const json_t *list = json_object_get(spec, "containers");
    bool any = false, equal = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *limits = path_get(json_array_get(list, i), "resources.limits");
        const json_t *requests = path_get(json_array_get(list, i), "resources.requests");
        any |= json_object_size(limits) || json_object_size(requests);
        equal &= json_object_get(limits, "cpu") && json_object_get(limits, "memory") &&
                 (!requests || json_equal((json_t *)(uintptr_t)limits, requests));
    }
    return !any ? "BestEffort" : equal ? "Guaranteed" : "Burstable";
}

void pod_fill(struct write *w)
{
    json_t *spec = path_object(w->doc, "spec");
    fill_containers(json_object_get(spec, "containers"));
    fill_containers(json_object_get(spec, "initContainers"));
    path_default(spec, "securityContext", json_object());
}

void pod_prepare(struct write *w)
{
    static const char *const kept[] = { "priority", "preemptionPolicy" };
    json_t *spec = path_object(w->doc, "spec"), *before = path_get(w->old, "spec"), *v;
    if (*w->sub)
        return;
    fill_tolerations(spec);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (!json_object_get(spec, kept[i]) && (v = json_object_get(before, kept[i])))
            json_object_set(spec, kept[i], v);
    if (w->old)
        return;
    path_default(spec, "priority", json_integer(0));
    path_default_text(spec, "preemptionPolicy", "PreemptLowerPriority");
    json_object_del(w->doc, "status");
    path_set_text(w->doc, "status.phase", "Pending");
    path_set_text(w->doc, "status.qosClass", quality(spec));
}

/* ---- checks ---- */

static void check_choice(const json_t *doc, const char *path, const char *const *allowed,
                         struct fault *f)
{
    const char *v = path_text(doc, path);
    if (!value_is_one_of(v, allowed))
        fault_unsupported(f, path, v ? v : "", allowed);
}

static void check_port(const json_t *p, const char *at, struct fault *f)
{
    char field[128];
    const json_t *n = json_object_get(p, "containerPort");
    const char *name = path_text(p, "name"), *protocol = path_text(p, "protocol"), *wrong;
    (void)snprintf(field, sizeof field, "%s.name", at);
    if (name && *name && (wrong = check_port_name(name)))
        fault_text(f, field, name, wrong);
    (void)snprintf(field, sizeof field, "%s.containerPort", at);
    if (json_integer_value(n) == 0)
        fault_required(f, field, "");
    else
        value_check_port(n, field, f);
    (void)snprintf(field, sizeof field, "%s.protocol", at);
    if (!value_is_one_of(protocol, value_protocols))
        fault_unsupported(f, field, protocol ? protocol : "", value_protocols);
}

static bool named_before(const json_t *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(path_text(json_array_get(list, i), "name"), name))
            return true;
    return false;
}

static void check_not_negative(const json_t *c, const char *list, const char *at, struct fault *f)
{
    const json_t *value;
    const char *key;
    char path[64], field[256];
    (void)snprintf(path, sizeof path, "resources.%s", list);
    json_object_foreach(path_get(c, path), key, value)
    {
        (void)snprintf(field, sizeof field, "%s.%s[%.100s]", at, path, key);
        value_check_quantity(value, field, f);
    }
}

static void check_resources(const json_t *c, const char *at, struct fault *f)
{
    const json_t *limits = path_get(c, "resources.limits"), *value;
    const char *key;
    char why[192];
    json_object_foreach(path_get(c, "resources.requests"), key, value)
    {
        const json_t *limit = json_object_get(limits, key);
        int64_t asked, most;
        if (!limit || quantity_milli(json_string_value(value), &asked) < 0 ||
            quantity_milli(json_string_value(limit), &most) < 0 || asked <= most)
            continue;
        (void)snprintf(why, sizeof why, "must be less than or equal to %.100s limit of %.40s", key,
                       json_string_value(limit));
        fault_value(f, at, value, why);
    }
}

static void check_container(const json_t *list, size_t i, const char *path, struct fault *f)
{
    const json_t *c = json_array_get(list, i), *ports = json_object_get(c, "ports");
    const char *name = path_text(c, "name"), *image = path_text(c, "image"), *wrong;
    char field[128], at[96];
    (void)snprintf(field, sizeof field, "%s[%zu].name", path, i);
    if (!name || !*name)
        fault_required(f, field, "");
    else if ((wrong = check_dns_label(name)))
        fault_text(f, field, name, wrong);
    else if (named_before(list, i, name))
        fault_duplicate(f, field, json_object_get(c, "name"));
    (void)snprintf(field, sizeof field, "%s[%zu].image", path, i);
    if (!image || !*image)
        fault_required(f, field, "");
    (void)snprintf(at, sizeof at, "%s[%zu]", path, i);
    check_not_negative(c, "limits", at, f);
    check_not_negative(c, "requests", at, f);
    (void)snprintf(field, sizeof field, "%s[%zu].resources.requests", path, i);
    check_resources(c, field, f);
    for (size_t p = 0; p < json_array_size(ports); p++) {
        (void)snprintf(at, sizeof at, "%s[%zu].ports[%zu]", path, i, p);
        check_port(json_array_get(ports, p), at, f);
        const json_t *port = json_array_get(ports, p);
        const char *of = path_text(port, "name");
        (void)snprintf(field, sizeof field, "%s.name", at);
        if (of && *of && named_before(ports, p, of))
            fault_duplicate(f, field, json_object_get(port, "name"));
    }
}

static bool same_containers(struct write *w, struct fault *f)
{
    static const char *const paths[] = { "spec.containers", "spec.initContainers" };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (json_array_size(path_get(w->doc, paths[i])) ==
            json_array_size(path_get(w->old, paths[i])))
            continue;
        fault_field_forbidden(f, paths[i], "pod updates may not add or remove containers");
        return false;
    }
    return true;
}

/* It may be set, and be made less. False: told. */
static bool check_deadline(struct write *w, struct fault *f)
{
    static const char path[] = "spec.activeDeadlineSeconds";
    const json_t *now = path_get(w->doc, path), *old = path_get(w->old, path);
    if (now && (json_integer_value(now) < 0 || json_integer_value(now) > INT32_MAX))
        fault_value(f, path, now, "must be between 0 and 2147483647, inclusive");
    else if (now && old && json_integer_value(old) < json_integer_value(now))
        fault_value(f, path, now, "must be less than or equal to previous value");
    else if (!now && old)
        fault_value(f, path, now, "must not update from a positive integer to nil value");
    else
        return true;
    return !now && old; /* the original goes on after this one */
}

/* Equal but for how long it lasts. */
static bool same_toleration(const json_t *a, const json_t *b)
{
    static const char *const fields[] = { "key", "operator", "value", "effect" };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const char *x = path_text(a, fields[i]), *y = path_text(b, fields[i]);
        if (strcmp(x ? x : "", y ? y : "") != 0)
            return false;
    }
    return true;
}

/* Others may come, none may go. */
static void check_tolerations(struct write *w, struct fault *f)
{
    const json_t *now = path_get(w->doc, "spec.tolerations");
    const json_t *old = path_get(w->old, "spec.tolerations");
    for (size_t i = 0; i < json_array_size(old); i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(now); k++)
            found |= same_toleration(json_array_get(old, i), json_array_get(now, k));
        if (!found) {
            fault_field_forbidden(f, "spec.tolerations",
                                  "existing toleration can not be modified except its "
                                  "tolerationSeconds");
            return;
        }
    }
}

/* Without what may change. A time to end below zero may be put right. */
static json_t *fixed_part(const json_t *doc)
{
    static const char *const open[] = { "activeDeadlineSeconds", "tolerations" };
    static const char *const lists[] = { "containers", "initContainers" };
    json_t *spec = json_deep_copy(json_object_get(doc, "spec")), *c;
    size_t k;
    for (size_t i = 0; i < ARRAY_SIZE(open); i++)
        json_object_del(spec, open[i]);
    const json_t *grace = json_object_get(spec, "terminationGracePeriodSeconds");
    if (grace && json_integer_value(grace) < 0)
        json_object_set_new(spec, "terminationGracePeriodSeconds", json_integer(1));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        json_array_foreach(json_object_get(spec, lists[i]), k, c) json_object_del(c, "image");
    return spec;
}

/* What a pod is may not change, images and the like aside. */
static void check_change(struct write *w, struct fault *f)
{
    if (!same_containers(w, f) || !check_deadline(w, f))
        return;
    check_tolerations(w, f);
    json_t *now = fixed_part(w->doc), *old = fixed_part(w->old);
    if (!json_equal(now, old))
        fault_field_forbidden(f, "spec",
                              "of a pod that exists only images, activeDeadlineSeconds and further "
                              "tolerations may change");
    json_decref(now);
    json_decref(old);
}

void pod_check(struct write *w, struct fault *f)
{
    static const char *const restarts[] = { "Always", "OnFailure", "Never", NULL };
    static const char *const dns[] = { "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None",
                                       NULL };
    const json_t *list = path_get(w->doc, "spec.containers");
    const json_t *init = path_get(w->doc, "spec.initContainers");
    if (!json_array_size(list))
        fault_required(f, "spec.containers", "");
    for (size_t i = 0; i < json_array_size(list); i++)
        check_container(list, i, "spec.containers", f);
    for (size_t i = 0; i < json_array_size(init); i++)
        check_container(init, i, "spec.initContainers", f);
    check_choice(w->doc, "spec.restartPolicy", restarts, f);
    check_choice(w->doc, "spec.dnsPolicy", dns, f);
    if (w->old && !*w->sub)
        check_change(w, f);
}
