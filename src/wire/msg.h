/* DNS messages: reading (RFC 1035 section 4, EDNS RFC 6891) and writing.
 *
 * Reading is in two steps. msg_parse_query() is the fast way of a server: header, one question and
 * an OPT record, nothing else kept. msg_parse() reads a whole message (an upstream's reply, a
 * client's view) into sections of RRsets in an arena.
 *
 * Writing: a `struct reply` holds the header, the question as it came and three sections of RRsets;
 * msg_encode() writes it within a size limit, compressing names, and truncates as servers of
 * cluster DNS do: answer, authority, additional in order, record by record, stopping at the first
 * that does not fit and then setting TC, whichever section it was in; the OPT record is always
 * kept. */
#pragma once

#include "base/arena.h"
#include "base/cursor.h"
#include "base/str.h"
#include "wire/name.h"
#include "wire/rr.h"

#define MSG_HEADER  12
#define MSG_MAX     65535
#define MSG_UDP_MIN 512 /* what every client takes without EDNS */

/* clang-format off */
enum { /* bits of the second 16-bit word */
    FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100,
    FLAG_RA = 0x0080, FLAG_Z = 0x0040, FLAG_AD = 0x0020, FLAG_CD = 0x0010,
};
/* clang-format on */

static inline unsigned flags_opcode(uint16_t flags)
{
    return flags >> 11 & 15;
}

/* clang-format off */
enum edns_option {
    EDNS_NSID = 3, EDNS_SUBNET = 8, EDNS_EXPIRE = 9, EDNS_COOKIE = 10, EDNS_KEEPALIVE = 11,
    EDNS_PADDING = 12, EDNS_EDE = 15,
};
/* clang-format on */

struct edns {
    bool present, do_bit;
    uint8_t version;
    uint16_t udp_size;      /* as advertised, not raised to 512 */
    const uint8_t *options; /* {code, length, data}..., in the message or an arena; checked */
    uint16_t options_len;
};

/* The option's place in a set; 63: all codes from there on. */
static inline uint64_t edns_bit(unsigned code)
{
    return 1ULL << MIN(code, 63u);
}

/* Is there such an option? */
bool edns_has(const struct edns *edns, uint16_t code);
/* Appends the options to w but for those of the set; w has room for options_len bytes. */
void edns_copy(const struct edns *edns, uint64_t without, struct wbuf *w);

struct question {
    struct name name;             /* as typed */
    uint8_t lower[NAME_MAX_WIRE]; /* the same wire, letters lowered: for look-ups */
    uint16_t type, class;
};

/* Outcome of reading a query; the order is that of the checks. */
enum query_form {
    QUERY_OK,
    QUERY_DROP,    /* shorter than a header, or a response: silence */
    QUERY_NOTIMP,  /* an opcode that is neither QUERY nor NOTIFY: header only */
    QUERY_FORMERR, /* counts or bytes that break the grammar: header only */
    QUERY_EMPTY,   /* QDCOUNT 1 and nothing behind the header: SERVFAIL, header only */
};

struct query_msg {
    uint16_t id, flags;
    struct question q;
    struct edns edns;   /* options point into the message */
    const uint8_t *raw; /* the message */
    size_t raw_len;
    size_t size;            /* of the message; of a look-up, what it would have if it were sent */
    uint16_t authority_off; /* where an authority record starts (IXFR's SOA), or 0 */
};

/* Sets id and flags whenever there are 12 bytes; all else is only set with QUERY_OK. With more than
 * one OPT the last is used. Bytes behind the last record are ignored. */
enum query_form msg_parse_query(const uint8_t *p, size_t len, struct query_msg *ret_q);

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTION_COUNT };

struct rrset_list {
    struct rrset *items;
    uint16_t n, capacity;
};

/* A whole message that was read. All memory is in the arena given to msg_parse(). Neighbouring
 * records of one owner, type, class and TTL are put into one RRset; order is kept. The OPT record
 * is taken out of the additional section into `edns`. */
struct msg {
    uint16_t id, flags, rcode; /* rcode with EDNS's upper bits */
    bool has_question;
    struct question q;
    struct edns edns;
    struct rrset_list section[SECTION_COUNT];
};

/* Returns 0 or ERR_PARSE. */
int msg_parse(const uint8_t *p, size_t len, struct arena *a, struct msg *ret_msg)
    __attribute__((warn_unused_result));

/* What is to be sent. The question's name is written as typed at offset 12, so an RRset whose owner
 * is NULL costs two bytes of owner. */
struct reply {
    uint16_t id, flags;       /* flags without rcode and TC */
    uint16_t rcode;           /* upper bits go to the OPT; without one, SERVFAIL stands for > 15 */
    const struct question *q; /* NULL: header only (and the OPT), no sections */
    struct edns edns;         /* present: an OPT is written; options copied as they are */
    bool tc;                  /* set TC whatever fits (an upstream's TC) */
    struct rrset_list section[SECTION_COUNT];
};

/* Writes at most limit bytes (MSG_HEADER + question + OPT always fit in 512; only when its options
 * do not, they are left out) to out[0..limit). Returns the length. RRsets' bytes are only read. */
size_t msg_encode(const struct reply *r, uint8_t *out, size_t limit);

/* A query message: RD set, one question, OPT with udp_size if that is > 0. Returns the length;
 * out must have NAME_MAX_WIRE + 32 bytes. */
size_t msg_encode_query(uint8_t *out, uint16_t id, const uint8_t *qname, uint16_t qtype,
                        uint16_t udp_size);

/* Appends an RRset; the list grows in the arena. It ends at 65535, far more than a message holds.
 */
void rrset_list_add(struct rrset_list *l, struct arena *a, struct rrset rr);

/* All of a message in dig's text form, for `lookup` and tests. */
void msg_to_text(const struct msg *m, struct strbuf *out);
