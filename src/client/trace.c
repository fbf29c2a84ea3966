#include "client/trace.h"

#include "base/json.h"
#include "base/table.h"
#include "wire/rr.h"

#include <inttypes.h>
#include <string.h>

static bool searched(const struct trace *t, const struct stub_candidate *c)
{
    return strlen(c->name) > strlen(t->name);
}

/* A name for which the walk would start, and end, at the winner. */
static void better_name(const struct trace *t, struct trace_advice *a)
{
    const struct stub_result *r = t->result;
    if (r->won <= 0 || a->before_winner == 0)
        return;
    const char *name = r->candidates[r->won].name;
    size_t len = strlen(name);
    snprintf(a->better, sizeof a->better, "%s%s", name, len && name[len - 1] == '.' ? "" : ".");
}

/* Where the list was left before its end, and whether it was tried at all. */
static void look_at_list(const struct trace *t, struct trace_advice *a)
{
    const struct stub_result *r = t->result;
    const struct stub_candidate *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < r->n_candidates; i++) {
        if (!searched(t, &r->candidates[i]))
            continue;
        last = &r->candidates[i];
        n++;
    }
    size_t len = strlen(t->name);
    bool absolute = len && t->name[len - 1] == '.', list = t->conf->searches.n > 0;
    a->not_searched = r->n_candidates && n == 0 && r->won < 0 && list && !absolute;
    if (last && last->outcome != WALK_FOUND && n < t->conf->searches.n)
        a->left_list_at = last->name;
}

/* A name from outside: fewer ndots let it be tried as it is first. */
static unsigned helpful_ndots(const struct trace *t)
{
    const struct stub_result *r = t->result;
    unsigned dots = 0;
    if (r->won <= 0 || searched(t, &r->candidates[r->won]))
        return 0;
    for (const char *p = t->name; *p; p++)
        dots += *p == '.';
    return dots;
}

struct trace_advice trace_advise(const struct trace *t)
{
    const struct stub_result *r = t->result;
    struct trace_advice a = { .queries = r->n_queries, .ndots = helpful_ndots(t) };
    for (size_t i = 0; i < r->n_candidates; i++) {
        const struct stub_candidate *c = &r->candidates[i];
        a.before_winner += (int)i == r->won ? 0 : c->n_queries;
    }
    for (size_t i = 0; i < r->n_queries; i++) {
        const struct stub_query *q = &r->queries[i];
        size_t j = r->candidates[q->candidate].first_query;
        while (j < i && r->queries[j].type != q->type)
            j++;
        bool cut = q->tcp && !r->queries[j].tcp; /* the way from UDP to TCP is no repetition */
        a.again += j < i && !cut;
    }
    look_at_list(t, &a);
    better_name(t, &a);
    return a;
}

/* What comes after a candidate that was not the winner. */
static const char *what_next(const struct trace *t, size_t candidate)
{
    const struct stub_result *r = t->result;
    if (candidate + 1 == r->n_candidates)
        return "the walk ends";
    struct trace_advice a = { 0 };
    look_at_list(t, &a);
    return r->candidates[candidate].name == a.left_list_at ? "leaves the list" : "next";
}

static const char *answer_meaning(const struct stub_query *q, const struct stub_candidate *c,
                                  const struct stub_query *all)
{
    if (q->tc) {
        const struct stub_query *last = &all[c->first_query + c->n_queries - 1];
        return last->tcp ? "cut: again over TCP" : "cut";
    }
    switch (q->rcode) {
    case RCODE_NOERROR:
        return q->answers ? "data" : "no such data";
    case RCODE_NXDOMAIN:
        return "no such name";
    case RCODE_SERVFAIL:
        return "server failed";
    case RCODE_REFUSED:
        return "server will not say";
    default:
        return "of no use";
    }
}

const char *trace_meaning(const struct trace *t, size_t query, char *buf, size_t size)
{
    const struct stub_result *r = t->result;
    const struct stub_query *q = &r->queries[query];
    const struct stub_candidate *c = &r->candidates[q->candidate];
    bool won = (int)q->candidate == r->won, last = query + 1 == c->first_query + c->n_queries;
    if (won && q->answers && !q->tc)
        return "won";
    const char *what = q->fate == STUB_ANSWERED  ? answer_meaning(q, c, r->queries)
                       : q->fate == STUB_PENDING ? "another was quicker"
                                                 : "no answer";
    if (won || !last)
        return what;
    snprintf(buf, size, "%s: %s", what, what_next(t, q->candidate));
    return buf;
}

static const char *source_text(const struct stub_result *r)
{
    static const char *const texts[] = { [STUB_FROM_DNS] = "dns",
                                         [STUB_FROM_FILES] = "files",
                                         [STUB_FROM_LITERAL] = "literal",
                                         [STUB_FROM_ITSELF] = "itself" };
    return texts[r->source];
}

static const char *fate_text(const struct stub_query *q, char buf[16])
{
    static const char *const texts[] = {
        [STUB_PENDING] = "(not awaited)", [STUB_ANSWERED] = "",
        [STUB_TIMED_OUT] = "timeout",     [STUB_REFUSED] = "(nothing listens)",
        [STUB_BROKEN] = "(broken off)",
    };
    return q->fate == STUB_ANSWERED ? rcode_text(q->rcode, buf) : texts[q->fate];
}

static enum table_tone fate_tone(const struct stub_query *q)
{
    if (q->fate != STUB_ANSWERED)
        return q->fate == STUB_PENDING ? TABLE_DIM : TABLE_BAD;
    if (q->rcode == RCODE_NOERROR)
        return q->answers ? TABLE_GOOD : TABLE_PLAIN;
    return q->rcode == RCODE_NXDOMAIN ? TABLE_PLAIN : TABLE_WARN;
}

static char *server_text(const struct stub_server *s, char buf[IP_PORT_TEXT_MAX])
{
    return s->port == STUB_PORT ? ip_text(&s->ip, buf) : ip_port_text(&s->ip, s->port, buf);
}

static void add_query(struct table *t, const struct trace *tr, const struct stub_query *q)
{
    char type[16], rcode[16], server[IP_PORT_TEXT_MAX];
    const struct stub_server *s = &tr->conf->servers[q->server];
    table_cell(t, TABLE_PLAIN, "%s", rr_type_text(q->type, type));
    table_cell(t, TABLE_PLAIN, "%s", server_text(s, server));
    table_cell(t, TABLE_PLAIN, q->tcp ? "tcp" : "udp");
    table_cell(t, fate_tone(q), "%s%s", fate_text(q, rcode), q->tc ? " (truncated)" : "");
    if (q->fate == STUB_ANSWERED)
        table_cell(t, TABLE_PLAIN, "%u", q->answers);
    else
        table_cell(t, TABLE_DIM, "-");
    table_cell(t, TABLE_DIM, "%.1f", (double)q->sent_us / 1000);
    table_cell(t, TABLE_PLAIN, "%.1f", (double)q->time_us / 1000);
}

static void add_candidate(struct table *t, const struct trace *tr, size_t index)
{
    const struct stub_result *r = tr->result;
    const struct stub_candidate *c = &r->candidates[index];
    bool won = (int)index == r->won;
    for (size_t i = 0; i < c->n_queries; i++) {
        const struct stub_query *q = &r->queries[c->first_query + i];
        cleanup_free char *number = NULL;
        if (i > 0 || asprintf(&number, "%zu", index + 1) < 0)
            number = NULL;
        table_cell(t, TABLE_DIM, "%s", number ? number : "");
        table_cell(t, won ? TABLE_STRONG : TABLE_PLAIN, "%s", i ? "" : c->name);
        add_query(t, tr, q);
        char buf[64];
        table_cell(t, won && q->answers && !q->tc ? TABLE_GOOD : TABLE_DIM, "%s",
                   trace_meaning(tr, c->first_query + i, buf, sizeof buf));
    }
    if (c->n_queries == 0) {
        table_cell(t, TABLE_DIM, "%zu", index + 1);
        table_cell(t, TABLE_PLAIN, "%s", c->name);
        for (int i = 0; i < 3; i++)
            table_cell(t, TABLE_DIM, "-");
        table_cell(t, TABLE_BAD, c->outcome == WALK_BAD ? "(no name)" : "(could not be sent)");
        table_end_row(t);
    }
}

static void print_walk(const struct trace *t, FILE *out)
{
    static const struct {
        const char *head;
        enum table_align align;
    } columns[] = {
        { "#", TABLE_RIGHT },       { "candidate", TABLE_LEFT }, { "type", TABLE_LEFT },
        { "server", TABLE_LEFT },   { "over", TABLE_LEFT },      { "rcode", TABLE_LEFT },
        { "answers", TABLE_RIGHT }, { "at ms", TABLE_RIGHT },    { "took ms", TABLE_RIGHT },
        { "", TABLE_LEFT },
    };
    cleanup(table_done) struct table table;
    cleanup_free char *title = NULL;
    if (asprintf(&title, "Walk of \"%s\" as %s does it (ndots:%d, %zu in the search list)", t->name,
                 t->as, t->conf->ndots, t->conf->searches.n) < 0)
        title = NULL;
    table_init(&table, title);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        table_column(&table, columns[i].head, columns[i].align);
    for (size_t i = 0; i < t->result->n_candidates; i++)
        add_candidate(&table, t, i);
    table_print(&table, out);
}

/* The final dot and letter case aside. */
static bool same_name(const char *a, const char *b)
{
    size_t len = strlen(b);
    len -= len > 0 && b[len - 1] == '.';
    return strncasecmp(a, b, len) == 0 && (a[len] == '\0' || str_eq(a + len, "."));
}

static void print_result(const struct trace *t, FILE *out)
{
    const struct stub_result *r = t->result;
    double ms = (double)r->time_us / 1000;
    if (r->error) {
        tone_line(out, TABLE_BAD, "Result: %s, %s, after %.1f ms", r->error_name, r->error_text,
                  ms);
        if (r->not_host)
            tone_line(out, TABLE_PLAIN,
                      "  no query is sent: %s does not take this for the name of a host (letters, "
                      "digits, \"-\" and \"_\", at most 63 in a label and 253 in all)",
                      t->as);
        return;
    }
    bool renamed = r->canonical && !same_name(t->name, r->canonical);
    tone_line(out, TABLE_GOOD, "Result: %s%s%s, after %.1f ms", t->name, renamed ? " is " : "",
              renamed ? r->canonical : "", ms);
    if (r->source != STUB_FROM_DNS)
        tone_line(out, TABLE_PLAIN, "  from %s, without a query",
                  r->source == STUB_FROM_FILES     ? "the hosts file"
                  : r->source == STUB_FROM_LITERAL ? "the text itself"
                                                   : "the library itself");
    for (size_t i = 0; i < r->n_ips; i++) {
        char text[IP_TEXT_MAX];
        tone_line(out, TABLE_PLAIN, "  %s", ip_text(&r->ips[i], text));
    }
    for (size_t i = 0; r->n_ips == 0 && i < r->records.n; i++)
        tone_line(out, TABLE_PLAIN, "  %s", r->records.items[i]);
}

static void print_advice(const struct trace *t, FILE *out)
{
    struct trace_advice a = trace_advise(t);
    if (a.better[0])
        tone_line(out, TABLE_WARN,
                  "Advice: %zu of %zu queries were in vain; asking for \"%s\" "
                  "(with the dot) saves %s.",
                  a.before_winner, a.queries, a.better, a.before_winner == 1 ? "it" : "them");
    if (a.better[0] && a.ndots)
        tone_line(
            out, TABLE_WARN,
            "Advice: so does ndots:%u in the Pod's dnsConfig, for all names with as many dots.",
            a.ndots);
    if (!a.better[0] && t->result->error && a.queries)
        tone_line(out, TABLE_WARN, "Advice: all %zu quer%s in vain.", a.queries,
                  a.queries == 1 ? "y was" : "ies were");
    if (a.left_list_at)
        tone_line(out, TABLE_WARN,
                  "Advice: %s got no usable answer; %s leaves the search list "
                  "there and does not try what follows in it.",
                  a.left_list_at, t->as);
    if (a.not_searched)
        tone_line(out, TABLE_WARN,
                  "Advice: with ndots:%d, %s takes this name as it is and does not try the search "
                  "list; write the whole name.",
                  t->conf->ndots, t->as);
    if (a.again)
        tone_line(out, TABLE_WARN,
                  "Advice: %zu of %zu queries were repeats: look at the server%s above that failed "
                  "or kept silent.",
                  a.again, a.queries, t->conf->n_servers == 1 ? "" : "s");
}

void trace_print(const struct trace *t, FILE *out)
{
    if (t->result->n_candidates)
        print_walk(t, out);
    print_result(t, out);
    print_advice(t, out);
}

static void json_list(struct strbuf *out, const char *key, const struct strlist *l)
{
    json_put_text(out, key);
    strbuf_puts(out, ":[");
    for (size_t i = 0; i < l->n; i++) {
        strbuf_puts(out, i ? "," : "");
        json_put_text(out, l->items[i]);
    }
    strbuf_putc(out, ']');
}

static void json_query(struct strbuf *out, const struct trace *t, const struct stub_query *q)
{
    static const char *const fates[] = {
        [STUB_PENDING] = "not-awaited", [STUB_ANSWERED] = "answered", [STUB_TIMED_OUT] = "timeout",
        [STUB_REFUSED] = "refused",     [STUB_BROKEN] = "broken",
    };
    char type[16], rcode[16], server[IP_PORT_TEXT_MAX], meaning[64];
    strbuf_puts(out, "{");
    json_put_member(out, "candidate", t->result->candidates[q->candidate].name);
    strbuf_putc(out, ',');
    json_put_member(out, "type", rr_type_text(q->type, type));
    strbuf_putc(out, ',');
    json_put_member(out, "server", server_text(&t->conf->servers[q->server], server));
    strbuf_printf(out, ",\"over\":\"%s\",\"fate\":\"%s\",", q->tcp ? "tcp" : "udp", fates[q->fate]);
    json_put_member(out, "rcode", q->fate == STUB_ANSWERED ? rcode_text(q->rcode, rcode) : NULL);
    strbuf_printf(out, ",\"answers\":%u,\"truncated\":%s,\"attempt\":%u,\"localPort\":%u",
                  q->answers, q->tc ? "true" : "false", q->attempt + 1u, q->local_port);
    strbuf_printf(out, ",\"sentUs\":%" PRId64 ",\"tookUs\":%" PRId64 ",", q->sent_us, q->time_us);
    json_put_member(out, "meaning",
                    trace_meaning(t, (size_t)(q - t->result->queries), meaning, sizeof meaning));
    strbuf_putc(out, '}');
}

static void json_conf(struct strbuf *out, const struct stub_conf *c)
{
    char server[IP_PORT_TEXT_MAX];
    strbuf_puts(out, "\"resolver\":{\"servers\":[");
    for (unsigned i = 0; i < c->n_servers; i++) {
        strbuf_puts(out, i ? "," : "");
        json_put_text(out, server_text(&c->servers[i], server));
    }
    strbuf_puts(out, "],");
    json_list(out, "search", &c->searches);
    strbuf_printf(out, ",\"ndots\":%d,\"timeout\":%d,\"attempts\":%d,", c->ndots, c->timeout,
                  c->attempts);
    json_list(out, "ignored", &c->ignored);
    strbuf_puts(out, "},");
}

static void json_candidates(struct strbuf *out, const struct stub_result *r)
{
    strbuf_puts(out, "\"candidates\":[");
    for (size_t i = 0; i < r->n_candidates; i++) {
        const struct stub_candidate *c = &r->candidates[i];
        strbuf_puts(out, i ? ",{" : "{");
        json_put_member(out, "name", c->name);
        strbuf_putc(out, ',');
        json_put_member(out, "outcome", walk_outcome_text(c->outcome));
        strbuf_printf(out, ",\"queries\":%zu,\"won\":%s}", c->n_queries,
                      (int)i == r->won ? "true" : "false");
    }
    strbuf_puts(out, "],");
}

static void json_result(struct strbuf *out, const struct stub_result *r)
{
    strbuf_puts(out, "\"result\":{");
    json_put_member(out, "source", source_text(r));
    strbuf_putc(out, ',');
    json_put_member(out, "error", r->error ? r->error_name : NULL);
    strbuf_putc(out, ',');
    json_put_member(out, "errorText", r->error ? r->error_text : NULL);
    strbuf_printf(out, ",\"notAHostName\":%s", r->not_host ? "true" : "false");
    strbuf_putc(out, ',');
    json_put_member(out, "canonical", r->canonical);
    strbuf_puts(out, ",\"addresses\":[");
    for (size_t i = 0; i < r->n_ips; i++) {
        char text[IP_TEXT_MAX];
        strbuf_puts(out, i ? "," : "");
        json_put_text(out, ip_text(&r->ips[i], text));
    }
    strbuf_puts(out, "],");
    json_list(out, "records", &r->records);
    strbuf_printf(out, ",\"tookUs\":%" PRId64 "},", r->time_us);
}

void trace_json(const struct trace *t, struct strbuf *out)
{
    const struct stub_result *r = t->result;
    struct trace_advice a = trace_advise(t);
    char type[16];
    strbuf_putc(out, '{');
    json_put_member(out, "name", t->name);
    strbuf_putc(out, ',');
    json_put_member(out, "as", t->as);
    strbuf_putc(out, ',');
    json_put_member(out, "type", t->type == STUB_ADDRESS ? "address" : rr_type_text(t->type, type));
    strbuf_putc(out, ',');
    json_conf(out, t->conf);
    json_candidates(out, r);
    strbuf_puts(out, "\"queries\":[");
    for (size_t i = 0; i < r->n_queries; i++) {
        strbuf_puts(out, i ? "," : "");
        json_query(out, t, &r->queries[i]);
    }
    strbuf_puts(out, "],");
    json_result(out, r);
    strbuf_printf(out, "\"advice\":{\"queries\":%zu,\"inVain\":%zu,\"again\":%zu,", a.queries,
                  a.before_winner, a.again);
    json_put_member(out, "betterName", a.better[0] ? a.better : NULL);
    strbuf_putc(out, ',');
    json_put_member(out, "leftListAt", a.left_list_at);
    strbuf_printf(out, ",\"notSearched\":%s,\"ndots\":%u", a.not_searched ? "true" : "false",
                  a.ndots);
    strbuf_puts(out, "}}\n");
}
