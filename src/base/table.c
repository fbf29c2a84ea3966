#include "base/table.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define GAP     2 /* blanks between columns */
#define BAR_MIN 8
#define BAR_MAX 200

struct range {
    uint32_t first, last;
};

/* Shown two columns wide: East Asian Width W and F (Unicode UAX #11), whole blocks. */
static const struct range wide[] = {
    { 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },   { 0x23e9, 0x23ec },
    { 0x25fd, 0x25fe },   { 0x2614, 0x2615 },   { 0x2648, 0x2653 },   { 0x26a1, 0x26a1 },
    { 0x26aa, 0x26ab },   { 0x26bd, 0x26be },   { 0x26c4, 0x26c5 },   { 0x26ce, 0x26ce },
    { 0x26d4, 0x26d4 },   { 0x2705, 0x2705 },   { 0x270a, 0x270b },   { 0x2728, 0x2728 },
    { 0x274c, 0x274c },   { 0x2753, 0x2755 },   { 0x2795, 0x2797 },   { 0x2b50, 0x2b50 },
    { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xa960, 0xa97f },   { 0xac00, 0xd7a3 },
    { 0xf900, 0xfaff },   { 0xfe10, 0xfe19 },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
    { 0xffe0, 0xffe6 },   { 0x16fe0, 0x18aff }, { 0x1b000, 0x1b2ff }, { 0x1f300, 0x1f64f },
    { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

/* Shown on top of the character before: combining marks, joiners, variation selectors. */
static const struct range zero[] = {
    { 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f },
    { 0x0e31, 0x0e31 }, { 0x0e34, 0x0e3a }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
    { 0x200b, 0x200d }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};

/* Shown as "?": they would move the cursor or turn the text around. */
static const struct range refused[] = {
    { 0x00, 0x1f },     { 0x7f, 0x9f },     { 0x200e, 0x200f }, { 0x2028, 0x202e },
    { 0x2066, 0x2069 }, { 0xd800, 0xdfff }, { 0xfeff, 0xfeff },
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++) {
        if (c >= r[i].first && c <= r[i].last)
            return true;
    }
    return false;
}

static int code_width(uint32_t c)
{
    if (in_ranges(zero, ARRAY_SIZE(zero), c))
        return 0;
    return in_ranges(wide, ARRAY_SIZE(wide), c) ? 2 : 1;
}

/* Reads one character (RFC 3629). False when it is refused, or broken: then one byte is passed. */
static bool take_char(struct cursor *c, uint32_t *ret_code, size_t *ret_len)
{
    struct cursor ahead = *c;
    uint8_t lead = cursor_u8(&ahead);
    unsigned more = lead < 0x80 ? 0 : lead < 0xc2 ? 9 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);

    for (unsigned i = 0; i < more && more < 9; i++) {
        uint8_t b = cursor_u8(&ahead);
        if ((b & 0xc0) != 0x80)
            more = 9;
        code = code << 6 | (b & 0x3f);
    }
    if (more == 9 || ahead.bad || lead > 0xf4 || code < least[more] || code > 0x10ffff) {
        cursor_u8(c);
        return false;
    }
    bool good = !in_ranges(refused, ARRAY_SIZE(refused), code);
    if (good) {
        *ret_len = ahead.pos - c->pos;
        *ret_code = code;
    }
    *c = ahead;
    return good;
}

/* Adds what may be shown of `s`, up to `limit` columns (0: all), and returns its width. */
static int add_clean(struct strbuf *out, const char *s, int limit)
{
    struct cursor c = cursor_of(s, strlen(s));
    int width = 0;
    while (cursor_left(&c) > 0) {
        size_t at = c.pos, len = 1;
        uint32_t code = '?';
        bool good = take_char(&c, &code, &len);
        int w = code_width(code);
        if (limit && width + w > limit)
            break;
        strbuf_add(out, good ? s + at : "?", len);
        width += w;
    }
    return width;
}

int text_width(const char *s)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    return add_clean(&b, s, 0);
}

bool text_colour(FILE *out)
{
    const char *no = getenv("NO_COLOR");
    return (!no || !*no) && isatty(fileno(out));
}

static const char *tone_start(enum table_tone tone)
{
    static const char *const starts[] = {
        [TABLE_PLAIN] = "",        [TABLE_GOOD] = "\033[32m", [TABLE_BAD] = "\033[31m",
        [TABLE_WARN] = "\033[33m", [TABLE_DIM] = "\033[2m",   [TABLE_STRONG] = "\033[1m",
    };
    return starts[tone];
}

const char *tone_begin(FILE *out, enum table_tone tone)
{
    return text_colour(out) ? tone_start(tone) : "";
}

static void add_toned(struct strbuf *out, bool colour, enum table_tone tone, const char *text)
{
    bool on = colour && tone != TABLE_PLAIN && *text;
    if (on)
        strbuf_puts(out, tone_start(tone));
    strbuf_puts(out, text);
    if (on)
        strbuf_puts(out, TONE_END);
}

static void add_blanks(struct strbuf *out, int n)
{
    while (n-- > 0)
        strbuf_putc(out, ' ');
}

void table_init(struct table *t, const char *title)
{
    *t = (struct table){ .title = title ? xstrdup(title) : NULL };
}

void table_done(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    for (unsigned i = 0; i < t->n_columns; i++)
        free(t->columns[i].head);
    free(t->cells);
    free(t->title);
    *t = (struct table){ 0 };
}

void table_column(struct table *t, const char *head, enum table_align align)
{
    assert(t->n_columns < TABLE_COLUMNS_MAX && t->n_cells == 0);
    t->columns[t->n_columns++] = (struct table_column){ .head = xstrdup(head), .align = align };
}

void table_limit(struct table *t, int width)
{
    assert(t->n_columns > 0 && width >= 2);
    t->columns[t->n_columns - 1].limit = width;
}

/* The text as it will be shown: cleaned, and cut to the limit of its column. */
static char *cell_text(const char *s, int limit)
{
    struct strbuf b = { 0 };
    bool cut = limit && text_width(s) > limit;
    strbuf_puts(&b, "");
    add_clean(&b, s, cut ? limit - 1 : 0);
    if (cut)
        strbuf_puts(&b, "…");
    return strbuf_steal(&b);
}

static void push_cell(struct table *t, enum table_tone tone, const char *text)
{
    assert(t->n_columns > 0);
    if (t->n_cells == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->cells = xrealloc(t->cells, t->capacity * sizeof *t->cells);
    }
    int limit = t->columns[t->n_cells % t->n_columns].limit;
    t->cells[t->n_cells++] = (struct table_cell){ .text = cell_text(text, limit), .tone = tone };
}

void table_cell(struct table *t, enum table_tone tone, const char *fmt, ...)
{
    cleanup_free char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    push_cell(t, tone, text ? text : "?");
}

void table_end_row(struct table *t)
{
    while (t->n_columns && t->n_cells % t->n_columns)
        push_cell(t, TABLE_PLAIN, "");
}

static void add_place(struct strbuf *line, const struct table_column *c, int width, bool colour,
                      enum table_tone tone, const char *text)
{
    int blanks = width - text_width(text);
    if (c->align == TABLE_RIGHT)
        add_blanks(line, blanks);
    add_toned(line, colour, tone, text);
    if (c->align == TABLE_LEFT)
        add_blanks(line, blanks);
}

static void print_line(struct strbuf *line, FILE *out)
{
    while (line->len > 0 && line->p[line->len - 1] == ' ')
        line->p[--line->len] = '\0';
    fprintf(out, "%s\n", line->p ? line->p : "");
    strbuf_reset(line);
}

static bool measure(const struct table *t, int widths[TABLE_COLUMNS_MAX])
{
    bool heads = false;
    for (unsigned i = 0; i < t->n_columns; i++) {
        widths[i] = text_width(t->columns[i].head);
        heads |= widths[i] > 0;
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        int w = text_width(t->cells[i].text);
        widths[i % t->n_columns] = MAX(widths[i % t->n_columns], w);
    }
    return heads;
}

void table_print(const struct table *t, FILE *out)
{
    cleanup(strbuf_done) struct strbuf line = { 0 };
    int widths[TABLE_COLUMNS_MAX];
    bool heads = measure(t, widths), colour = text_colour(out);

    if (t->title)
        tone_line(out, TABLE_STRONG, "%s", t->title);
    for (unsigned i = 0; heads && i < t->n_columns; i++) {
        const struct table_column *c = &t->columns[i];
        add_blanks(&line, i > 0 || t->title ? GAP : 0);
        add_place(&line, c, widths[i], colour, TABLE_DIM, c->head);
        if (i == t->n_columns - 1)
            print_line(&line, out);
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        unsigned at = i % t->n_columns;
        add_blanks(&line, at > 0 || t->title ? GAP : 0);
        add_place(&line, &t->columns[at], widths[at], colour, t->cells[i].tone, t->cells[i].text);
        if (at == t->n_columns - 1 || i == t->n_cells - 1)
            print_line(&line, out);
    }
}

/* `eighths` of a column, in full blocks and one partial block (U+2588 to U+258F). */
static void add_bar(struct strbuf *out, uint64_t eighths)
{
    static const char *const part[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    for (uint64_t i = 0; i < eighths / 8; i++)
        strbuf_puts(out, "█");
    strbuf_puts(out, part[eighths % 8]);
}

void bars_print(FILE *out, const char *title, const struct bar *bars, size_t n, int width)
{
    cleanup(table_done) struct table t;
    uint64_t most = 0;
    double total = 0;
    unsigned most_eighths = 8 * (unsigned)(width < BAR_MIN ? BAR_MIN : MIN(width, BAR_MAX));

    for (size_t i = 0; i < n; i++) {
        most = MAX(most, bars[i].count);
        total += (double)bars[i].count;
    }
    table_init(&t, title);
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_RIGHT);
    table_column(&t, "", TABLE_RIGHT);
    for (size_t i = 0; i < n; i++) {
        cleanup(strbuf_done) struct strbuf b = { 0 };
        double share = most ? (double)bars[i].count / (double)most : 0;
        uint64_t eighths = (uint64_t)(share * most_eighths + 0.5);
        strbuf_puts(&b, "");
        add_bar(&b, bars[i].count && !eighths ? 1 : eighths);
        table_cell(&t, TABLE_PLAIN, "%s", bars[i].label);
        table_cell(&t, bars[i].tone, "%s", b.p);
        table_cell(&t, TABLE_PLAIN, "%" PRIu64, bars[i].count);
        table_cell(&t, TABLE_DIM, "%.1f%%", total > 0 ? 100 * (double)bars[i].count / total : 0.0);
    }
    table_print(&t, out);
}

void tone_line(FILE *out, enum table_tone tone, const char *fmt, ...)
{
    cleanup(strbuf_done) struct strbuf line = { 0 };
    cleanup_free char *text = NULL, *clean = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    clean = cell_text(text ? text : "?", 0);
    add_toned(&line, text_colour(out), tone, clean);
    print_line(&line, out);
}
