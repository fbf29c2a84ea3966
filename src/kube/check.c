#include "kube/check.h"

#include <stdbool.h>
#include <string.h>

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_lower_alnum(char c)
{
    return is_lower(c) || (c >= '0' && c <= '9');
}

static bool is_label(const char *s, size_t n)
{
    if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_lower_alnum(s[i]) && s[i] != '-')
            return false;
    return true;
}

const char *check_dns_label(const char *s)
{
    if (is_label(s, strlen(s)))
        return NULL;
    return "must be a DNS label: 1 to 63 lower case letters, digits or '-', "
           "with a letter or digit at both ends";
}

const char *check_dns_subdomain(const char *s)
{
    static const char wrong[] = "must be a DNS name: labels of lower case letters, digits or '-', "
                                "joined by '.', at most 253 characters";
    if (strlen(s) > 253)
        return wrong;
    for (const char *at = s;; at++) {
        size_t n = strcspn(at, ".");
        if (!is_label(at, n))
            return wrong;
        at += n;
        if (!*at)
            return NULL;
    }
}

const char *check_port_name(const char *s)
{
    size_t n = strlen(s);
    bool letter = false;
    for (size_t i = 0; i < n; i++)
        letter |= is_lower(s[i]);
    if (n > 15 || !is_label(s, n) || strstr(s, "--"))
        return "must be a port name: 1 to 15 lower case letters, digits or single '-'";
    if (!letter)
        return "must contain a letter; a port number is written without quotes";
    return NULL;
}

/* The part of a key behind the '/', and values: alphanumeric ends, "-_." inside. */
static bool is_label_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

const char *check_label_key(const char *s)
{
    static const char wrong[] = "must be a label key: [DNS-name/]name, the name of at most 63 "
                                "letters, digits, '-', '_' or '.'";
    char prefix[254];
    const char *slash = strchr(s, '/');
    if (slash) {
        size_t n = (size_t)(slash - s);
        if (n >= sizeof prefix)
            return wrong;
        memcpy(prefix, s, n);
        prefix[n] = 0;
        if (check_dns_subdomain(prefix))
            return wrong;
    }
    return is_label_name(slash ? slash + 1 : s) ? NULL : wrong;
}

const char *check_label_value(const char *s)
{
    if (!*s || is_label_name(s))
        return NULL;
    return "must be a label value: at most 63 letters, digits, '-', '_' or '.', "
           "with a letter or digit at both ends";
}
