/* The `rewrite` plugin: rules that change a question on its way in, and the reply on its way out.
 *
 * A rule that applies may leave a `struct back` behind: what is to be done to the reply. They are
 * done in reverse order. The question, its EDNS and the names that the reply owes to them are the
 * client's again before plugins further out see the reply. Shared by the plugin's files only. */
#pragma once

#include "dns/plugin.h"
#include "dns/regex.h"

/* ---- names: rewrite_map.c ---- */

enum map_kind {
    MAP_EXACT,
    MAP_PREFIX,
    MAP_SUFFIX,
    MAP_SUBSTRING, /* all places */
    MAP_REGEX,     /* the whole becomes `to`, with {0}, {1} ... replaced by groups */
    MAP_BELOW,     /* the name itself and those below it */
};

/* A way to change names in text form. from and to are lower case with a final dot, but for
 * MAP_REGEX. */
struct name_map {
    enum map_kind kind;
    const char *from, *to;
    struct regex *re;
};

enum map_outcome { MAP_NONE, MAP_DONE, MAP_TOO_LONG };

enum map_outcome name_map_apply(const struct name_map *m, const char *text,
                                char out[NAME_TEXT_MAX]);
bool name_map_matches(const struct name_map *m, const char *text);
/* How many groups of the pattern `to` names: {0} counts, too. *ret_highest: the highest of them, -1
 * for none. */
unsigned map_groups_used(const char *to, int *ret_highest);

/* ---- EDNS options: rewrite_edns.c ---- */

enum option_action { OPTION_SET, OPTION_APPEND, OPTION_REPLACE, OPTION_UNSET };
enum option_value {
    VALUE_BYTES,
    VALUE_SUBNET,
    VALUE_QNAME,
    VALUE_QTYPE,
    VALUE_CLIENT_IP,
    VALUE_CLIENT_PORT,
    VALUE_PROTOCOL,
    VALUE_SERVER_IP,
    VALUE_SERVER_PORT,
    VALUE_META,
};

struct option_rule {
    uint16_t code;
    enum option_action action;
    enum option_value value;
    bool revert;
    const uint8_t *bytes;
    uint16_t n_bytes;
    const char *label;               /* VALUE_META */
    const struct metadata *metadata; /* NULL: none */
    uint8_t bits4, bits6;            /* VALUE_SUBNET */
};

/* Changes q->msg.edns, and the reply's OPT unless it is to be reverted. False: the rule did not
 * apply. */
bool option_rule_apply(struct query *q, const struct option_rule *r);
/* Reads "local|nsid|subnet ACTION ..." */
int option_rule_read(struct setup *s, struct option_rule *r, const char **args, size_t n,
                     struct err *e);
/* The options with those of `code` changed as `action` says, in the arena; NULL: nothing to change.
 */
const uint8_t *options_edit(struct arena *a, const struct edns *edns, uint16_t code,
                            enum option_action action, const uint8_t *data, uint16_t len,
                            uint16_t *ret_len);

/* ---- rules ---- */

enum rewrite_field {
    REWRITE_NAME,
    REWRITE_TYPE,
    REWRITE_CLASS,
    REWRITE_EDNS0,
    REWRITE_TTL,
    REWRITE_CNAME,
    REWRITE_RCODE,
};

struct answer_map {
    struct name_map map;
    bool owners, values;
};

struct rewrite_rule {
    enum rewrite_field field;
    bool go_on;          /* `continue`: later rules are tried, too */
    struct name_map map; /* name, cname; what ttl and rcode are for */
    bool automatic;      /* `answer auto` of name rules other than suffix */
    struct answer_map *answers;
    size_t n_answers;
    uint16_t from, to;         /* type, class, rcode */
    uint32_t ttl_min, ttl_max; /* ttl */
    struct option_rule option; /* edns0 */
};

struct rewrite {
    struct rewrite_rule *rules;
    size_t n;
};

/* rewrite_setup.c: "[continue|stop] FIELD ..." */
int rewrite_rule_read(struct setup *s, struct rewrite_rule *r, const char **args, size_t n,
                      struct err *e);

/* ---- the reply: rewrite_answer.c ---- */

/* Changes owners and names in rdata of all sections. */
void answer_map_apply(struct query *q, const struct answer_map *m);
/* The text of an RRset's owner. */
char *owner_text(const struct query *q, const struct rrset *rr, char out[NAME_TEXT_MAX]);
