#include "explain/journey.h"

#include "base/str.h"
#include "base/table.h"

#include <stdarg.h>

#define LINE_MAX_BYTES 1024

void journey_done(struct journey *j)
{
    for (size_t i = 0; i < j->steps.n; i++) {
        struct journey_step *s = &j->steps.items[i];
        for (size_t l = 0; l < s->lines.n; l++)
            free(s->lines.items[l].text);
        vec_done(&s->lines);
    }
    vec_done(&j->steps);
}

void journey_step(struct journey *j, const char *title)
{
    vec_push(&j->steps, (struct journey_step){ .title = title });
}

static void add_line(struct journey *j, int64_t at_ns, const char *fmt, va_list ap)
{
    char text[LINE_MAX_BYTES];
    vsnprintf(text, sizeof text, fmt, ap);
    struct journey_step *s = &j->steps.items[j->steps.n - 1];
    vec_push(&s->lines, (struct journey_line){ xstrdup(text), at_ns });
}

void journey_saw(struct journey *j, int64_t at_ns, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_line(j, at_ns, fmt, ap);
    va_end(ap);
}

void journey_missed(struct journey *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_line(j, -1, fmt, ap);
    va_end(ap);
    j->steps.items[j->steps.n - 1].missing = true;
}

void journey_blind(struct journey *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_line(j, -1, fmt, ap);
    va_end(ap);
    j->steps.items[j->steps.n - 1].blind = true;
}

const char *journey_first_missing(const struct journey *j)
{
    for (size_t i = 0; i < j->steps.n; i++) {
        if (j->steps.items[i].missing || j->steps.items[i].blind || !j->steps.items[i].lines.n)
            return j->steps.items[i].title;
    }
    return j->steps.n ? NULL : "the first one";
}

static void print_line(struct table *t, const struct journey_step *s, size_t number, size_t l)
{
    const struct journey_line *line = &s->lines.items[l];
    if (l == 0) {
        table_cell(t, TABLE_DIM, "%zu", number);
        table_cell(t, TABLE_STRONG, "%s", s->title);
    } else {
        table_cell(t, TABLE_PLAIN, "%s", "");
        table_cell(t, TABLE_PLAIN, "%s", "");
    }
    if (line->at_ns >= 0)
        table_cell(t, TABLE_DIM, "%.2f", (double)line->at_ns / 1e6);
    else
        table_cell(t, TABLE_PLAIN, "%s", "");
    bool last = l + 1 == s->lines.n, bad = s->missing && last, blind = s->blind && last && !bad;
    table_cell(t,
               bad     ? TABLE_BAD
               : blind ? TABLE_WARN
                       : TABLE_PLAIN,
               "%s%s",
               bad     ? "NOT SEEN: "
               : blind ? "BLIND: "
                       : "",
               line->text);
}

void journey_print(const struct journey *j, const char *title, FILE *out)
{
    struct table t;
    table_init(&t, title);
    table_column(&t, "#", TABLE_RIGHT);
    table_column(&t, "step", TABLE_LEFT);
    table_column(&t, "at ms", TABLE_RIGHT);
    table_column(&t, "observed", TABLE_LEFT);
    for (size_t i = 0; i < j->steps.n; i++) {
        for (size_t l = 0; l < j->steps.items[i].lines.n; l++)
            print_line(&t, &j->steps.items[i], i + 1, l);
    }
    table_print(&t, out);
    table_done(&t);
}
