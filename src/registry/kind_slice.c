#include "registry/kind_slice.h"

#include "base/ip.h"
#include "base/str.h"
#include "kube/check.h"
#include "registry/path.h"
#include "registry/value.h"

#include <string.h>

void slice_fill(struct write *w)
{
    json_t *list = json_object_get(w->doc, "ports"), *p;
    size_t i;
    json_array_foreach(list, i, p)
    {
        path_default(p, "name", json_string(""));
        path_default_text(p, "protocol", "TCP");
    }
}

static void check_endpoint_address(const char *type, const char *text, const char *field,
                                   struct fault *f)
{
    struct ip ip;
    const char *wrong;
    if (strcmp(type, "FQDN") == 0) {
        if ((wrong = check_dns_subdomain(text)))
            fault_text(f, field, text, wrong);
        return;
    }
    unsigned family = strcmp(type, "IPv4") == 0 ? 4 : 6;
    char list[128];
    bool good = ip_parse(text, &ip) == 0;
    (void)snprintf(list, sizeof list, "%.*s", (int)(strrchr(field, '[') - field), field);
    if (!good || ip.family != family)
        fault_text(f, good ? list : field, text,
                   family == 4 ? "must be a valid IPv4 address" : "must be a valid IPv6 address");
    if (good)
        value_check_address(text, field, f);
}

static void check_endpoint(const char *type, const json_t *e, size_t i, struct fault *f)
{
    const json_t *list = json_object_get(e, "addresses");
    const char *host = path_text(e, "hostname"), *wrong;
    char field[128];
    (void)snprintf(field, sizeof field, "endpoints[%zu].addresses", i);
    if (!json_array_size(list))
        fault_required(f, field, "must contain at least 1 address");
    else if (json_array_size(list) > SLICE_ADDRESSES_MAX)
        fault_too_many(f, field, json_array_size(list), SLICE_ADDRESSES_MAX);
    for (size_t k = 0; k < json_array_size(list); k++) {
        (void)snprintf(field, sizeof field, "endpoints[%zu].addresses[%zu]", i, k);
        check_endpoint_address(type, json_string_value(json_array_get(list, k)), field, f);
    }
    (void)snprintf(field, sizeof field, "endpoints[%zu].hostname", i);
    if (host && (wrong = check_dns_label(host)))
        fault_text(f, field, host, wrong);
    const char *node = path_text(e, "nodeName");
    (void)snprintf(field, sizeof field, "endpoints[%zu].nodeName", i);
    if (node && (wrong = check_dns_subdomain(node)))
        fault_text(f, field, node, wrong);
}

static const char *port_name(const json_t *port)
{
    const char *name = path_text(port, "name");
    return name ? name : "";
}

static void check_slice_ports(const json_t *list, struct fault *f)
{
    char field[64];
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        const char *name = port_name(p), *protocol = path_text(p, "protocol"), *wrong;
        (void)snprintf(field, sizeof field, "ports[%zu].name", i);
        if (*name && (wrong = check_dns_label(name)))
            fault_text(f, field, name, wrong);
        for (size_t k = 0; k < i; k++)
            if (str_eq(port_name(json_array_get(list, k)), name)) {
                fault_duplicate(f, field, json_object_get(p, "name"));
                break;
            }
        (void)snprintf(field, sizeof field, "ports[%zu].protocol", i);
        if (protocol && !value_is_one_of(protocol, value_protocols))
            fault_unsupported(f, field, protocol, value_protocols);
        const char *app = path_text(p, "appProtocol");
        (void)snprintf(field, sizeof field, "ports[%zu].appProtocol", i);
        if (app && (wrong = check_label_key(app)))
            fault_text(f, field, app, wrong);
    }
}

void slice_check(struct write *w, struct fault *f)
{
    static const char *const types[] = { "FQDN", "IPv4", "IPv6", NULL };
    const json_t *list = json_object_get(w->doc, "endpoints");
    const json_t *ports = json_object_get(w->doc, "ports");
    const char *type = path_text(w->doc, "addressType");
    bool known = value_is_one_of(type, types);
    value_check_choice(type, types, "addressType", f);
    if (json_array_size(list) > SLICE_ENDPOINTS_MAX)
        fault_too_many(f, "endpoints", json_array_size(list), SLICE_ENDPOINTS_MAX);
    bool same = w->old && list &&
                json_equal((json_t *)(uintptr_t)list, json_object_get(w->old, "endpoints"));
    for (size_t i = 0; known && !same && i < json_array_size(list); i++)
        check_endpoint(type, json_array_get(list, i), i, f);
    if (json_array_size(ports) > SLICE_PORTS_MAX)
        fault_too_many(f, "ports", json_array_size(ports), SLICE_PORTS_MAX);
    else
        check_slice_ports(ports, f);
    if (w->old && !str_eq(type, path_text(w->old, "addressType")))
        fault_text(f, "addressType", type ? type : "", "field is immutable");
}

/* ---- Endpoints ---- */

static void check_addresses(const json_t *list, const char *at, struct fault *f)
{
    char field[128];
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_array_get(list, i);
        const char *ip = path_text(a, "ip"), *host = path_text(a, "hostname"), *wrong;
        (void)snprintf(field, sizeof field, "%s[%zu].ip", at, i);
        value_check_address(ip ? ip : "", field, f);
        (void)snprintf(field, sizeof field, "%s[%zu].hostname", at, i);
        if (host && *host && (wrong = check_dns_label(host)))
            fault_text(f, field, host, wrong);
    }
}

static void check_endpoint_ports(const json_t *list, const char *at, struct fault *f)
{
    char field[128];
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(list, i);
        const char *name = path_text(p, "name"), *protocol = path_text(p, "protocol"), *wrong;
        (void)snprintf(field, sizeof field, "%s[%zu].name", at, i);
        if (n > 1 && (!name || !*name))
            fault_required(f, field, "");
        else if (name && *name && (wrong = check_dns_label(name)))
            fault_text(f, field, name, wrong);
        (void)snprintf(field, sizeof field, "%s[%zu].port", at, i);
        value_check_port(json_object_get(p, "port"), field, f);
        (void)snprintf(field, sizeof field, "%s[%zu].protocol", at, i);
        value_check_choice(protocol, value_protocols, field, f);
    }
}

void endpoints_check(struct write *w, struct fault *f)
{
    const json_t *list = json_object_get(w->doc, "subsets");
    char at[64];
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i), *ready = json_object_get(s, "addresses");
        const json_t *waiting = json_object_get(s, "notReadyAddresses");
        (void)snprintf(at, sizeof at, "subsets[%zu]", i);
        if (!json_array_size(ready) && !json_array_size(waiting))
            fault_required(f, at, "must specify `addresses` or `notReadyAddresses`");
        (void)snprintf(at, sizeof at, "subsets[%zu].addresses", i);
        check_addresses(ready, at, f);
        (void)snprintf(at, sizeof at, "subsets[%zu].notReadyAddresses", i);
        check_addresses(waiting, at, f);
        (void)snprintf(at, sizeof at, "subsets[%zu].ports", i);
        check_endpoint_ports(json_object_get(s, "ports"), at, f);
    }
}
