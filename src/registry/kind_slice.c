#include "registry/kind_slice.h"

#include "base/ip.h"
#include "base/str.h"
#include "kube/check.h"
#include "registry/path.h"

#include <string.h>

static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };

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

static bool is_local(const struct ip *ip)
{
    if (ip->family == 4)
        return (ip->bytes[0] == 169 && ip->bytes[1] == 254) ||
               (ip->bytes[0] == 224 && ip->bytes[1] == 0 && ip->bytes[2] == 0);
    return (ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80) ||
           (ip->bytes[0] == 0xff && (ip->bytes[1] & 0x0f) == 2);
}

/* Addresses that lead nowhere, or to the node itself. */
static void check_address(const char *text, const char *field, struct fault *f)
{
    static const uint8_t zero[16];
    struct ip ip;
    if (ip_parse(text, &ip) < 0)
        fault_text(f, field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    else if (memcmp(ip.bytes, zero, ip_len(&ip)) == 0)
        fault_text(f, field, text, "may not be unspecified");
    else if (ip_is_loopback(&ip))
        fault_text(f, field, text, "may not be in the loopback range");
    else if (is_local(&ip))
        fault_text(f, field, text, "may not be in the link-local range");
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
        check_address(text, field, f);
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

static bool is_protocol(const char *s)
{
    for (size_t i = 0; protocols[i]; i++)
        if (str_eq(s, protocols[i]))
            return true;
    return false;
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
        if (protocol && !is_protocol(protocol))
            fault_unsupported(f, field, protocol, protocols);
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
    bool known = false;
    for (size_t i = 0; types[i]; i++)
        known |= str_eq(type, types[i]);
    if (!type || !*type)
        fault_required(f, "addressType", "");
    else if (!known)
        fault_unsupported(f, "addressType", type, types);
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
        check_address(ip ? ip : "", field, f);
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
        const json_t *p = json_array_get(list, i), *port = json_object_get(p, "port");
        const char *name = path_text(p, "name"), *protocol = path_text(p, "protocol"), *wrong;
        (void)snprintf(field, sizeof field, "%s[%zu].name", at, i);
        if (n > 1 && (!name || !*name))
            fault_required(f, field, "");
        else if (name && *name && (wrong = check_dns_label(name)))
            fault_text(f, field, name, wrong);
        (void)snprintf(field, sizeof field, "%s[%zu].port", at, i);
        if (json_integer_value(port) < 1 || json_integer_value(port) > 65535)
            fault_value(f, field, port, "must be between 1 and 65535, inclusive");
        (void)snprintf(field, sizeof field, "%s[%zu].protocol", at, i);
        if (!protocol || !*protocol)
            fault_required(f, field, "");
        else if (!is_protocol(protocol))
            fault_unsupported(f, field, protocol, protocols);
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
