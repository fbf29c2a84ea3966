/* A packet filter as data: the tables, chains, rules, sets and maps that a kernel has been told,
 * read from the very text that tells them. What walks packets through it (explain/flow.h) knows
 * nothing of where the rules come from: a reader for each form of text (explain/nft_text.h) fills
 * the same structures.
 *
 * Everything lies in the firewall's arena but the tables of elements; firewall_done() ends all. */
#pragma once

#include "base/arena.h"
#include "base/ht.h"
#include "base/ip.h"
#include "base/vec.h"

#define FIREWALL_KEY_MAX     64 /* bytes of an element's key */
#define FIREWALL_COLUMNS_MAX 6  /* of a key or a value */

enum hook { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING, HOOKS };

/* What a column holds, and so how many bytes it takes. */
enum column { COLUMN_IPV4, COLUMN_IPV6, COLUMN_PROTOCOL, COLUMN_PORT, COLUMN_NUMBER };

enum field {
    FIELD_SOURCE, /* address */
    FIELD_DESTINATION,
    FIELD_PROTOCOL, /* IPPROTO_* */
    FIELD_SOURCE_PORT,
    FIELD_PORT, /* of the destination */
    FIELD_MARK,
    FIELD_PRIORITY,
    FIELD_IN,          /* name of the interface that it came by */
    FIELD_STATE,       /* 1 << enum packet_state, and PACKET_TRANSLATED_BIT */
    FIELD_TRANSLATED,  /* 1: the connection has a new destination */
    FIELD_SOURCE_TYPE, /* 1: the source is an address of this node */
    FIELD_TARGET_TYPE, /* 1: the destination is */
    FIELD_RANDOM,      /* a number below the operand */
};

enum operation { OPERATION_NONE, OPERATION_AND, OPERATION_OR, OPERATION_XOR };

struct term {
    enum field field;
    enum operation operation;
    uint32_t operand; /* FIELD_RANDOM: the modulus */
};

/* Terms side by side, as they are or as the key of a map whose value counts. */
struct expression {
    struct term terms[FIREWALL_COLUMNS_MAX];
    unsigned n;
    const struct firewall_map *map;
};

enum verdict_kind {
    FIREWALL_CONTINUE, /* no verdict */
    FIREWALL_ACCEPT,   /* the end of this base chain */
    FIREWALL_DROP,
    FIREWALL_REJECT,
    FIREWALL_RETURN,
    FIREWALL_JUMP,
    FIREWALL_GOTO,
};

struct firewall_verdict {
    enum verdict_kind kind;
    struct firewall_chain *chain; /* of a jump or goto */
};

struct firewall_element {
    const char *text; /* as it was told: "10.96.0.10 . tcp . 80 : 1:2" */
    uint8_t value[FIREWALL_KEY_MAX];
    struct firewall_verdict verdict;
};

struct firewall_map {
    const char *name;
    bool is_set, has_verdicts;
    bool is_interval; /* the last column of the key is an address range */
    bool is_dynamic;  /* filled by packets: its content is not known here */
    enum column key[FIREWALL_COLUMNS_MAX], value[FIREWALL_COLUMNS_MAX];
    unsigned n_key, n_value;
    bool has_bits[129]; /* lengths of the prefixes in it */
    struct ht elements; /* key, and the prefix length as a byte -> struct firewall_element */
};

enum part_kind {
    PART_EQUAL,  /* the expression is one of `words` */
    PART_PREFIX, /* the address lies in `prefix` */
    PART_NAME,   /* the interface's name is, or begins with, `name` */
    PART_IN_SET, /* the expression is in `set` */
    PART_CHANCE, /* `chance` of all packets */
    PART_KEPT,   /* the client is kept where the chain of `verdict` translates to */
    /* what is done when all before it were true */
    PART_SET_MARK,
    PART_SET_PRIORITY,
    PART_LOOK_UP,   /* the verdict that the expression has in `set` */
    PART_TRANSLATE, /* to what the expression gives; without one to prefix.ip and words[0] */
    PART_MASQUERADE,
    PART_REMEMBER, /* the client, in the dynamic map `set` or a list */
    PART_VERDICT,
};

#define FIREWALL_WORDS_MAX 8

struct part {
    enum part_kind kind;
    struct expression expression;
    bool negated;
    uint32_t words[FIREWALL_WORDS_MAX];
    unsigned n_words;
    bool any_bit; /* PART_EQUAL: one bit of words[0] is enough */
    struct ip_prefix prefix;
    const char *name; /* PART_NAME */
    bool name_begins;
    const struct firewall_map *set;
    double chance;
    uint32_t seconds; /* PART_REMEMBER, PART_KEPT */
    struct firewall_verdict verdict;
};

struct rule {
    const char *text, *comment; /* comment: or NULL */
    struct part *parts;
    unsigned n_parts;
};

struct firewall_chain {
    const char *name;
    VEC(struct rule) rules;
    bool is_base, is_nat;
    enum hook hook;
    int priority;
    uint8_t family;
};

struct firewall {
    struct arena arena;
    struct ht chains;                  /* "ip name" -> struct firewall_chain */
    struct ht maps;                    /* the same -> struct firewall_map */
    VEC(struct firewall_chain *) base; /* by priority */
};

void firewall_init(struct firewall *f);
void firewall_done(struct firewall *f);

/* Found, or made empty: rules may speak of chains that come later. */
struct firewall_chain *firewall_chain(struct firewall *f, uint8_t family, const char *name);
struct firewall_map *firewall_map(struct firewall *f, uint8_t family, const char *name);
/* Its hook, priority and kind are set. */
void firewall_add_base(struct firewall *f, struct firewall_chain *c);
/* Everything of that family goes. */
void firewall_clear(struct firewall *f, uint8_t family);

size_t column_len(enum column c);
/* A number of such a column, most significant byte first. */
void column_put(enum column c, uint32_t n, uint8_t *out);
enum column field_column(enum field field, uint8_t family);
/* key: the columns one behind the other; bits: of the last one, where it is a range. */
void firewall_put(struct firewall *f, struct firewall_map *m, const uint8_t *key, size_t len,
                  unsigned bits, const struct firewall_element *e);
void firewall_del(struct firewall *f, struct firewall_map *m, const uint8_t *key, size_t len,
                  unsigned bits);
const struct firewall_element *firewall_find(const struct firewall_map *m, const uint8_t *key,
                                             size_t len);
