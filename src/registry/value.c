#include "registry/value.h"

#include "base/ip.h"
#include "base/str.h"
#include "kube/quantity.h"

const char *const value_protocols[] = { "SCTP", "TCP", "UDP", NULL };

bool value_is_one_of(const char *text, const char *const *list)
{
    for (size_t i = 0; list[i]; i++)
        if (str_eq(text, list[i]))
            return true;
    return false;
}

void value_check_choice(const char *text, const char *const *list, const char *field,
                        struct fault *f)
{
    if (!text || !*text)
        fault_required(f, field, "");
    else if (!value_is_one_of(text, list))
        fault_unsupported(f, field, text, list);
}

void value_check_port(const json_t *n, const char *field, struct fault *f)
{
    if (json_integer_value(n) < 1 || json_integer_value(n) > 65535)
        fault_value(f, field, n, "must be between 1 and 65535, inclusive");
}

void value_check_quantity(const json_t *v, const char *field, struct fault *f)
{
    const char *text = json_string_value(v);
    int64_t milli;
    bool negative = text && *text == '-' && quantity_milli(text, &milli) == 0 && milli < 0;
    if (negative)
        fault_value(f, field, v, "must be greater than or equal to 0");
}

/* Link-local addresses, and groups of a link's nodes (RFC 3927, RFC 5771 4, RFC 4291 2.5.6, 2.7).
 */
static bool is_local(const struct ip *ip)
{
    if (ip->family == 4)
        return (ip->bytes[0] == 169 && ip->bytes[1] == 254) ||
               (ip->bytes[0] == 224 && ip->bytes[1] == 0 && ip->bytes[2] == 0);
    return (ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80) ||
           (ip->bytes[0] == 0xff && (ip->bytes[1] & 0x0f) == 2);
}

void value_check_address(const char *text, const char *field, struct fault *f)
{
    struct ip ip;
    if (ip_parse(text, &ip) < 0)
        fault_text(f, field, text, VALUE_NO_IP);
    else if (ip_is_any(&ip))
        fault_text(f, field, text, "may not be unspecified");
    else if (ip_is_loopback(&ip))
        fault_text(f, field, text, "may not be in the loopback range");
    else if (is_local(&ip))
        fault_text(f, field, text, "may not be in the link-local range");
}
