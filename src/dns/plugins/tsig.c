/* `tsig [ZONES...] { secret NAME KEY ; secrets FILE ; require TYPE... ; require_opcode OPCODE...
 * }`: checks the signatures of queries and signs their replies (RFC 8945). */
#include "dns/plugins/tsig.h"

#include "dns/plugin.h"

#include <openssl/crypto.h>
#include <strings.h>
#include <time.h>

#define TYPES_MAX 64 /* that can be required by name */

struct tsig {
    struct zone_set *zones;
    struct tsig_keys keys;
    uint16_t types[TYPES_MAX];
    unsigned n_types;
    bool all_types;
    uint16_t opcodes; /* one bit each */
};

/* How a reply is to be signed; in the query's arena. */
struct signing {
    const struct tsig_algorithm *algorithm;
    const struct tsig_key *key; /* NULL: the record is sent without a MAC */
    struct tsig_record record;
    bool client_time; /* the record's time stands */
    bool later;       /* a message of this reply has been signed before */
    uint8_t mac[TSIG_MAC_MAX], other[6];
};

/* ---- signing ---- */

static size_t sign(struct query *q, void *conf, uint8_t *out, size_t len)
{
    struct signing *s = conf;
    struct tsig_record *r = &s->record;
    if (!s->client_time)
        r->time = (uint64_t)time(NULL);
    r->original_id = q->msg.id;
    if (!s->key)
        return tsig_append(out, len, r);
    struct tsig_input in = { .before = s->mac,
                             .before_len = r->mac_len,
                             .msg = out,
                             .msg_len = len,
                             .record = r,
                             .timers_only = s->later };
    if (!tsig_mac(s->algorithm, s->key, &in, &q->arena, s->mac))
        return len; /* an unsigned reply is one that the client does not believe */
    r->mac = s->mac;
    r->mac_len = (uint16_t)tsig_mac_len(s->algorithm);
    s->later = true;
    return tsig_append(out, len, r);
}

static struct signing *sign_reply(struct query *q, const struct tsig_record *r)
{
    struct signing *s = arena_zalloc(&q->arena, sizeof *s);
    s->record = *r;
    s->record.other_len = 0;
    s->record.mac_len = 0;
    s->record.fudge = TSIG_FUDGE;
    s->record.error = 0;
    query_sign(q, sign, s, tsig_record_room(&s->record) + sizeof s->other);
    return s;
}

/* ---- checking ---- */

static bool mac_is_right(struct query *q, const struct tsig_algorithm *a,
                         const struct tsig_key *key, const struct tsig_record *r)
{
    uint8_t mac[TSIG_MAC_MAX];
    uint8_t *msg = arena_memdup(&q->arena, q->msg.raw, r->offset);
    put_u16(msg, r->original_id);
    put_u16(msg + 10, (uint16_t)(get_u16(msg + 10) - 1));
    struct tsig_input in = { .msg = msg, .msg_len = r->offset, .record = r };
    return r->mac_len == tsig_mac_len(a) && tsig_mac(a, key, &in, &q->arena, mac) &&
           CRYPTO_memcmp(mac, r->mac, r->mac_len) == 0;
}

/* BADTIME tells the client our time, signed, and repeats the client's. */
static void say_our_time(struct signing *s, uint64_t now, const struct tsig_record *r)
{
    put_u16(s->other, (uint16_t)(now >> 32));
    put_u32(s->other + 2, (uint32_t)now);
    s->record.other = s->other;
    s->record.other_len = sizeof s->other;
    s->record.fudge = r->fudge;
    s->client_time = true;
}

/* Returns 0 or the TSIG error; the reply is going to be signed as is right for it. */
static uint16_t check(struct query *q, const struct tsig *t, const struct tsig_record *r)
{
    uint8_t lower[NAME_MAX_WIRE];
    name_lower(lower, r->key.wire, r->key.len);
    const struct tsig_key *key = ht_get(&t->keys.by_name, lower, r->key.len);
    const struct tsig_algorithm *a = tsig_algorithm_find(r->algorithm.wire);
    struct signing *s = sign_reply(q, r);
    if (!key || !a)
        return s->record.error = RCODE_BADKEY;
    if (!mac_is_right(q, a, key, r))
        return s->record.error = RCODE_BADVERS; /* the number means BADSIG here */
    s->key = key;
    s->algorithm = a;
    memcpy(s->mac, r->mac, r->mac_len);
    s->record.mac_len = r->mac_len;
    uint64_t now = (uint64_t)time(NULL);
    if ((now > r->time ? now - r->time : r->time - now) <= r->fudge)
        return 0;
    say_our_time(s, now, r);
    return s->record.error = RCODE_BADTIME;
}

/* The plugins behind, and upstreams, see the query without its signature. */
static void strip(struct query *q, const struct tsig_record *r)
{
    q->msg.raw_len = r->offset;
    put_u16(q->packet + 10, (uint16_t)(get_u16(q->packet + 10) - 1));
}

static bool is_required(const struct tsig *t, const struct query *q)
{
    if (t->all_types || t->opcodes >> flags_opcode(q->msg.flags) & 1)
        return true;
    for (unsigned i = 0; i < t->n_types; i++)
        if (t->types[i] == q->msg.q.type)
            return true;
    return false;
}

static enum step tsig_in(struct query *q, void *conf)
{
    const struct tsig *t = conf;
    struct tsig_record record;
    if (!q->msg.raw || zone_set_find(t->zones, &q->msg.q) < 0)
        return STEP_NEXT; /* without bytes it is a look-up of our own */
    int found = tsig_find(q->msg.raw, q->msg.raw_len, &record);
    if (found < 0)
        return query_fail(q, RCODE_FORMERR, NULL);
    if (!found)
        return is_required(t, q) ? query_fail(q, RCODE_REFUSED, NULL) : STEP_NEXT;
    if (check(q, t, &record) != 0)
        return query_fail(q, RCODE_NOTAUTH, NULL);
    strip(q, &record);
    return STEP_NEXT;
}

/* ---- set-up ---- */

static int read_file(struct tsig *t, const char *path, struct err *e)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, ERR_NOT_FOUND, "secrets %s: cannot be opened", path);
    cleanup_free char *text = xmalloc(TSIG_FILE_MAX + 1);
    size_t len = fread(text, 1, TSIG_FILE_MAX + 1, f);
    if (len > TSIG_FILE_MAX)
        return err_set(e, ERR_LIMIT, "secrets %s: more than %d bytes", path, TSIG_FILE_MAX);
    int ret = tsig_keys_parse(&t->keys, text, len, path, e);
    explicit_bzero(text, len);
    return ret;
}

static int read_secret(struct tsig *t, struct dispenser *d, struct err *e)
{
    struct err why;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    const char *name = dispenser_val(d);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (tsig_keys_add(&t->keys, name, dispenser_val(d), &why) < 0)
        return dispenser_err(d, e, "%s", why.text);
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int read_secrets(struct tsig *t, struct setup *s, struct dispenser *d, struct err *e)
{
    struct err why;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (read_file(t, setup_path(s, dispenser_val(d)), &why) < 0)
        return dispenser_err(d, e, "%s", why.text);
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

/* "all", "none" or a list; "none" takes back what stood before. */
static int read_types(struct tsig *t, struct dispenser *d, struct err *e)
{
    unsigned words = 0;
    for (; dispenser_next_arg(d); words++) {
        bool none = strcmp(dispenser_val(d), "none") == 0;
        if (none || strcmp(dispenser_val(d), "all") == 0) {
            t->all_types = !none;
            t->n_types = 0;
            continue;
        }
        if (t->n_types == TYPES_MAX)
            return dispenser_err(d, e, "more than %d types", TYPES_MAX);
        if (rr_type_from_text(dispenser_val(d), &t->types[t->n_types++]) < 0)
            return dispenser_err(d, e, "unknown query type '%s'", dispenser_val(d));
    }
    return words ? 0 : dispenser_arg_err(d, e);
}

static int read_opcodes(struct tsig *t, struct dispenser *d, struct err *e)
{
    static const char *const names[] = { [OPCODE_QUERY] = "QUERY",   [OPCODE_IQUERY] = "IQUERY",
                                         [OPCODE_STATUS] = "STATUS", [3] = "",
                                         [OPCODE_NOTIFY] = "NOTIFY", [OPCODE_UPDATE] = "UPDATE" };
    unsigned words = 0;
    for (; dispenser_next_arg(d); words++) {
        const char *word = dispenser_val(d);
        size_t i = 0;
        while (i < ARRAY_SIZE(names) && strcasecmp(names[i], word) != 0)
            i++;
        if (strcmp(word, "all") == 0 || strcmp(word, "none") == 0)
            t->opcodes = *word == 'a' ? UINT16_MAX : 0;
        else if (i < ARRAY_SIZE(names))
            t->opcodes |= (uint16_t)(1u << i);
        else
            return dispenser_err(d, e, "unknown opcode '%s'", word);
    }
    return words ? 0 : dispenser_arg_err(d, e);
}

static int read_option(struct tsig *t, struct setup *s, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "secret") == 0)
        return read_secret(t, d, e);
    if (strcmp(dispenser_val(d), "secrets") == 0)
        return read_secrets(t, s, d, e);
    if (strcmp(dispenser_val(d), "require") == 0)
        return read_types(t, d, e);
    if (strcmp(dispenser_val(d), "require_opcode") == 0)
        return read_opcodes(t, d, e);
    return dispenser_unknown(d, e);
}

static void tsig_stop(void *conf)
{
    struct tsig *t = conf;
    tsig_keys_done(&t->keys);
}

static int tsig_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct tsig *t = arena_zalloc(setup_arena(s), sizeof *t);
    struct zone_list zones = { 0 };
    struct err why;
    int ret = 0;
    setup_stop(s, tsig_stop, t);
    dispenser_next_directive(d);
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), setup_arena(s), &zones, &why) < 0)
            return dispenser_err(d, e, "%s", why.text);
    if (!zones.n)
        zones = setup_zones(s);
    t->zones = zone_set_new(setup_arena(s), &zones);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(t, s, d, e);
    if (ret == 0)
        setup_in(s, tsig_in, t);
    return ret;
}

const struct plugin plugin_tsig = { .name = "tsig", .setup = tsig_setup };
