/* `log [NAMES...] [FORMAT] { class CLASS... }`: a line for each query. The first rule whose name
 * covers the query's decides; formats are compiled to a list of pieces at set-up. */
#include "dns/plugins/metadata.h"

#include <string.h>

#define LOG_COMMON                                                                                 \
    "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} "   \
    "{>rflags} {rsize} {duration}"
#define LOG_COMBINED LOG_COMMON " \"{>opcode}\""

enum log_class { LOG_SUCCESS = 1, LOG_DENIAL = 2, LOG_FAILURE = 4, LOG_ALL = 7 };

/* One piece of a format: a literal text, a placeholder's function, or a label of `metadata`. */
struct piece {
    const char *text;
    void (*print)(const struct query *q, struct strbuf *out);
    const char *label;
};

struct log_rule {
    struct zone_set *names;
    unsigned classes;
    struct piece *pieces;
    size_t n_pieces;
};

struct log_conf {
    struct log_rule *rules;
    size_t n;
    const struct metadata *metadata;
};

/* ---- placeholders ---- */

static void print_type(const struct query *q, struct strbuf *out)
{
    char text[16];
    strbuf_puts(out, rr_type_text(q->msg.q.type, text));
}

static void print_name(const struct query *q, struct strbuf *out)
{
    char text[NAME_TEXT_MAX];
    strbuf_puts(out, name_to_text(q->msg.q.lower, text));
}

static void print_class(const struct query *q, struct strbuf *out)
{
    char text[16];
    strbuf_puts(out, rr_class_text(q->msg.q.class, text));
}

static void print_proto(const struct query *q, struct strbuf *out)
{
    strbuf_puts(out, q->transport == TRANSPORT_UDP ? "udp" : "tcp");
}

static void print_ip(const struct ip *ip, struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    strbuf_printf(out, ip->family == 6 ? "[%s]" : "%s", ip_text(ip, text));
}

static void print_remote(const struct query *q, struct strbuf *out)
{
    struct ip ip = query_client(q);
    print_ip(&ip, out);
}

static void print_port(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%u", port_of_sockaddr((const struct sockaddr *)&q->peer));
}

static void print_size(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%zu", q->msg.raw_len);
}

static void print_rsize(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%zu", q->reply_len);
}

static void print_duration(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%.9fs", (double)(q->end_ns - q->start_ns) / 1e9);
}

static void print_rcode(const struct query *q, struct strbuf *out)
{
    char text[16];
    strbuf_puts(out, q->dropped ? "-" : rcode_text(q->reply.rcode, text));
}

static void print_id(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%u", q->msg.id);
}

static void print_opcode(const struct query *q, struct strbuf *out)
{
    strbuf_printf(out, "%u", flags_opcode(q->msg.flags));
}

static void print_do(const struct query *q, struct strbuf *out)
{
    strbuf_puts(out, q->msg.edns.do_bit ? "true" : "false");
}

static void print_bufsize(const struct query *q, struct strbuf *out)
{
    unsigned size = q->transport == TRANSPORT_TCP ? MSG_MAX
                    : q->msg.edns.present         ? MAX(q->msg.edns.udp_size, MSG_UDP_MIN)
                                                  : MSG_UDP_MIN;
    strbuf_printf(out, "%u", size);
}

static void print_rflags(const struct query *q, struct strbuf *out)
{
    static const struct {
        uint16_t bit;
        const char *name;
    } flags[] = { { FLAG_QR, "qr" }, { FLAG_AA, "aa" }, { FLAG_TC, "tc" }, { FLAG_RD, "rd" },
                  { FLAG_RA, "ra" }, { FLAG_Z, "z" },   { FLAG_AD, "ad" }, { FLAG_CD, "cd" } };
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (!(q->reply.flags & flags[i].bit))
            continue;
        strbuf_printf(out, "%s%s", comma, flags[i].name);
        comma = ",";
    }
}

static const struct {
    const char *name;
    void (*print)(const struct query *q, struct strbuf *out);
} placeholders[] = {
    { "{type}", print_type },   { "{name}", print_name },        { "{class}", print_class },
    { "{proto}", print_proto }, { "{remote}", print_remote },    { "{port}", print_port },
    { "{size}", print_size },   { "{rsize}", print_rsize },      { "{duration}", print_duration },
    { "{rcode}", print_rcode }, { "{>id}", print_id },           { "{>opcode}", print_opcode },
    { "{>do}", print_do },      { "{>bufsize}", print_bufsize }, { "{>rflags}", print_rflags },
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

static void print_label(const struct log_conf *c, struct query *q, const char *label,
                        struct strbuf *out)
{
    const char *value = metadata_value(c->metadata, q, label);
    strbuf_puts(out, value ? value : "-");
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
    for (size_t i = 0; i < rule->n_pieces; i++) {
        if (rule->pieces[i].print)
            rule->pieces[i].print(q, &line);
        else if (rule->pieces[i].label)
            print_label(c, q, rule->pieces[i].label, &line);
        else
            strbuf_puts(&line, rule->pieces[i].text);
    }
    log_info("%s", line.p ? line.p : "");
    strbuf_done(&line);
}

/* ---- set-up ---- */

static void add_piece(struct setup *s, struct log_rule *r, struct piece p)
{
    struct piece *pieces = arena_alloc(setup_arena(s), (r->n_pieces + 1) * sizeof *pieces);
    if (r->n_pieces)
        memcpy(pieces, r->pieces, r->n_pieces * sizeof *pieces);
    pieces[r->n_pieces++] = p;
    r->pieces = pieces;
}

static size_t placeholder_at(const char *format, size_t *ret_which)
{
    for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++)
        if (str_starts(format, placeholders[i].name)) {
            *ret_which = i;
            return strlen(placeholders[i].name);
        }
    return 0;
}

/* "{/plugin/name}" */
static size_t label_at(const char *format)
{
    size_t n = format[1] == '/' ? strcspn(format, "}") : 0;
    return n > 2 && format[n] ? n + 1 : 0;
}

static void add_text(struct setup *s, struct log_rule *r, const char *from, const char *to)
{
    if (to > from)
        add_piece(
            s, r,
            (struct piece){ .text = arena_strndup(setup_arena(s), from, (size_t)(to - from)) });
}

/* Unknown placeholders stay as literal text, as in the reference. */
static void compile_format(struct setup *s, struct log_rule *r, const char *format)
{
    const char *from = format, *p = format;
    while (*p) {
        size_t which = 0, len = *p == '{' ? placeholder_at(p, &which) : 0;
        size_t label = *p == '{' && !len ? label_at(p) : 0;
        struct piece piece = { 0 };
        if (!len && !label) {
            p++;
            continue;
        }
        add_text(s, r, from, p);
        if (label)
            piece.label = arena_strndup(setup_arena(s), p + 2, label - 3);
        else
            piece.print = placeholders[which].print;
        add_piece(s, r, piece);
        p += len + label;
        from = p;
    }
    add_text(s, r, from, p);
}

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
    compile_format(s, r, expand_named(s, format));
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
    c->metadata = metadata_of(s);
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
