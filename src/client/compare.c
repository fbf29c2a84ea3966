#include "client/compare.h"

#include "base/table.h"

#include <string.h>
#include <strings.h>

#define NAMES_MAX 256 /* candidates of all together that are shown */

static bool same(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    n -= n > 1 && a[n - 1] == '.';
    m -= m > 1 && b[m - 1] == '.';
    return n == m && strncasecmp(a, b, n) == 0;
}

/* Every candidate of anybody once, in the order in which the first of them asks. */
static size_t all_names(const struct trace *traces, size_t n, const char *names[NAMES_MAX])
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct stub_result *r = traces[i].result;
        for (size_t c = 0; c < r->n_candidates && found < NAMES_MAX; c++) {
            size_t k = 0;
            while (k < found && !same(names[k], r->candidates[c].name))
                k++;
            if (k == found)
                names[found++] = r->candidates[c].name;
        }
    }
    return found;
}

static void candidate_cell(struct table *t, const struct trace *trace, const char *name)
{
    const struct stub_result *r = trace->result;
    for (size_t i = 0; i < r->n_candidates; i++) {
        if (!same(r->candidates[i].name, name))
            continue;
        bool won = (int)i == r->won;
        table_cell(t, won ? TABLE_GOOD : TABLE_PLAIN, "%zu %s", i + 1,
                   walk_outcome_text(r->candidates[i].outcome));
        return;
    }
    table_cell(t, TABLE_DIM, "-");
}

static void count_rows(struct table *t, const struct trace *traces, size_t n)
{
    table_cell(t, TABLE_STRONG, "queries");
    for (size_t i = 0; i < n; i++)
        table_cell(t, TABLE_PLAIN, "%zu", traces[i].result->n_queries);
    table_cell(t, TABLE_STRONG, "in vain");
    for (size_t i = 0; i < n; i++)
        table_cell(t, TABLE_PLAIN, "%zu", trace_advise(&traces[i]).before_winner);
    table_cell(t, TABLE_STRONG, "ms");
    for (size_t i = 0; i < n; i++)
        table_cell(t, TABLE_PLAIN, "%.1f", (double)traces[i].result->time_us / 1000);
}

static void result_rows(struct table *t, const struct trace *traces, size_t n)
{
    table_cell(t, TABLE_STRONG, "result");
    for (size_t i = 0; i < n; i++) {
        const struct stub_result *r = traces[i].result;
        char ip[IP_TEXT_MAX];
        if (r->error)
            table_cell(t, TABLE_BAD, "%s", r->error_name);
        else if (r->n_ips > 1)
            table_cell(t, TABLE_GOOD, "%s and %zu more", ip_text(&r->ips[0], ip), r->n_ips - 1);
        else
            table_cell(t, TABLE_GOOD, "%s", r->n_ips ? ip_text(&r->ips[0], ip) : "found");
    }
}

/* Where somebody fails and another does not, who. */
static void verdict(const struct trace *traces, size_t n, FILE *out)
{
    const struct trace *good = NULL;
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (!traces[i].result->error)
            good = good ? good : &traces[i];
        failed += traces[i].result->error != 0;
    }
    if (!good || !failed) {
        tone_line(out, TABLE_PLAIN, good ? "All find it." : "None finds it.");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (traces[i].result->error)
            tone_line(out, TABLE_WARN, "Differs: %s fails (%s) where %s finds it.", traces[i].as,
                      traces[i].result->error_name, good->as);
    }
}

void compare_print(const struct trace *traces, size_t n, FILE *out)
{
    const char *names[NAMES_MAX];
    size_t n_names = all_names(traces, n, names);
    cleanup(table_done) struct table t;
    cleanup_free char *title = NULL;
    if (asprintf(&title, "\"%s\" in %zu ways", traces[0].name, n) < 0)
        title = NULL;
    table_init(&t, title);
    table_column(&t, "candidate", TABLE_LEFT);
    for (size_t i = 0; i < n; i++)
        table_column(&t, traces[i].as, TABLE_LEFT);
    for (size_t k = 0; k < n_names; k++) {
        table_cell(&t, TABLE_PLAIN, "%s", names[k]);
        for (size_t i = 0; i < n; i++)
            candidate_cell(&t, &traces[i], names[k]);
    }
    count_rows(&t, traces, n);
    result_rows(&t, traces, n);
    table_print(&t, out);
    verdict(traces, n, out);
}

void compare_json(const struct trace *traces, size_t n, struct strbuf *out)
{
    strbuf_puts(out, "[");
    for (size_t i = 0; i < n; i++) {
        strbuf_puts(out, i ? "," : "");
        trace_json(&traces[i], out);
    }
    strbuf_puts(out, "]\n");
}
