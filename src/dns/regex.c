#include "dns/regex.h"

#include "base/mem.h"
#include "base/metric.h"

#include <pthread.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct regex {
    pcre2_code *code;
    unsigned groups;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* frees a thread's match data when it ends */
static _Thread_local pcre2_match_data *my_data;
static pcre2_match_context *limits;
static metric m_limit;

static void data_free(void *data)
{
    pcre2_match_data_free(data);
}

static void limits_free(void)
{
    pcre2_match_context_free(limits);
}

static void prepare(void)
{
    pthread_key_create(&key, data_free);
    limits = pcre2_match_context_create(NULL);
    if (limits)
        pcre2_set_match_limit(limits, REGEX_STEPS);
    atexit(limits_free);
    m_limit = metric_counter("signpost_dns_regex_limit_total",
                             "Matches given up because they took too many steps.", "");
}

/* ---- the dialect ---- */

/* What follows "(?": names, flags and plain groups are common ground. NULL: fine. */
static const char *why_group(const char *p)
{
    if (*p == 'P')
        return p[1] == '<' ? NULL : "backreferences";
    if (*p == '<')
        return p[1] == '=' || p[1] == '!' ? "look-behind" : NULL;
    if (*p == '=' || *p == '!')
        return "look-ahead";
    p += strspn(p, "imsU-");
    return *p == ':' || *p == ')' ? NULL : "this kind of group";
}

static const char *why_escape(char c)
{
    if (c >= '1' && c <= '9')
        return "backreferences";
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter && !strchr("aftnrxdDsSwWbBAzpPQE", c) ? "this escape" : NULL;
}

/* Behind a class: "[]a]" and "[^]a]" hold a bracket; "[:alpha:]" stands inside of one. */
static const char *class_end(const char *p, const char **ret_why)
{
    p++;
    p += *p == '^';
    p += *p == ']';
    for (; *p && *p != ']'; p++) {
        if (p[0] == '[' && p[1] == ':' && strstr(p, ":]"))
            p = strstr(p, ":]") + 1;
        else if (p[0] == '\\' && p[1] && (*ret_why = why_escape(*++p)))
            return p;
    }
    return p;
}

/* Bytes of the quantifier at p; 0: none. */
static size_t quantifier(const char *p)
{
    if (*p == '*' || *p == '+' || *p == '?')
        return 1;
    size_t n = *p == '{' ? strspn(p + 1, "0123456789,") : 0;
    return n && p[1 + n] == '}' ? n + 2 : 0;
}

/* One item of a pattern. Returns what follows. */
static const char *skip_item(const char *p, const char **ret_why)
{
    if (p[0] == '\\' && p[1] == 'Q') {
        const char *end = strstr(p, "\\E");
        return end ? end + 2 : p + strlen(p);
    }
    if (p[0] == '\\' && p[1]) {
        *ret_why = why_escape(p[1]);
        return p + 2;
    }
    if (*p == '[') {
        p = class_end(p, ret_why);
        return *p ? p + 1 : p;
    }
    if (p[0] == '(' && p[1] == '*')
        *ret_why = "verbs";
    if (p[0] != '(' || p[1] != '?')
        return p + 1;
    *ret_why = why_group(p + 2);
    return p + 2;
}

/* The first thing in a pattern that the reference would not take or read otherwise; NULL: nothing.
 */
static const char *why_refused(const char *p)
{
    const char *why = NULL;
    while (*p && !why) {
        size_t n = quantifier(p);
        p = n ? p + n : skip_item(p, &why);
        if (n && *p == '+')
            why = "possessive quantifiers";
    }
    return why;
}

/* ---- compiling ---- */

int regex_compile(const char *pattern, struct regex **ret, struct err *e)
{
    int code;
    size_t at;
    pthread_once(&once, prepare);
    if (strlen(pattern) > REGEX_PATTERN_MAX)
        return err_set(e, ERR_LIMIT, "the regular expression is longer than %d characters",
                       REGEX_PATTERN_MAX);
    const char *why = why_refused(pattern);
    if (why)
        return err_set(e, ERR_UNSUPPORTED,
                       "the regular expression \"%.200s\" uses %s, which is not supported", pattern,
                       why);
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
    if (!c) {
        char text[128] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        return err_set(e, ERR_PARSE, "invalid regular expression \"%.200s\": %s (at character %zu)",
                       pattern, text, at + 1);
    }
    uint32_t groups = 0;
    pcre2_pattern_info(c, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups >= REGEX_GROUPS) {
        pcre2_code_free(c);
        return err_set(e, ERR_LIMIT, "the regular expression \"%.200s\" has more than %d groups",
                       pattern, REGEX_GROUPS - 1);
    }
    (void)pcre2_jit_compile(c, PCRE2_JIT_COMPLETE); /* without it matching is slower, not other */
    struct regex *re = xmalloc(sizeof *re);
    *re = (struct regex){ c, groups };
    *ret = re;
    return 0;
}

void regex_free(void *p)
{
    struct regex *re = p;
    if (!re)
        return;
    pcre2_code_free(re->code);
    free(re);
}

/* ---- matching ---- */

static pcre2_match_data *match_data(void)
{
    if (!my_data) {
        my_data = pcre2_match_data_create(REGEX_GROUPS, NULL);
        pthread_setspecific(key, my_data);
    }
    return my_data;
}

bool regex_match(const struct regex *re, const char *text, size_t len, struct regex_match *ret)
{
    pcre2_match_data *data = match_data();
    if (!data)
        return false;
    int n = pcre2_match(re->code, (PCRE2_SPTR)text, len, 0, 0, data, limits);
    if (n < 0) {
        if (n != PCRE2_ERROR_NOMATCH)
            metric_add(m_limit, 1);
        return false;
    }
    if (ret)
        *ret = (struct regex_match){ text, pcre2_get_ovector_pointer(data), (unsigned)n };
    return true;
}

unsigned regex_groups(const struct regex *re)
{
    return re->groups;
}

int regex_group(const struct regex *re, const char *name)
{
    int n = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)name);
    return n < 0 ? -1 : n;
}
