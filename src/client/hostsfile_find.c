#include "client/hostsfile.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t\v\f\r\n"

const struct hostsfile_rules hostsfile_glibc = { .four_from_six = true };

struct search {
    const struct hostsfile_rules *rules;
    struct arena *arena;
    const char *name;
    uint8_t family;
    bool other_family;
    struct hosts_match match;
};

static bool parse_address(const struct hostsfile_rules *rules, const char *text, struct ip *ret)
{
    struct in_addr four;
    if (!rules->old_addresses || !inet_aton(text, &four))
        return ip_parse(text, ret) == 0;
    *ret = (struct ip){ .family = 4 };
    memcpy(ret->bytes, &four, 4);
    return true;
}

/* IPv4 in the clothes of IPv6; the loopback address counts as well. */
static bool undress(struct ip *ip)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    bool is_mapped = memcmp(ip->bytes, mapped, sizeof mapped) == 0;
    if (!is_mapped && !ip_is_loopback(ip))
        return false;
    struct ip four = { .family = 4, .bytes = { 127, 0, 0, 1 } };
    if (is_mapped)
        memcpy(four.bytes, ip->bytes + 12, 4);
    *ip = four;
    return true;
}

/* The line's address for the family that is wanted. */
static bool line_ip(struct search *s, const char *text, struct ip *ret)
{
    if (!parse_address(s->rules, text, ret))
        return false;
    if (s->family == 4 && ret->family == 6 && s->rules->four_from_six)
        (void)undress(ret);
    bool wanted = s->family == 0 || s->family == ret->family;
    s->other_family |= !wanted;
    return wanted;
}

/* Go: a name with a dot inside is the same with one at its end. */
static size_t compared_len(const struct search *s, const char *name)
{
    size_t len = strlen(name);
    const char *dot = strchr(name, '.');
    bool rooted = s->rules->rooted && dot && dot + 1 < name + len && name[len - 1] == '.';
    return len - rooted;
}

static bool same_name(const struct search *s, const char *word)
{
    size_t len = compared_len(s, word);
    if (len != compared_len(s, s->name))
        return false;
    return (s->rules->exact_case ? strncmp(word, s->name, len) : strncasecmp(word, s->name, len)) ==
           0;
}

static bool has_name(const struct search *s, const struct strlist *fields)
{
    for (size_t i = 1; i < fields->n; i++) {
        if (same_name(s, fields->items[i]))
            return true;
    }
    return false;
}

static void add_ip(struct search *s, const struct ip *ip)
{
    struct hosts_match *m = &s->match;
    for (size_t i = 0; i < m->n && !s->rules->keeps_copies; i++) {
        if (ip_equal(&m->ips[i], ip))
            return;
    }
    if (m->n < HOSTS_IPS_MAX)
        m->ips[m->n++] = *ip;
}

static void read_line(struct search *s, const char *text, size_t len, bool ended)
{
    const char *comment = memchr(text, '#', len);
    struct strlist fields = { 0 };
    struct ip ip;
    if (comment) {
        len = (size_t)(comment - text);
        ended = true;
    }
    if (s->rules->from_column_0 && len && strchr(BLANKS, text[0]))
        return;
    strlist_split(&fields, s->arena, text, len, BLANKS);
    bool last_counts = ended || !s->rules->needs_end || (len && strchr(BLANKS, text[len - 1]));
    if (!last_counts && fields.n)
        fields.n--;
    if (fields.n < 2 || !has_name(s, &fields) || !line_ip(s, fields.items[0], &ip))
        return;
    if (s->match.n == 0)
        s->match.canonical = fields.items[1];
    add_ip(s, &ip);
}

int hostsfile_find(const struct hostsfile_rules *rules, const char *text, const char *name,
                   uint8_t family, struct arena *a, struct hosts_match *ret)
{
    struct search s = { .rules = rules, .arena = a, .name = name, .family = family };
    while (*text) {
        size_t len = strcspn(text, "\n"), piece = len;
        if (rules->line_max)
            piece = MIN(len, rules->line_max);
        bool ended = piece == len && text[len] == '\n';
        read_line(&s, text, piece, ended);
        text += piece + ended;
    }
    if (s.match.n == 0)
        return s.other_family && rules->other_family_known ? ERR_REFUSED : ERR_NOT_FOUND;
    *ret = s.match;
    return 0;
}
