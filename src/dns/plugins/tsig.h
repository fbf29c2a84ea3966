/* Transaction signatures (RFC 8945): keys, the TSIG record of a message and its MAC. Private to the
 * plugin. */
#pragma once

#include "base/err.h"
#include "base/ht.h"
#include "wire/msg.h"

#define TSIG_MAC_MAX  64
#define TSIG_KEY_MAX  1024      /* bytes of a secret */
#define TSIG_FILE_MAX (1 << 20) /* bytes of a file of keys */
#define TSIG_FUDGE    300       /* seconds that clocks may differ by, in what we sign */

struct tsig_key {
    uint8_t secret[TSIG_KEY_MAX];
    size_t len;
};

/* Keys by lower-case wire name; values are struct tsig_key, malloc'ed. */
struct tsig_keys {
    struct ht by_name;
};

void tsig_keys_done(struct tsig_keys *k);
/* secret: base64. */
int tsig_keys_add(struct tsig_keys *k, const char *name, const char *secret, struct err *e);
/* Statements `key "NAME" { [algorithm NAME;] secret "BASE64"; };` as other servers have them. An
 * algorithm is checked for being one that is known; a key serves all of them. */
int tsig_keys_parse(struct tsig_keys *k, const char *text, size_t len, const char *file,
                    struct err *e);

struct tsig_algorithm;

/* The TSIG record of a query; pointers into the message. */
struct tsig_record {
    size_t offset;   /* where the record begins */
    struct name key; /* as typed */
    struct name algorithm;
    uint64_t time; /* Unix seconds */
    uint16_t fudge, original_id, error;
    const uint8_t *mac, *other;
    uint16_t mac_len, other_len;
};

/* Finds the record in a query that msg_parse_query() has taken. Returns 1, 0 when there is none, or
 * ERR_PARSE when there are two, or records behind it. */
int tsig_find(const uint8_t *msg, size_t len, struct tsig_record *ret);

/* NULL: not one of hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512. */
const struct tsig_algorithm *tsig_algorithm_find(const uint8_t *wire);
size_t tsig_mac_len(const struct tsig_algorithm *a);

/* What a MAC is taken of. */
struct tsig_input {
    const uint8_t *before; /* the MAC before this one: the request's in a reply */
    size_t before_len;     /* 0: none */
    const uint8_t *msg;    /* without the TSIG record and not counting it, with the original id */
    size_t msg_len;
    const struct tsig_record *record; /* its names, time, fudge, error and other data */
    bool timers_only;                 /* in the second and later messages of a reply */
};

/* Memory for the text that is digested comes from the arena. False: the library failed. */
bool tsig_mac(const struct tsig_algorithm *a, const struct tsig_key *key,
              const struct tsig_input *in, struct arena *arena, uint8_t ret_mac[TSIG_MAC_MAX]);

/* The record's bytes at most. */
size_t tsig_record_room(const struct tsig_record *r);
/* Appends the record to a message and counts it; returns the message's new length. */
size_t tsig_append(uint8_t *msg, size_t len, const struct tsig_record *r);
