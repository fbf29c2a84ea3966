/* A journey as one page: what the browser shows needs neither scripts nor anything from elsewhere.
 */
#include "explain/journey.h"

#define LANE_FIRST 110 /* pixels: middle of the leftmost lane */
#define LANE_STEP  240
#define ARROW_TOP  80
#define ARROW_STEP 44

enum lane { LANE_CLIENT, LANE_NAMES, LANE_NODE, LANE_PEER, LANE_COUNT };

struct drawing {
    struct strbuf *out;
    unsigned n; /* arrows so far */
};

static void put_escaped(struct strbuf *out, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            strbuf_puts(out, "&lt;");
            break;
        case '>':
            strbuf_puts(out, "&gt;");
            break;
        case '&':
            strbuf_puts(out, "&amp;");
            break;
        case '"':
            strbuf_puts(out, "&quot;");
            break;
        default:
            strbuf_putc(out, (unsigned char)*s < 0x20 ? ' ' : *s);
        }
    }
}

static int lane_x(enum lane lane)
{
    return LANE_FIRST + LANE_STEP * (int)lane;
}

static void put_lane(struct strbuf *out, enum lane lane, const char *what, const char *who,
                     int height)
{
    int x = lane_x(lane);
    strbuf_printf(out, "<text x=\"%d\" y=\"20\" class=\"who\">%s</text><text x=\"%d\" y=\"40\">", x,
                  what, x);
    put_escaped(out, who);
    strbuf_printf(out, "</text><line x1=\"%d\" y1=\"52\" x2=\"%d\" y2=\"%d\" class=\"lane\"/>\n", x,
                  x, height);
}

/* From lane to lane, with its words above; a broken one ends in a cross half-way. */
static void put_arrow(struct drawing *d, enum lane from, enum lane to, bool good, const char *text,
                      int64_t ns)
{
    int y = ARROW_TOP + ARROW_STEP * (int)d->n++, a = lane_x(from), b = lane_x(to);
    int end = good ? b : (a + b) / 2;
    strbuf_printf(d->out,
                  "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"%s\" "
                  "marker-end=\"url(#%s)\"/><text x=\"%d\" y=\"%d\">",
                  a, y, end, y, good ? "good" : "bad", good ? "head" : "cross", (a + b) / 2, y - 7);
    put_escaped(d->out, text);
    if (ns > 0)
        strbuf_printf(d->out, " (%.2f ms)", (double)ns / 1e6);
    strbuf_puts(d->out, "</text>\n");
}

static void draw_name(struct drawing *d, const struct sightings *s)
{
    char text[200];
    bool found = *s->dns.name;
    if (!s->dns.asked)
        return;
    (void)snprintf(text, sizeof text, "%u queries", s->dns.asked);
    put_arrow(d, LANE_CLIENT, LANE_NAMES, s->dns.answered || s->dns.server_got, text, 0);
    if (!s->dns.answered)
        return;
    (void)snprintf(text, sizeof text, "%s",
                   found             ? s->dns.name
                   : *s->dns.failure ? s->dns.failure
                   : *s->dns.empty   ? "no address"
                                     : "NXDOMAIN");
    put_arrow(d, LANE_NAMES, LANE_CLIENT, true, text, s->dns.ns);
}

static void draw_connection(struct drawing *d, const struct sightings *s)
{
    char text[200];
    bool back = s->tcp.answer_came || s->reply_bytes;
    if (!s->tcp.attempts)
        return;
    (void)snprintf(text, sizeof text, "SYN %s", s->tcp.to);
    put_arrow(d, LANE_CLIENT, LANE_NODE, !s->tcp.rejected && !s->tcp.dropped, text, 0);
    if (s->tcp.rejected || s->tcp.dropped)
        return;
    put_arrow(d, LANE_NODE, LANE_PEER, s->tcp.arrived, s->tcp.chosen, 0);
    if (!s->tcp.arrived)
        return;
    put_arrow(d, LANE_PEER, LANE_CLIENT, back || s->tcp.refused_there,
              s->tcp.refused_there ? "RST" : "SYN+ACK", s->tcp.ns);
    if (!back)
        return;
    if (s->status)
        (void)snprintf(text, sizeof text, "HTTP %d, %zu bytes", s->status, s->reply_bytes);
    else
        (void)snprintf(text, sizeof text, "%zu bytes", s->reply_bytes);
    put_arrow(d, LANE_PEER, LANE_CLIENT, s->reply_bytes > 0, text, s->total_ns);
}

static void draw(const struct sightings *s, struct strbuf *out)
{
    cleanup(strbuf_done) struct strbuf arrows = { 0 };
    struct drawing d = { &arrows, 0 };
    draw_name(&d, s);
    draw_connection(&d, s);
    int height = ARROW_TOP + ARROW_STEP * (int)d.n, width = 2 * LANE_FIRST + LANE_STEP * 3;
    strbuf_printf(out,
                  "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the request's way\">\n"
                  "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" "
                  "markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
                  "class=\"tip\"/></marker><marker id=\"cross\" viewBox=\"0 0 10 10\" refX=\"5\" "
                  "refY=\"5\" markerWidth=\"10\" markerHeight=\"10\"><path d=\"M1 1L9 9M9 1L1 9\" "
                  "class=\"bad\"/></marker></defs>\n",
                  width, height);
    put_lane(out, LANE_CLIENT, "client", s->client, height);
    put_lane(out, LANE_NAMES, "name server", s->dns.server, height);
    put_lane(out, LANE_NODE, "rules of its node", "", height);
    put_lane(out, LANE_PEER, "server", *s->tcp.peer ? s->tcp.peer : s->tcp.chosen, height);
    strbuf_add(out, arrows.p ? arrows.p : "", arrows.len);
    strbuf_puts(out, "</svg>\n");
}

static void put_step(struct strbuf *out, const struct journey_step *s, size_t number)
{
    bool missing = s->missing || !s->lines.n;
    strbuf_printf(out, "<tr%s><td>%zu</td><th>%s</th><td>", missing ? " class=\"missing\"" : "",
                  number, s->title);
    for (size_t i = 0; i < s->lines.n; i++) {
        const struct journey_line *l = &s->lines.items[i];
        strbuf_puts(out, "<div>");
        if (l->at_ns >= 0)
            strbuf_printf(out, "<i>%.2f ms</i> ", (double)l->at_ns / 1e6);
        if (missing && i + 1 == s->lines.n)
            strbuf_puts(out, "<b>not seen:</b> ");
        put_escaped(out, l->text);
        strbuf_puts(out, "</div>");
    }
    strbuf_puts(out, "</td></tr>\n");
}

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c2733;--dim:#6b7a89;--good:#177a45;--bad:#c0312b;--paper:#fff;"
    "--rule:#dfe5ea}@media(prefers-color-scheme:dark){:root{--ink:#e3e9ef;--dim:#93a1af;--good:#"
    "4cc584;"
    "--bad:#ff7b72;--paper:#14191f;--rule:#2b343d}}body{font:15px/1.5 "
    "system-ui,sans-serif;color:var(--ink);"
    "background:var(--paper);max-width:1000px;margin:2rem auto;padding:0 1rem}h1{font-size:1.3rem}"
    ".verdict{padding:.7rem 1rem;border-left:4px solid "
    "var(--bad)}.verdict.answered{border-color:var(--good)}"
    ".cost{color:var(--dim)}svg{width:100%;margin:1rem 0}svg "
    "text{font-size:12px;text-anchor:middle;"
    "fill:var(--ink)}svg "
    ".who{font-weight:600;font-size:14px}.lane{stroke:var(--rule);stroke-width:2}"
    ".good{stroke:var(--good);stroke-width:2}.bad{stroke:var(--bad);stroke-width:2;fill:none}.tip{"
    "fill:"
    "var(--good)}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:"
    "top;padding:"
    ".35rem .6rem;border-top:1px solid var(--rule)}td div{font:13px/1.6 "
    "ui-monospace,monospace;overflow-wrap:"
    "anywhere}i{color:var(--dim)}.missing th,.missing b{color:var(--bad)}";

void journey_html(const struct journey_report *r, struct strbuf *out)
{
    char cost[OUTCOME_TEXT_MAX];
    strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    put_escaped(out, r->seen->client);
    strbuf_puts(out, " to ");
    put_escaped(out, r->seen->typed);
    strbuf_printf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    put_escaped(out, r->seen->client);
    strbuf_puts(out, " asks for ");
    put_escaped(out, r->seen->typed);
    strbuf_printf(out, "</h1>\n<p class=\"verdict %s\">", outcome_word(outcome_of(r->seen)));
    put_escaped(out, r->verdict);
    strbuf_puts(out, "</p>\n");
    if (*outcome_cost(r->seen, cost)) {
        strbuf_puts(out, "<p class=\"cost\">");
        put_escaped(out, cost);
        strbuf_puts(out, "</p>\n");
    }
    for (size_t i = 0; i < r->n_causes; i++) {
        strbuf_puts(out, "<p class=\"cause\">");
        put_escaped(out, r->causes[i].text);
        strbuf_puts(out, ": <em>");
        put_escaped(out, r->causes[i].change ? r->causes[i].change : "");
        strbuf_puts(out, "</em></p>\n");
    }
    draw(r->seen, out);
    strbuf_puts(out, "<table>\n");
    for (size_t i = 0; i < r->journey->steps.n; i++)
        put_step(out, &r->journey->steps.items[i], i + 1);
    strbuf_puts(out, "</table>\n</body></html>\n");
}
