/* What can be told from a table of flags: usage, manual page, shell completion. */
#include "base/str.h"
#include "config/flags.h"

#include <string.h>

static void add_unit(struct strbuf *b, long long *ns, long long unit, const char *name)
{
    if (*ns / unit)
        strbuf_printf(b, "%lld%s", *ns / unit, name);
    *ns %= unit;
}

static void duration_text(struct strbuf *b, long long ns)
{
    add_unit(b, &ns, 3600000000000LL, "h");
    add_unit(b, &ns, 60000000000LL, "m");
    add_unit(b, &ns, 1000000000LL, "s");
    add_unit(b, &ns, 1000000LL, "ms");
    add_unit(b, &ns, 1, "ns");
}

static void list_text(struct strbuf *b, const struct flag_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        strbuf_printf(b, "%s%s", i ? "," : "", l->items[i]);
}

/* The default as text; nothing for what is off, zero or empty, nor for a duration below zero, which
 * stands for one that depends on other flags. */
static void default_text(const struct flag *f, struct strbuf *b)
{
    const char *string = f->kind == FLAG_STRING ? *(const char **)f->value : NULL;
    switch (f->kind) {
    case FLAG_BOOL:
        strbuf_puts(b, *(bool *)f->value ? "true" : "");
        break;
    case FLAG_STRING:
        strbuf_puts(b, string ? string : "");
        break;
    case FLAG_INT:
        if (*(long *)f->value)
            strbuf_printf(b, "%ld", *(long *)f->value);
        break;
    case FLAG_DURATION:
        if (*(long long *)f->value > 0)
            duration_text(b, *(long long *)f->value);
        break;
    case FLAG_LIST:
        list_text(b, f->value);
        break;
    }
}

static const char *dashes(const struct flag *f)
{
    return f->name[1] ? "--" : "-";
}

static void help_flag(const struct flag *f, FILE *out)
{
    struct strbuf left = { 0 }, value = { 0 };
    strbuf_printf(&left, "%s%s%s%s", dashes(f), f->name, f->arg ? " " : "", f->arg ? f->arg : "");
    default_text(f, &value);
    fprintf(out, "  %-28s%s%s", left.p, left.len > 27 ? "\n                              " : "",
            f->help);
    if (value.len)
        fprintf(out, " (default %s)", value.p);
    fputc('\n', out);
    strbuf_done(&left);
    strbuf_done(&value);
}

void flags_help(const struct command *c, const struct flag *flags, size_t n, FILE *out)
{
    fprintf(out, "Usage: signpost %s%s%s%s\n\n%s\n", c->name, n ? " [flags]" : "",
            c->args[0] ? " " : "", c->args, c->summary);
    if (c->details)
        fprintf(out, "\n%s\n", c->details);
    if (n)
        fputs("\nFlags:\n", out);
    for (size_t i = 0; i < n; i++)
        help_flag(&flags[i], out);
}

/* Running text: what mdoc would read as a request or an escape is made harmless, and each blank
 * line becomes a paragraph. */
static void man_text(const char *s, FILE *out)
{
    bool start = true;
    for (; *s; s++) {
        if (start && *s == '\n') {
            fputs(".Pp", out);
            start = false;
        }
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", out);
        fputs(*s == '\\' ? "\\e" : *s == '-' ? "\\-" : (char[]){ *s, 0 }, out);
        start = *s == '\n';
    }
    fputs(start ? "" : "\n", out);
}

static void man_flag(const struct flag *f, FILE *out)
{
    fprintf(out, "Fl %s%s", f->name[1] ? "Fl " : "", f->name);
    if (f->arg)
        fprintf(out, " Ar \\&%s", f->arg);
    fputc('\n', out);
}

static void man_options(const struct flag *flags, size_t n, FILE *out)
{
    fputs(".Sh OPTIONS\n.Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < n; i++) {
        struct strbuf text = { 0 }, value = { 0 };
        default_text(&flags[i], &value);
        strbuf_puts(&text, flags[i].help);
        if (value.len)
            strbuf_printf(&text, "\nThe default is %s.", value.p);
        fputs(".It ", out);
        man_flag(&flags[i], out);
        man_text(text.p, out);
        strbuf_done(&text);
        strbuf_done(&value);
    }
    fputs(".El\n", out);
}

void flags_man(const struct command *c, const struct flag *flags, size_t n, FILE *out)
{
    fputs(".Dd $Mdocdate$\n.Dt SIGNPOST-", out);
    for (const char *p = c->name; *p; p++)
        fputc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, out);
    fprintf(out, " 8\n.Os\n.Sh NAME\n.Nm signpost-%s\n.Nd ", c->name);
    man_text(c->summary, out);
    fprintf(out, ".Sh SYNOPSIS\n.Nm signpost %s\n", c->name);
    for (size_t i = 0; i < n; i++) {
        fputs(".Op ", out);
        man_flag(&flags[i], out);
    }
    if (c->args[0])
        fprintf(out, ".Ar \\&%s\n", c->args);
    fputs(".Sh DESCRIPTION\n", out);
    man_text(c->details ? c->details : c->summary, out);
    if (c->also)
        fprintf(out, ".Pp\nUnder the name\n.Nm %s\nthe program runs this command.\n", c->also);
    if (n)
        man_options(flags, n, out);
}

static bool takes_file(const struct flag *f)
{
    return f->arg && (strstr(f->arg, "FILE") || strstr(f->arg, "DIR"));
}

/* A pattern of the flags with (or without) file arguments, for the word before the cursor. */
static void completion_case(const struct flag *flags, size_t n, bool file, FILE *out)
{
    size_t shown = 0;
    for (size_t i = 0; i < n; i++)
        if (flags[i].kind != FLAG_BOOL && takes_file(&flags[i]) == file)
            fprintf(out, "%s-%s|--%s", shown++ ? "|" : "    ", flags[i].name, flags[i].name);
    if (shown)
        fprintf(out, ") %sreturn ;;\n",
                file ? "COMPREPLY=($(compgen -f -- \"$2\")); " : "COMPREPLY=(); ");
}

void flags_completion(const struct command *c, const struct flag *flags, size_t n, FILE *out)
{
    fprintf(out, "_signpost_%s() {\n    case $3 in\n", c->name);
    completion_case(flags, n, true, out);
    completion_case(flags, n, false, out);
    fputs("    esac\n    case $2 in\n    -*) COMPREPLY=($(compgen -W '", out);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%s ", dashes(&flags[i]), flags[i].name);
    fputs("--help' -- \"$2\")) ;;\n    *) COMPREPLY=($(compgen -f -- \"$2\")) ;;\n    esac\n}\n",
          out);
    if (c->also)
        fprintf(out, "complete -F _signpost_%s %s\n", c->name, c->also);
}
