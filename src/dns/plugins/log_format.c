#include "dns/plugins/log_format.h"

#include "dns/plugins/metadata.h"

#include <string.h>

/* One piece of a format: a literal text, a placeholder's function, or a label of `metadata`. */
struct piece {
    const char *text;
    void (*print)(const struct query *q, struct strbuf *out);
    const char *label;
    bool of_reply;
};

struct log_format {
    struct piece *pieces;
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

/* The reason is looked for in what the query left; nothing of it changes. */
static void print_why(const struct query *q, struct strbuf *out)
{
    query_reason((struct query *)(uintptr_t)q, out);
}

static const struct {
    const char *name;
    void (*print)(const struct query *q, struct strbuf *out);
    bool of_reply;
} placeholders[] = {
    { "{type}", print_type, false },        { "{name}", print_name, false },
    { "{class}", print_class, false },      { "{proto}", print_proto, false },
    { "{remote}", print_remote, false },    { "{port}", print_port, false },
    { "{size}", print_size, false },        { "{rsize}", print_rsize, true },
    { "{duration}", print_duration, true }, { "{rcode}", print_rcode, true },
    { "{>id}", print_id, false },           { "{>opcode}", print_opcode, false },
    { "{>do}", print_do, false },           { "{>bufsize}", print_bufsize, false },
    { "{>rflags}", print_rflags, true },    { "{why}", print_why, true },
};

/* ---- compiling ---- */

static void add_piece(struct setup *s, struct log_format *f, struct piece p)
{
    struct piece *pieces = arena_alloc(setup_arena(s), (f->n + 1) * sizeof *pieces);
    if (f->n)
        memcpy(pieces, f->pieces, f->n * sizeof *pieces);
    pieces[f->n++] = p;
    f->pieces = pieces;
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

static void add_text(struct setup *s, struct log_format *f, const char *from, const char *to)
{
    if (to > from)
        add_piece(
            s, f,
            (struct piece){ .text = arena_strndup(setup_arena(s), from, (size_t)(to - from)) });
}

static void compile_format(struct setup *s, struct log_format *f, const char *format)
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
        add_text(s, f, from, p);
        if (!label)
            piece.of_reply = placeholders[which].of_reply;
        if (label)
            piece.label = arena_strndup(setup_arena(s), p + 2, label - 3);
        else
            piece.print = placeholders[which].print;
        add_piece(s, f, piece);
        p += len + label;
        from = p;
    }
    add_text(s, f, from, p);
}

const struct log_format *log_format_new(struct setup *s, const char *format)
{
    struct log_format *f = arena_zalloc(setup_arena(s), sizeof *f);
    f->metadata = metadata_of(s);
    compile_format(s, f, format);
    return f;
}

/* ---- printing ---- */

void log_format_print(const struct log_format *f, struct query *q, bool answered,
                      struct strbuf *out)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct piece *p = &f->pieces[i];
        const char *text = p->label ? metadata_value(f->metadata, q, p->label) : p->text;
        if (p->print && (answered || !p->of_reply))
            p->print(q, out);
        else
            strbuf_puts(out, text ? text : "-");
    }
}
