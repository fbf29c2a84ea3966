/* `signpost dns why NAME [TYPE]`: asks the running server, or a configuration of its own. */
#include "base/json.h"
#include "base/table.h"
#include "base/vec.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "cmd/dns_control.h"
#include "cmd/dns_why.h"
#include "loop/loop.h"

#include <string.h>

#define ANSWER_MS 15000 /* upstreams and all */
#define ROWS_MAX  8192
#define READY_MS  10000 /* for sources that are read over the network */
#define LOOK_MS   10

static const char *server_path, *client, *pod, *at, *output = "text", *conf;
static long port = 53;

static const struct flag flags[] = {
    { "at", FLAG_STRING, &at, "IP:PORT",
      "The listener to ask, *:PORT for one that is bound to no address (default: where the name's "
      "zone is longest)." },
    { "client", FLAG_STRING, &client, "IP",
      "Who asks, for `acl`, `view` and others (default "
      "127.0.0.1)." },
    { "conf", FLAG_STRING, &conf, "FILE",
      "Look at this Corefile instead of asking a running server." },
    { "dns.port", FLAG_INT, &port, "PORT",
      "With -conf: port of server blocks that name none (default 53)." },
    { "output", FLAG_STRING, &output, "FORM", "text (default) or json." },
    { "pod", FLAG_STRING, &pod, "NS/NAME", "The pod that asks, by its address in the manifests." },
    { "server", FLAG_STRING, &server_path, "SOCKET",
      "Control socket of the server (default " DNS_CONTROL_PATH ")." },
};

static const struct command cmd_why = {
    .name = "dns why",
    .args = "NAME [TYPE]",
    .summary = "Says why a name gets its answer.",
    .details =
        "Sends a query of the server's own through its chains and shows which listener, "
        "zone and view were chosen, what each plugin did, and for cluster names the object "
        "behind the answer, or the cause of a miss and the nearest names that exist.\n\n"
        "The query is neither logged nor counted by `log`, `errors` and `prometheus`; caches "
        "keep its reply and upstreams see it, as with any query. Exit status: 0 when there "
        "is an answer, 1 when there is none, 2 for trouble.",
};

/* ---- what came ---- */

struct row {
    unsigned depth;
    char *text; /* owns the fields */
    const char *step, *what, *detail;
};

struct report {
    VEC(struct row) rows;
    bool complete;
};

static void report_done(struct report *r)
{
    vec_each (row, &r->rows)
        free(row->text);
    vec_done(&r->rows);
}

/* The next field, in place. */
static char *next_field(char **at_text)
{
    char *field = *at_text, *end = field + strcspn(field, "\t");
    *at_text = end + (*end != '\0');
    *end = '\0';
    return field;
}

/* One line of the reply. */
static int take_line(struct report *r, const char *line, struct err *e)
{
    long depth;
    if (str_starts(line, "error "))
        return err_set(e, ERR_REFUSED, "%s", line + 6);
    if (strcmp(line, "end") == 0) {
        r->complete = true;
        return 0;
    }
    if (!str_starts(line, "row\t") || r->rows.n == ROWS_MAX)
        return err_set(e, ERR_PARSE, "the server's reply cannot be understood");
    char *text = xstrdup(line + 4), *rest = text;
    if (str_to_long(next_field(&rest), 0, 255, &depth) < 0) {
        free(text);
        return err_set(e, ERR_PARSE, "the server's reply cannot be understood");
    }
    struct row row = { .depth = (unsigned)depth, .text = text };
    row.step = next_field(&rest);
    row.what = next_field(&rest);
    row.detail = rest;
    vec_push(&r->rows, row);
    return 0;
}

static int read_reply(struct control_link *link, struct report *r, struct err *e)
{
    char line[CONTROL_LINE_MAX];
    int code;
    while (!r->complete && (code = control_next(link, line, sizeof line, e)) != 0) {
        if (code == 1)
            code = take_line(r, line, e);
        if (code < 0)
            return code;
    }
    return r->complete ? 0 : err_set(e, ERR_REFUSED, "the server ended the conversation");
}

/* "NAME TYPE CLIENT AT" */
static void make_words(const char *name, const char *type, struct strbuf *out)
{
    strbuf_printf(out, "%s %s %s%s %s", name, type, pod ? "pod:" : "",
                  pod      ? pod
                  : client ? client
                           : "-",
                  at ? at : "-");
}

static int ask_server(const char *words, struct report *r, struct err *e)
{
    struct control_link link;
    cleanup(strbuf_done) struct strbuf line = { 0 };
    int ret = control_connect(dns_control_path(server_path), ANSWER_MS, &link, e);
    if (ret < 0)
        ret = err_wrap(e, "no server answers; give --server SOCKET of a running one, or -conf FILE "
                          "to look at a Corefile without");
    strbuf_printf(&line, "why %s\n", words);
    if (ret == 0)
        ret = control_tell(&link, line.p, e);
    if (ret == 0)
        ret = read_reply(&link, r, e);
    control_link_done(&link);
    return ret;
}

/* ---- without a server ---- */

struct inside {
    uv_loop_t loop;
    struct report *report;
    struct err e;
};

static void on_rows(void *ctx, const struct why_row *rows, size_t n)
{
    struct inside *in = ctx;
    cleanup(strbuf_done) struct strbuf text = { 0 };
    dns_why_rows(rows, n, &text);
    for (char *line = text.p, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        (void)take_line(in->report, line, &in->e);
    }
    uv_stop(&in->loop);
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

/* What is not there by the end is told with the answer. */
static void wait_ready(struct inside *in, const struct dns_server *server)
{
    cleanup(strbuf_done) struct strbuf waiting = { 0 };
    uv_timer_t tick;
    uv_timer_init(&in->loop, &tick);
    uv_timer_start(&tick, on_tick, LOOK_MS, LOOK_MS);
    uint64_t end = uv_now(&in->loop) + READY_MS;
    while (!dns_server_is_ready(server, &waiting) && uv_now(&in->loop) < end)
        uv_run(&in->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&in->loop, UV_RUN_NOWAIT);
}

static int look(struct inside *in, char *words, struct clusters *clusters,
                struct dns_server **ret_server, struct err *e)
{
    struct dns_options options = { .workers = 1,
                                   .loop = &in->loop,
                                   .open_source = clusters_open_source,
                                   .source_ctx = clusters,
                                   .offline = true };
    struct corefile *c = NULL;
    struct why_request request;
    int ret = command_corefile(conf, (uint16_t)port, &c, e);
    if (ret == 0)
        ret = dns_server_new(c, &options, ret_server, e);
    if (ret == 0)
        ret = dns_server_start(*ret_server, NULL, e);
    if (ret == 0)
        wait_ready(in, *ret_server);
    if (ret == 0)
        ret = dns_why_parse(words, clusters, &request, e);
    if (ret == 0)
        ret = dns_server_why(*ret_server, &request, on_rows, in, e);
    if (ret == 0)
        uv_run(&in->loop, UV_RUN_DEFAULT);
    return ret;
}

static int look_inside(char *words, struct report *r, struct err *e)
{
    struct inside in = { .report = r };
    struct clusters clusters = { .loop = &in.loop };
    struct dns_server *server = NULL;
    uv_loop_init(&in.loop);
    int ret = look(&in, words, &clusters, &server, e);
    dns_server_stop(server);
    clusters_close(&clusters);
    loop_done(&in.loop);
    dns_server_free(server);
    return ret;
}

/* ---- showing it ---- */

static enum table_tone tone_of(const struct row *row)
{
    if (strcmp(row->what, "cause") == 0 || strcmp(row->what, "stale") == 0)
        return TABLE_BAD;
    if (strcmp(row->what, "near") == 0 || strcmp(row->what, "answer") == 0)
        return TABLE_GOOD;
    if (strcmp(row->what, "note") == 0)
        return TABLE_WARN;
    return strncmp(row->what, "not ", 4) == 0 ? TABLE_DIM : TABLE_PLAIN;
}

static void print_text(const struct report *r, const char *name, const char *type)
{
    struct table t;
    cleanup(strbuf_done) struct strbuf title = { 0 };
    strbuf_printf(&title, "Why %s %s", name, type);
    table_init(&t, title.p);
    table_column(&t, "step", TABLE_LEFT);
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_LEFT);
    vec_each (row, &r->rows) {
        table_cell(&t, TABLE_STRONG, "%*s%s", (int)(2 * row->depth), "", row->step);
        table_cell(&t, tone_of(row), "%s", row->what);
        table_cell(&t, tone_of(row), "%s", row->detail);
    }
    table_print(&t, stdout);
    table_done(&t);
}

/* All details of that word, of the query and its look-ups. */
static void json_all(const struct report *r, const char *key, const char *what, struct strbuf *out)
{
    bool first = true;
    json_put_text(out, key);
    strbuf_puts(out, ":[");
    vec_each (row, &r->rows) {
        if (strcmp(row->what, what) != 0)
            continue;
        strbuf_puts(out, first ? "" : ",");
        json_put_text(out, row->detail);
        first = false;
    }
    strbuf_puts(out, "],");
}

static const struct row *find_step(const struct report *r, const char *step)
{
    vec_each (row, &r->rows)
        if (row->depth == 0 && strcmp(row->step, step) == 0)
            return row;
    return NULL;
}

static void print_json(const struct report *r, const char *name, const char *type)
{
    cleanup(strbuf_done) struct strbuf out = { 0 };
    const struct row *reply = find_step(r, "reply");
    strbuf_putc(&out, '{');
    json_put_member(&out, "name", name);
    strbuf_putc(&out, ',');
    json_put_member(&out, "type", type);
    strbuf_putc(&out, ',');
    json_put_member(&out, "rcode", reply && strcmp(reply->what, "none") != 0 ? reply->what : NULL);
    strbuf_putc(&out, ',');
    json_all(r, "causes", "cause", &out);
    json_all(r, "near", "near", &out);
    json_all(r, "answer", "answer", &out);
    strbuf_puts(&out, "\"steps\":[");
    for (size_t i = 0; i < r->rows.n; i++) {
        const struct row *row = &r->rows.items[i];
        strbuf_printf(&out, "%s{\"depth\":%u,", i ? "," : "", row->depth);
        json_put_member(&out, "step", row->step);
        strbuf_putc(&out, ',');
        json_put_member(&out, "what", row->what);
        strbuf_putc(&out, ',');
        json_put_member(&out, "detail", row->detail);
        strbuf_putc(&out, '}');
    }
    strbuf_puts(&out, "]}");
    (void)printf("%s\n", out.p);
}

static bool has_answer(const struct report *r)
{
    const struct row *reply = find_step(r, "reply");
    bool answer = false;
    vec_each (row, &r->rows)
        answer |= row > reply && strcmp(row->what, "answer") == 0;
    return reply && answer;
}

/* ---- the command ---- */

static int check(int left, struct err *e)
{
    if (left < 1 || left > 2)
        return err_set(e, ERR_INVALID, "give a NAME, and a TYPE if it is not A");
    if (client && pod)
        return err_set(e, ERR_INVALID, "give --client or --pod, not both");
    if (conf && server_path)
        return err_set(e, ERR_INVALID, "give --server or -conf, not both");
    if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0)
        return err_set(e, ERR_INVALID, "--output %s: give text or json", output);
    return port < 1 || port > 65535
               ? err_set(e, ERR_INVALID, "-dns.port %ld: a port is 1 to 65535", port)
               : 0;
}

static int explain(const char *name, const char *type, struct err *e)
{
    struct report r = { 0 };
    cleanup(strbuf_done) struct strbuf words = { 0 };
    make_words(name, type, &words);
    int ret = conf ? look_inside(words.p, &r, e) : ask_server(words.p, &r, e);
    if (ret == 0 && strcmp(output, "json") == 0)
        print_json(&r, name, type);
    else if (ret == 0)
        print_text(&r, name, type);
    if (ret == 0)
        ret = has_answer(&r) ? 0 : 1;
    report_done(&r);
    return ret;
}

int dns_why_command(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0;
    int ret = flags_parse(&cmd_why, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0)
        ret = check(left, &e);
    if (ret == 0)
        ret = explain(argv[0], left == 2 ? argv[1] : "A", &e);
    if (ret >= 0)
        return ret;
    (void)fprintf(stderr, "signpost dns why: %s\n", e.text);
    return 2;
}
