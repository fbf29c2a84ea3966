/* `log [NAMES...] [FORMAT] { class CLASS... }`: a line for each query. The first rule whose name
 * covers the query's decides. */
#include "dns/plugins/log_format.h"

#include <string.h>

#define LOG_COMMON                                                                                 \
    "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} "   \
    "{>rflags} {rsize} {duration}"
#define LOG_COMBINED LOG_COMMON " \"{>opcode}\""

enum log_class { LOG_SUCCESS = 1, LOG_DENIAL = 2, LOG_FAILURE = 4, LOG_ALL = 7 };

struct log_rule {
    struct zone_set *names;
    unsigned classes;
    const struct log_format *format;
};

struct log_conf {
    struct log_rule *rules;
    size_t n;
};

/* ---- the hook ---- */

static unsigned class_of(const struct query *q)
{
    if (q->reply.rcode == RCODE_NXDOMAIN)
        return LOG_DENIAL;
    if (q->reply.rcode != RCODE_NOERROR)
        return LOG_FAILURE;
    return q->reply.section[SECTION_ANSWER].n ? LOG_SUCCESS : LOG_DENIAL;
}

static void log_after(struct query *q, void *conf)
{
    const struct log_conf *c = conf;
    const struct log_rule *rule = NULL;
    for (size_t i = 0; i < c->n && !rule; i++)
        if (zone_set_covers(c->rules[i].names, &q->msg.q))
            rule = &c->rules[i];
    if (!rule || !(rule->classes & class_of(q)))
        return;
    struct strbuf line = { 0 };
    log_format_print(rule->format, q, true, &line);
    log_info("%s", line.p ? line.p : "");
    strbuf_done(&line);
}

/* ---- set-up ---- */

static const char *expand_named(struct setup *s, const char *format)
{
    static const char *const names[][2] = { { "{common}", LOG_COMMON },
                                            { "{combined}", LOG_COMBINED } };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *at = strstr(format, names[i][0]);
        if (at)
            format = arena_printf(setup_arena(s), "%.*s%s%s", (int)(at - format), format,
                                  names[i][1], at + strlen(names[i][0]));
    }
    return format;
}

static int read_class(struct log_rule *r, struct dispenser *d, struct err *e)
{
    static const struct {
        const char *name;
        unsigned bits;
    } classes[] = { { "success", LOG_SUCCESS },
                    { "denial", LOG_DENIAL },
                    { "error", LOG_FAILURE },
                    { "all", LOG_ALL } };
    if (strcmp(dispenser_val(d), "class") != 0)
        return dispenser_unknown(d, e);
    unsigned bits = 0;
    while (dispenser_next_arg(d)) {
        unsigned found = 0;
        for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
            if (strcmp(dispenser_val(d), classes[i].name) == 0)
                found = classes[i].bits;
        if (!found)
            return dispenser_err(d, e, "invalid Class: %s", dispenser_val(d));
        bits |= found;
    }
    if (!bits)
        return dispenser_arg_err(d, e);
    r->classes |= bits;
    return 0;
}

static int read_rule(struct setup *s, struct log_rule *r, struct dispenser *d, struct err *e)
{
    const char **args, *format = LOG_COMMON;
    struct arena *a = setup_arena(s);
    struct zone_list names = { 0 };
    size_t n = dispenser_rest(d, a, &args);
    if (n > 1 && strchr(args[n - 1], '{'))
        format = args[--n];
    if (n == 0)
        args[n++] = ".";
    for (size_t i = 0; i < n; i++) {
        int ret = zone_expand(args[i], a, &names, e);
        if (ret < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    *r = (struct log_rule){ .names = zone_set_new(a, &names) };
    r->format = log_format_new(s, expand_named(s, format));
    while (dispenser_next_block(d)) {
        int ret = read_class(r, d, e);
        if (ret < 0)
            return ret;
    }
    if (!r->classes)
        r->classes = LOG_ALL;
    return 0;
}

static int log_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct log_conf *c = arena_zalloc(setup_arena(s), sizeof *c);
    while (dispenser_next_directive(d)) {
        struct log_rule *rules = arena_alloc(setup_arena(s), (c->n + 1) * sizeof *rules);
        if (c->n)
            memcpy(rules, c->rules, c->n * sizeof *rules);
        int ret = read_rule(s, &rules[c->n], d, e);
        if (ret < 0)
            return ret;
        c->rules = rules;
        c->n++;
    }
    setup_after(s, log_after, c);
    return 0;
}

const struct plugin plugin_log = { .name = "log", .setup = log_setup, .repeatable = true };
