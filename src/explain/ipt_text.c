#include "explain/ipt_text.h"

#include "base/str.h"
#include "explain/flow.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX      64 /* of a line */
#define LINE_MAX_BYTES 2048
#define PARTS_MAX      16 /* of a rule */
#define NAME_SIZE      128

struct reader {
    struct firewall *f;
    struct err *e;
    uint8_t family;
    int line;
    char table[16];
    char text[LINE_MAX_BYTES]; /* the line, cut into words */
    char *words[WORDS_MAX + 1];
    unsigned n, at; /* words, and the next one */
};

/* A rule on its way. */
struct draft {
    struct part parts[PARTS_MAX];
    unsigned n;
    const char *comment;
    bool negated; /* "!" was the last word */
};

/* ---- words */

static int unknown(struct reader *r, const char *wanted)
{
    return err_set(r->e, ERR_UNSUPPORTED, "rules, line %d: \"%s\" where %s is wanted", r->line,
                   r->at < r->n ? r->words[r->at] : "end of line", wanted);
}

/* Cuts the line at blanks; what is in quotes is one word. */
static int split(struct reader *r, const char *line, size_t len)
{
    char *p = r->text;
    r->n = r->at = 0;
    if (len >= sizeof r->text)
        return err_set(r->e, ERR_LIMIT, "rules, line %d: longer than %zu bytes", r->line,
                       sizeof r->text - 1);
    memcpy(r->text, line, len);
    r->text[len] = '\0';
    while (*(p += strspn(p, " "))) {
        bool quoted = *p == '"';
        if (r->n == WORDS_MAX)
            return err_set(r->e, ERR_LIMIT, "rules, line %d: more than %d words", r->line,
                           WORDS_MAX);
        p += quoted;
        r->words[r->n++] = p;
        p += strcspn(p, quoted ? "\"" : " ");
        if (*p)
            *p++ = '\0';
    }
    return 0;
}

static bool take(struct reader *r, const char *word)
{
    bool there = r->at < r->n && strcmp(r->words[r->at], word) == 0;
    r->at += there;
    return there;
}

/* The word behind an option; NULL at the end of the line. */
static const char *value(struct reader *r)
{
    return r->at < r->n ? r->words[r->at++] : NULL;
}

static struct firewall_chain *chain_of(struct reader *r, const char *name)
{
    char full[NAME_SIZE];
    (void)snprintf(full, sizeof full, "%s %s", r->table, name);
    return firewall_chain(r->f, r->family, full);
}

/* ---- matches */

static struct part *add(struct draft *d, enum part_kind kind)
{
    struct part *p = &d->parts[d->n++];
    *p = (struct part){ .kind = kind, .negated = d->negated };
    d->negated = false;
    return p;
}

static struct part *add_equal(struct draft *d, enum field field, uint32_t word)
{
    struct part *p = add(d, PART_EQUAL);
    p->expression.n = 1;
    p->expression.terms[0].field = field;
    p->words[0] = word;
    p->n_words = 1;
    return p;
}

static int read_address(struct reader *r, struct draft *d, enum field field)
{
    const char *text = value(r);
    struct part *p = add(d, PART_PREFIX);
    p->expression.n = 1;
    p->expression.terms[0].field = field;
    if (!text || (strchr(text, '/') ? ip_prefix_parse(text, &p->prefix) < 0
                                    : ip_parse(text, &p->prefix.ip) < 0))
        return unknown(r, "an address");
    if (!strchr(text, '/'))
        p->prefix.bits = p->prefix.ip.family == 4 ? 32 : 128;
    return 0;
}

static int read_protocol(struct reader *r, struct draft *d)
{
    static const struct {
        const char *name;
        uint32_t number;
    } known[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP } };
    const char *text = value(r);
    for (size_t i = 0; text && i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].name, text) == 0) {
            (void)add_equal(d, FIELD_PROTOCOL, known[i].number);
            return 0;
        }
    }
    return unknown(r, "a protocol");
}

static int read_port(struct reader *r, struct draft *d)
{
    long port;
    const char *text = value(r);
    if (!text || str_to_long(text, 0, 65535, &port) < 0)
        return unknown(r, "a port");
    (void)add_equal(d, FIELD_PORT, (uint32_t)port);
    return 0;
}

static int read_states(struct reader *r, struct draft *d)
{
    static const char *const names[] = { "NEW", "ESTABLISHED", "RELATED", "INVALID" };
    const char *text = value(r);
    struct part *p = add_equal(d, FIELD_STATE, 0);
    p->any_bit = true;
    for (const char *at = text; at && *at; at += strspn(at, ",")) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < ARRAY_SIZE(names) &&
               (strlen(names[i]) != len || strncmp(names[i], at, len) != 0))
            i++;
        if (i == ARRAY_SIZE(names) && strncmp(at, "DNAT", len) != 0)
            return unknown(r, "a state");
        p->words[0] |= i < ARRAY_SIZE(names) ? 1u << i : PACKET_TRANSLATED_BIT;
        at += len;
    }
    return p->words[0] ? 0 : unknown(r, "a state");
}

/* "0x4000/0x4000": the value, and the bits that are looked at. */
static int read_mark(struct reader *r, struct draft *d)
{
    const char *text = value(r);
    char *end;
    if (!text)
        return unknown(r, "a mark");
    struct part *p = add_equal(d, FIELD_MARK, (uint32_t)strtoul(text, &end, 0));
    p->expression.terms[0].operation = OPERATION_AND;
    p->expression.terms[0].operand = *end == '/' ? (uint32_t)strtoul(end + 1, &end, 0) : UINT32_MAX;
    return *end ? unknown(r, "a mark") : 0;
}

static int read_interface(struct reader *r, struct draft *d)
{
    const char *text = value(r);
    struct part *p = add(d, PART_NAME);
    if (!text)
        return unknown(r, "an interface");
    size_t len = strlen(text);
    p->name_begins = len > 0 && text[len - 1] == '+';
    p->name = arena_strndup(&r->f->arena, text, len - p->name_begins);
    return 0;
}

static int read_type(struct reader *r, struct draft *d, enum field field)
{
    if (!take(r, "LOCAL"))
        return unknown(r, "LOCAL");
    (void)add_equal(d, field, 1);
    return 0;
}

static int read_chance(struct reader *r, struct draft *d)
{
    const char *text = value(r);
    struct part *p = add(d, PART_CHANCE);
    p->chance = text ? strtod(text, NULL) : 0;
    return text ? 0 : unknown(r, "a probability");
}

/* "--name LIST --rcheck --seconds N --reap" or "--name LIST --set": the list bears the name of the
 * chain that leads to the endpoint. */
static int read_recent(struct reader *r, struct draft *d)
{
    const char *name = value(r);
    if (!name)
        return unknown(r, "the name of a list");
    if (take(r, "--set")) {
        (void)add(d, PART_REMEMBER);
        return 0;
    }
    struct part *p = add(d, PART_KEPT);
    p->verdict.chain = chain_of(r, name);
    if (!take(r, "--rcheck") || !take(r, "--seconds"))
        return unknown(r, "--rcheck --seconds");
    const char *seconds = value(r);
    p->seconds = seconds ? (uint32_t)strtoul(seconds, NULL, 10) : 0;
    return seconds && take(r, "--reap") ? 0 : unknown(r, "seconds and --reap");
}

/* ---- targets */

static int read_marking(struct reader *r, struct draft *d)
{
    bool or = take(r, "--or-mark");
    if (! or &&!take(r, "--xor-mark"))
        return unknown(r, "--or-mark or --xor-mark");
    const char *text = value(r);
    struct part *p = add(d, PART_SET_MARK);
    p->expression.n = 1;
    p->expression.terms[0] =
        (struct term){ .field = FIELD_MARK, .operation = or ? OPERATION_OR : OPERATION_XOR };
    p->expression.terms[0].operand = text ? (uint32_t)strtoul(text, NULL, 0) : 0;
    return text ? 0 : unknown(r, "a mark");
}

static int read_destination(struct reader *r, struct draft *d)
{
    uint16_t port;
    struct part *p = add(d, PART_TRANSLATE);
    const char *text = take(r, "--to-destination") ? value(r) : NULL;
    if (!text || ip_port_parse(text, 0, &p->prefix.ip, &port) < 0)
        return unknown(r, "--to-destination IP:PORT");
    p->words[0] = port;
    return 0;
}

static int read_target(struct reader *r, struct draft *d)
{
    static const struct {
        const char *word;
        enum verdict_kind kind;
    } known[] = { { "ACCEPT", FIREWALL_ACCEPT },
                  { "DROP", FIREWALL_DROP },
                  { "REJECT", FIREWALL_REJECT },
                  { "RETURN", FIREWALL_RETURN } };
    if (take(r, "MARK"))
        return read_marking(r, d);
    if (take(r, "DNAT"))
        return read_destination(r, d);
    if (take(r, "MASQUERADE")) {
        (void)add(d, PART_MASQUERADE);
        (void)take(r, "--random-fully");
        return 0;
    }
    struct part *p = add(d, PART_VERDICT);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (take(r, known[i].word)) {
            p->verdict.kind = known[i].kind;
            return 0;
        }
    }
    const char *name = value(r);
    if (!name)
        return unknown(r, "a target");
    p->verdict = (struct firewall_verdict){ FIREWALL_JUMP, chain_of(r, name) };
    return 0;
}

/* ---- rules */

/* Matches that only bring further words; what they mean stands behind these. */
static int read_match(struct reader *r)
{
    static const char *const known[] = { "comment", "tcp",    "udp",       "sctp",     "conntrack",
                                         "mark",    "recent", "statistic", "addrtype", "nfacct" };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (take(r, known[i]))
            return 0;
    return unknown(r, "a match");
}

static int read_option(struct reader *r, struct draft *d)
{
    if (take(r, "-m"))
        return read_match(r);
    if (take(r, "-p"))
        return read_protocol(r, d);
    if (take(r, "-s"))
        return read_address(r, d, FIELD_SOURCE);
    if (take(r, "-d"))
        return read_address(r, d, FIELD_DESTINATION);
    if (take(r, "-i"))
        return read_interface(r, d);
    if (take(r, "--dport"))
        return read_port(r, d);
    if (take(r, "--ctstate"))
        return read_states(r, d);
    if (take(r, "--mark"))
        return read_mark(r, d);
    if (take(r, "--src-type"))
        return read_type(r, d, FIELD_SOURCE_TYPE);
    if (take(r, "--dst-type"))
        return read_type(r, d, FIELD_TARGET_TYPE);
    if (take(r, "--probability"))
        return read_chance(r, d);
    if (take(r, "--name"))
        return read_recent(r, d);
    return take(r, "-j") ? read_target(r, d) : unknown(r, "a match or -j");
}

/* Words that change nothing for a packet; 1: it was one. */
static int read_silent(struct reader *r, struct draft *d)
{
    if (take(r, "!")) {
        d->negated = true;
        return 1;
    }
    if (take(r, "--comment")) {
        const char *text = value(r);
        d->comment = text ? arena_strdup(&r->f->arena, text) : NULL;
        return text ? 1 : unknown(r, "a comment");
    }
    if (take(r, "--nfacct-name"))
        return value(r) ? 1 : unknown(r, "a name");
    if (!take(r, "--mode"))
        return 0;
    return take(r, "random") ? 1 : unknown(r, "random");
}

static int read_rule(struct reader *r, struct firewall_chain *c, const char *text, bool first)
{
    struct draft d = { .n = 0 };
    while (r->at < r->n) {
        if (d.n == PARTS_MAX)
            return unknown(r, "a shorter rule");
        int rc = read_silent(r, &d);
        if (rc == 0)
            rc = read_option(r, &d);
        if (rc < 0)
            return rc;
    }
    struct rule rule = { .text = text, .comment = d.comment, .n_parts = d.n };
    rule.parts = arena_memdup(&r->f->arena, d.parts, d.n * sizeof *d.parts);
    vec_push(&c->rules, rule);
    for (size_t i = c->rules.n - 1; first && i > 0; i--)
        c->rules.items[i] = c->rules.items[i - 1];
    if (first)
        c->rules.items[0] = rule;
    return 0;
}

/* ---- tables */

/* The built-in chains of the tables that are known. */
static int begin_table(struct reader *r, const char *name)
{
    static const struct {
        const char *table, *chain;
        enum hook hook;
        int priority;
    } base[] = {
        { "nat", "PREROUTING", HOOK_PREROUTING, -100 },  { "nat", "OUTPUT", HOOK_OUTPUT, -100 },
        { "nat", "POSTROUTING", HOOK_POSTROUTING, 100 }, { "filter", "INPUT", HOOK_INPUT, 0 },
        { "filter", "FORWARD", HOOK_FORWARD, 0 },        { "filter", "OUTPUT", HOOK_OUTPUT, 0 }
    };
    bool found = strcmp(name, "mangle") == 0; /* has nothing for us */
    (void)snprintf(r->table, sizeof r->table, "%s", name);
    for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
        if (strcmp(base[i].table, name) != 0)
            continue;
        struct firewall_chain *c = chain_of(r, base[i].chain);
        found = true;
        if (c->is_base)
            continue;
        c->hook = base[i].hook;
        c->priority = base[i].priority;
        c->is_nat = strcmp(name, "nat") == 0;
        firewall_add_base(r->f, c);
    }
    return found ? 0 : err_set(r->e, ERR_UNSUPPORTED, "rules, line %d: table %s", r->line, name);
}

static bool is_base(const struct reader *r, const char *name)
{
    char full[NAME_SIZE];
    (void)snprintf(full, sizeof full, "%s %s", r->table, name);
    return firewall_chain(r->f, r->family, full)->is_base;
}

/* Blanks are single in texts that are kept. */
static int read_line(struct reader *r, const char *line, size_t len)
{
    const char *text = arena_strndup(&r->f->arena, line, len);
    int rc = split(r, line, len);
    const char *word = rc == 0 ? value(r) : NULL;
    if (!word || word[0] == '#' || strcmp(word, "COMMIT") == 0)
        return rc;
    if (word[0] == '*')
        return begin_table(r, word + 1);
    if (!*r->table)
        return unknown(r, "*TABLE");
    if (word[0] == ':') {
        if (!is_base(r, word + 1))
            vec_clear(&chain_of(r, word + 1)->rules);
        return 0;
    }
    const char *name = value(r);
    if (!name || word[0] != '-' || !word[1] || word[2])
        return unknown(r, "a command and a chain");
    if (word[1] == 'A' || word[1] == 'I')
        return read_rule(r, chain_of(r, name), text, word[1] == 'I');
    if (word[1] != 'X' && word[1] != 'F')
        return unknown(r, "-A, -I, -X or -F");
    vec_clear(&chain_of(r, name)->rules);
    return 0;
}

int ipt_text_read(struct firewall *f, uint8_t family, const char *text, struct err *e)
{
    struct reader r = { .f = f, .e = e, .family = family };
    int rc = 0;
    while (*text && rc == 0) {
        size_t len = strcspn(text, "\n");
        r.line++;
        rc = read_line(&r, text, len);
        text += len + (text[len] == '\n');
    }
    return rc;
}
