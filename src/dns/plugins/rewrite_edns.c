/* `rewrite edns0`: options that are added to the query, changed or taken out. Without `revert` the
 * client sees them in the reply, too, as in the reference. */
#include "dns/plugins/rewrite.h"

#include "dns/plugins/metadata.h"
#include "wire/radix.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define OPTION_DATA_MAX 1024 /* bytes of one option's value */
#define OPT_SIZE        4096 /* of an OPT where the client sent none, as in the reference */

/* ---- lists of options ---- */

static void put_option(struct wbuf *w, uint16_t code, const uint8_t *data, uint16_t len)
{
    wbuf_u16(w, code);
    wbuf_u16(w, len);
    wbuf_put(w, data, len);
}

const uint8_t *options_edit(struct arena *a, const struct edns *edns, uint16_t code,
                            enum option_action action, const uint8_t *data, uint16_t len,
                            uint16_t *ret_len)
{
    struct cursor c = cursor_of(edns->options, edns->options_len);
    size_t cap = (size_t)edns->options_len + 4u + len, n = 0;
    struct wbuf w = wbuf_of(arena_alloc(a, 2 * cap), 2 * cap);
    while (cursor_left(&c) && !c.bad) {
        uint16_t old_code = cursor_u16(&c), old_len = cursor_u16(&c);
        const uint8_t *old = cursor_take(&c, old_len);
        bool hit = old && old_code == code && action != OPTION_APPEND &&
                   (n == 0 || action == OPTION_UNSET);
        n += hit;
        if (hit && action != OPTION_UNSET)
            put_option(&w, code, data, len);
        else if (old && !hit)
            put_option(&w, old_code, old, old_len);
    }
    if (n == 0 && (action == OPTION_REPLACE || action == OPTION_UNSET))
        return NULL;
    if (n == 0)
        put_option(&w, code, data, len);
    if (w.bad || w.pos > UINT16_MAX)
        return NULL;
    *ret_len = (uint16_t)w.pos;
    return w.base;
}

/* ---- values ---- */

static uint16_t subnet(const struct query *q, const struct option_rule *r, uint8_t *out)
{
    struct ip ip = query_client(q);
    unsigned bits = ip.family == 4 ? r->bits4 : r->bits6, n = (bits + 7) / 8;
    put_u16(out, ip.family == 4 ? 1 : 2);
    out[2] = (uint8_t)bits;
    out[3] = 0;
    memcpy(out + 4, ip.bytes, n);
    if (bits % 8)
        out[4 + n - 1] &= (uint8_t)(0xff << (8 - bits % 8));
    return (uint16_t)(4 + n);
}

static uint16_t put_ip(const struct ip *ip, uint8_t *out)
{
    memcpy(out, ip->bytes, ip_len(ip));
    return (uint16_t)ip_len(ip);
}

static uint16_t put_text(const char *text, uint8_t *out)
{
    size_t n = MIN(strlen(text), (size_t)OPTION_DATA_MAX);
    memcpy(out, text, n);
    return (uint16_t)n;
}

static uint16_t put_number(uint16_t number, uint8_t *out)
{
    put_u16(out, number);
    return 2;
}

static uint16_t put_label(struct query *q, const struct option_rule *r, uint8_t *out)
{
    const char *text = metadata_value(r->metadata, q, r->label);
    return text ? put_text(text, out) : 0;
}

/* *ret_data: where the value lies, out unless it is constant. Returns its length. */
static uint16_t make_value(struct query *q, const struct option_rule *r, uint8_t *out,
                           const uint8_t **ret_data)
{
    char text[NAME_TEXT_MAX];
    struct ip ip;
    *ret_data = out;
    switch (r->value) {
    case VALUE_BYTES:
        *ret_data = r->bytes;
        return r->n_bytes;
    case VALUE_SUBNET:
        return subnet(q, r, out);
    case VALUE_QNAME:
        return put_text(name_to_text(q->msg.q.name.wire, text), out);
    case VALUE_QTYPE:
        return put_number(q->msg.q.type, out);
    case VALUE_CLIENT_IP:
        ip = query_client(q);
        return put_ip(&ip, out);
    case VALUE_CLIENT_PORT:
        return put_number(port_of_sockaddr((const struct sockaddr *)&q->peer), out);
    case VALUE_PROTOCOL:
        return put_text(q->transport == TRANSPORT_UDP ? "udp" : "tcp", out);
    case VALUE_SERVER_IP:
        ip = query_server(q);
        return put_ip(&ip, out);
    case VALUE_SERVER_PORT:
        return put_number(query_server_port(q), out);
    case VALUE_META:
        return put_label(q, r, out);
    }
    return 0;
}

/* ---- the rule ---- */

bool option_rule_apply(struct query *q, const struct option_rule *r)
{
    uint8_t out[MAX(OPTION_DATA_MAX, NAME_TEXT_MAX)];
    const uint8_t *data;
    uint16_t len = make_value(q, r, out, &data), n;
    if (r->value == VALUE_META && len == 0)
        return false;
    if (r->value != VALUE_BYTES && r->action == OPTION_APPEND &&
        options_edit(&q->arena, &q->msg.edns, r->code, OPTION_UNSET, data, 0, &n))
        return false; /* there is one, and it stays the only one */
    const uint8_t *options =
        options_edit(&q->arena, &q->msg.edns, r->code, r->action, data, len, &n);
    if (!options)
        return r->action ==
               OPTION_UNSET; /* what is not there is unset: the rule has done its work */
    query_change(q);
    if (!q->msg.edns.present)
        q->msg.edns = (struct edns){ .present = true, .udp_size = OPT_SIZE };
    q->msg.edns.options = options;
    q->msg.edns.options_len = n;
    if (r->revert || r->value == VALUE_SUBNET)
        return true;
    if (!q->reply.edns.present)
        q->reply.edns = (struct edns){ .present = true, .udp_size = OPT_SIZE };
    options = options_edit(&q->arena, &q->reply.edns, r->code, r->action, data, len, &n);
    if (options) {
        q->reply.edns.options = options;
        q->reply.edns.options_len = n;
    }
    return true;
}

/* ---- reading ---- */

static int read_action(struct option_rule *r, const char *word, struct err *e)
{
    static const char *const actions[] = { "set", "append", "replace", "unset" };
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (strcasecmp(word, actions[i]) == 0) {
            r->action = (enum option_action)i;
            return 0;
        }
    return err_set(e, ERR_INVALID, "invalid action: \"%s\"", word);
}

static int read_code(struct option_rule *r, const char *word, struct err *e)
{
    char *end;
    errno = 0;
    unsigned long code = strtoul(word, &end, 0);
    if (errno || end == word || *end || code > UINT16_MAX || *word == '-')
        return err_set(e, ERR_INVALID, "\"%s\" is not the code of an EDNS0 option", word);
    r->code = (uint16_t)code;
    return 0;
}

/* "{qname}", "{meta/label}" */
static int read_variable(struct setup *s, struct option_rule *r, const char *word, struct err *e)
{
    static const char *const names[] = {
        [VALUE_QNAME] = "{qname}",
        [VALUE_QTYPE] = "{qtype}",
        [VALUE_CLIENT_IP] = "{client_ip}",
        [VALUE_CLIENT_PORT] = "{client_port}",
        [VALUE_PROTOCOL] = "{protocol}",
        [VALUE_SERVER_IP] = "{server_ip}",
        [VALUE_SERVER_PORT] = "{server_port}",
    };
    for (size_t i = VALUE_QNAME; i < ARRAY_SIZE(names); i++)
        if (strcmp(word, names[i]) == 0) {
            r->value = (enum option_value)i;
            return 0;
        }
    if (!strchr(word, '/'))
        return err_set(e, ERR_INVALID, "unsupported variable name \"%s\"", word);
    r->value = VALUE_META;
    r->metadata = metadata_of(s);
    r->label = arena_strndup(setup_arena(s), word + 1, strlen(word) - 2);
    return 0;
}

static int read_bytes(struct setup *s, struct option_rule *r, const char *word, struct err *e)
{
    size_t n = strlen(word);
    struct wbuf w = wbuf_of(arena_alloc(setup_arena(s), n), n);
    struct radix_reader hex = { .r = &radix_hex };
    if (n > OPTION_DATA_MAX)
        return err_set(e, ERR_LIMIT, "an EDNS0 option is longer than %d bytes", OPTION_DATA_MAX);
    if (!str_starts(word, "0x"))
        wbuf_put(&w, word, n);
    else if (!radix_read(&hex, word + 2, n - 2, &w) || !radix_end(&hex))
        return err_set(e, ERR_INVALID, "\"%s\" is not hexadecimal", word);
    r->bytes = w.base;
    r->n_bytes = (uint16_t)w.pos;
    return 0;
}

static int read_local(struct setup *s, struct option_rule *r, const char **args, size_t n,
                      struct err *e)
{
    size_t wanted = r->action == OPTION_UNSET ? 1 : 2;
    if (n != wanted)
        return err_set(e, ERR_INVALID, "EDNS0 local rules take a code%s",
                       wanted == 2 ? " and a value" : " and nothing else");
    int ret = read_code(r, args[0], e);
    if (ret < 0 || n == 1)
        return ret;
    if (args[1][0] == '{' && str_ends(args[1], "}"))
        return read_variable(s, r, args[1], e);
    return read_bytes(s, r, args[1], e);
}

static int read_subnet(struct option_rule *r, const char **args, size_t n, struct err *e)
{
    long bits4, bits6;
    r->code = EDNS_SUBNET;
    r->value = VALUE_SUBNET;
    if (r->action == OPTION_UNSET)
        return n == 0 ? 0 : err_set(e, ERR_INVALID, "EDNS0 subnet unset takes nothing else");
    if (n != 2)
        return err_set(e, ERR_INVALID, "EDNS0 subnet rules take two prefix lengths");
    if (str_to_long(args[0], 0, 32, &bits4) < 0)
        return err_set(e, ERR_INVALID, "invalid IPv4 bit mask length %s", args[0]);
    if (str_to_long(args[1], 0, 128, &bits6) < 0)
        return err_set(e, ERR_INVALID, "invalid IPv6 bit mask length %s", args[1]);
    r->bits4 = (uint8_t)bits4;
    r->bits6 = (uint8_t)bits6;
    return 0;
}

int option_rule_read(struct setup *s, struct option_rule *r, const char **args, size_t n,
                     struct err *e)
{
    if (n < 2)
        return err_set(e, ERR_INVALID, "too few arguments for an EDNS0 rule");
    int ret = read_action(r, args[1], e);
    if (ret < 0)
        return ret;
    r->revert = r->action != OPTION_UNSET && n > 2 && strcmp(args[n - 1], "revert") == 0;
    size_t left = n - 2 - r->revert;
    if (strcasecmp(args[0], "local") == 0)
        return read_local(s, r, args + 2, left, e);
    if (strcasecmp(args[0], "subnet") == 0)
        return read_subnet(r, args + 2, left, e);
    if (strcasecmp(args[0], "nsid") != 0)
        return err_set(e, ERR_INVALID, "invalid rule type \"%s\"", args[0]);
    r->code = EDNS_NSID;
    return left == 0 ? 0 : err_set(e, ERR_INVALID, "EDNS0 NSID rules take no arguments");
}
