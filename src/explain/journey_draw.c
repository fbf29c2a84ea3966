/* The request's way drawn as a sequence: client, name server, rules, server; from above to below,
 * with the moment of each arrow at the left. */
#include "explain/journey_draw.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define WIDTH       1060
#define TIME_RIGHT  84 /* where the moments end */
#define HEAD_HEIGHT 84
#define ARROW_STEP  42
#define LETTER      67 /* tenths of a pixel, of the arrows' words */
#define LANE_CHARS  34 /* below a lane's head */
#define WORDS_MAX   512
#define NAMES_DRAWN 12

enum lane { LANE_CLIENT, LANE_NAMES, LANE_NODE, LANE_PEER, LANE_COUNT };

enum kind {
    KIND_GOOD,
    KIND_PLAIN, /* it went well, and was of no use */
    KIND_BAD,   /* it came, and is bad news */
    KIND_LOST,  /* it did not come */
};

struct drawing {
    struct strbuf *out;
    unsigned n; /* rows so far */
};

static const int lane_x[LANE_COUNT] = { 170, 510, 750, 950 };

void journey_put_escaped(struct strbuf *out, const char *s)
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

/* A text that is too long loses its middle; pointing at it shows all. */
static void put_fitting(struct strbuf *out, const char *text, size_t room)
{
    size_t len = strlen(text), tail = room / 2;
    if (len <= room) {
        journey_put_escaped(out, text);
        return;
    }
    char head[WORDS_MAX];
    (void)snprintf(head, sizeof head, "%.*s", (int)(room - tail - 1), text);
    strbuf_puts(out, "<title>");
    journey_put_escaped(out, text);
    strbuf_puts(out, "</title>");
    journey_put_escaped(out, head);
    strbuf_puts(out, "\xe2\x80\xa6"); /* an ellipsis */
    journey_put_escaped(out, text + len - tail);
}

/* ---- lanes ---- */

static void put_line(struct strbuf *out, int x, int y, const char *class, const char *text)
{
    strbuf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
    put_fitting(out, text, LANE_CHARS);
    strbuf_puts(out, "</text>");
}

static void put_lane(struct strbuf *out, enum lane lane, const char *what, const char *who,
                     const char *where, int height)
{
    int x = lane_x[lane];
    put_line(out, x, 18, "what", what);
    put_line(out, x, 38, "who", who);
    put_line(out, x, 56, "where", where);
    strbuf_printf(out, "<line x1=\"%d\" y1=\"66\" x2=\"%d\" y2=\"%d\" class=\"lane\"/>\n", x, x,
                  height);
}

/* "pod other/bar on node-2" -> "other/bar" and "on node-2". */
static void put_peer(struct strbuf *out, enum lane lane, const char *what, const char *text,
                     const char *where, int height)
{
    char who[WORDS_MAX];
    const char *on = strstr(text, " on ");
    if (str_starts(text, "pod "))
        text += strlen("pod ");
    (void)snprintf(who, sizeof who, "%.*s", on ? (int)(on - text) : (int)strlen(text), text);
    put_lane(out, lane, what, who, on ? on + 1 : where, height);
}

/* ---- arrows ---- */

static const char *const classes[] = { "good", "plain", "bad", "bad" };
static const char *const heads[] = { "good-head", "plain-head", "bad-head", "cross" };

static int row_y(struct drawing *d)
{
    return HEAD_HEIGHT + 20 + ARROW_STEP * (int)d->n++;
}

/* at_ns: since the first packet; less than 0: not known. */
static void put_arrow(struct drawing *d, enum lane from, enum lane to, enum kind kind,
                      int64_t at_ns, const char *text)
{
    int y = row_y(d), a = lane_x[from], b = lane_x[to];
    int end = kind == KIND_LOST ? a + (b - a) * 4 / 5 : b;
    size_t room = (size_t)((a < b ? b - a : a - b) - 24) * 10 / LETTER;
    if (at_ns >= 0)
        strbuf_printf(d->out, "<text x=\"%d\" y=\"%d\" class=\"at\">%.2f ms</text>", TIME_RIGHT,
                      y + 4, (double)at_ns / 1e6);
    strbuf_printf(d->out,
                  "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"arrow %s\" "
                  "marker-end=\"url(#%s)\"/><text x=\"%d\" y=\"%d\" class=\"label\">",
                  a, y, end, y, classes[kind], heads[kind], (a + end) / 2, y - 8);
    put_fitting(d->out, text, room);
    strbuf_puts(d->out, "</text>\n");
}

static void draw_exchange(struct drawing *d, const struct sightings *s,
                          const struct sighted_exchange *x)
{
    char text[WORDS_MAX];
    bool silent = x->answered_ns<0, heard = s->dns.server_got> 0;
    (void)snprintf(text, sizeof text, "%s %s", x->types, x->name);
    put_arrow(d, LANE_CLIENT, LANE_NAMES,
              !silent ? KIND_GOOD
              : heard ? KIND_BAD
                      : KIND_LOST,
              x->at_ns, text);
    if (!silent)
        put_arrow(d, LANE_NAMES, LANE_CLIENT,
                  x->failed        ? KIND_BAD
                  : x->has_address ? KIND_GOOD
                                   : KIND_PLAIN,
                  x->answered_ns, x->result);
}

static void draw_names(struct drawing *d, const struct sightings *s)
{
    size_t n = s->dns.n_exchanges;
    for (size_t i = 0; i < n && i < NAMES_DRAWN; i++)
        draw_exchange(d, s, &s->dns.exchanges[i]);
    if (n > NAMES_DRAWN)
        strbuf_printf(d->out,
                      "<text x=\"%d\" y=\"%d\" class=\"label\">and %zu more, as listed below"
                      "</text>\n",
                      (lane_x[LANE_CLIENT] + lane_x[LANE_NAMES]) / 2, row_y(d), n - NAMES_DRAWN);
}

/* The rules' word: whom it is for now, or why it goes no further. */
static void draw_end_at_rules(struct drawing *d, const struct sightings *s)
{
    char text[WORDS_MAX];
    (void)snprintf(text, sizeof text, "%s: %s", s->tcp.rejected ? "refused" : "dropped",
                   s->tcp.rule);
    put_arrow(d, LANE_NODE, LANE_CLIENT, s->tcp.rejected ? KIND_BAD : KIND_LOST, -1, text);
}

static bool came_back(const struct sightings *s)
{
    return s->tcp.answer_came || s->reply_bytes;
}

static void draw_back(struct drawing *d, const struct sightings *s)
{
    char text[WORDS_MAX];
    const char *what = s->udp ? "datagram" : "SYN+ACK";
    if (s->tcp.refused_there) {
        put_arrow(d, LANE_PEER, LANE_CLIENT, KIND_BAD, -1,
                  s->udp ? "port unreachable: nothing listens on it"
                         : "RST: nothing listens on that port");
        return;
    }
    if (!s->tcp.answered_there && !came_back(s))
        return;
    put_arrow(d, LANE_PEER, LANE_NODE, came_back(s) ? KIND_GOOD : KIND_LOST, -1, what);
    if (!came_back(s))
        return;
    (void)snprintf(text, sizeof text, "%s from %s%s", what, s->tcp.to,
                   s->tcp.translated ? ", translated back" : "");
    put_arrow(d, LANE_NODE, LANE_CLIENT, KIND_GOOD, s->tcp.answer_at_ns, text);
    if (!s->reply_bytes || s->udp)
        return;
    if (s->status)
        (void)snprintf(text, sizeof text, "HTTP %d, %zu bytes", s->status, s->reply_bytes);
    else
        (void)snprintf(text, sizeof text, "%zu bytes", s->reply_bytes);
    put_arrow(d, LANE_PEER, LANE_CLIENT, KIND_GOOD, s->tcp.reply_at_ns, text);
}

static void draw_connection(struct drawing *d, const struct sightings *s)
{
    char text[WORDS_MAX];
    if (!s->tcp.attempts)
        return;
    (void)snprintf(text, sizeof text, "%s to %s%s", s->udp ? "datagram" : "SYN", s->tcp.to,
                   s->tcp.attempts > 1 ? ", and again" : "");
    put_arrow(d, LANE_CLIENT, LANE_NODE, KIND_GOOD, s->tcp.at_ns, text);
    if (s->tcp.rejected || s->tcp.dropped) {
        draw_end_at_rules(d, s);
        return;
    }
    (void)snprintf(text, sizeof text, "%s%s", s->tcp.translated ? "now to " : "to ", s->tcp.chosen);
    bool reached = s->tcp.arrived || (s->tcp.blind && came_back(s));
    put_arrow(d, LANE_NODE, LANE_PEER, reached ? KIND_GOOD : KIND_LOST,
              s->tcp.arrived ? s->tcp.arrived_at_ns : -1, text);
    if (reached)
        draw_back(d, s);
}

static void put_marks(struct strbuf *out)
{
    for (size_t i = KIND_GOOD; i <= KIND_BAD; i++)
        strbuf_printf(out,
                      "<marker id=\"%s\" viewBox=\"0 0 10 10\" refX=\"10\" refY=\"5\" "
                      "markerWidth=\"10\" markerHeight=\"10\" markerUnits=\"userSpaceOnUse\" "
                      "orient=\"auto\"><path d=\"M0 1L10 5L0 9z\" class=\"%s tip\"/></marker>",
                      heads[i], classes[i]);
    strbuf_puts(out, "<marker id=\"cross\" viewBox=\"0 0 12 12\" refX=\"6\" refY=\"6\" "
                     "markerWidth=\"12\" markerHeight=\"12\" markerUnits=\"userSpaceOnUse\">"
                     "<path d=\"M1 1L11 11M11 1L1 11\" class=\"arrow bad\"/></marker>");
}

void journey_draw(const struct sightings *s, struct strbuf *out)
{
    cleanup(strbuf_done) struct strbuf arrows = { 0 };
    struct drawing d = { &arrows, 0 };
    draw_names(&d, s);
    draw_connection(&d, s);
    if (!d.n)
        return; /* nothing left the pod */
    int height = HEAD_HEIGHT + 4 + ARROW_STEP * (int)d.n;
    strbuf_printf(out,
                  "<div class=\"way\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
                  "aria-label=\"the request's way\">\n<defs>",
                  WIDTH, height);
    put_marks(out);
    strbuf_puts(out, "</defs>\n");
    put_peer(out, LANE_CLIENT, "client", s->client, "", height);
    put_lane(out, LANE_NAMES, "name server", s->dns.server ? s->dns.server : "",
             s->dns.chosen ? s->dns.chosen : "", height);
    put_lane(out, LANE_NODE, "rules", s->node ? s->node : "", "", height);
    put_peer(out, LANE_PEER, "server",
             *s->tcp.peer        ? s->tcp.peer
             : s->tcp.translated ? s->tcp.chosen
                                 : "nobody",
             "", height);
    strbuf_add(out, arrows.p, arrows.len);
    strbuf_puts(out, "</svg></div>\n");
}
