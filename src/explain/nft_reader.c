#include "explain/nft_reader.h"

#include "base/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static void take_string(struct nft_reader *r)
{
    size_t len = strcspn(r->p + 1, "\"\n");
    size_t kept = MIN(len, sizeof r->word - 1);
    memcpy(r->word, r->p + 1, kept);
    r->word[kept] = '\0';
    r->p += 1 + len + (r->p[1 + len] == '"');
    r->kind = TOKEN_STRING;
}

void nft_next(struct nft_reader *r)
{
    r->p += strspn(r->p, " \t");
    r->start = r->p;
    if (r->kind == TOKEN_LINE_END)
        r->line++;
    if (*r->p == '"') {
        take_string(r);
        return;
    }
    size_t len = strcspn(r->p, " \t\n;,{}\"");
    r->kind = len                             ? TOKEN_WORD
              : *r->p == '\0'                 ? TOKEN_END
              : *r->p == '\n' || *r->p == ';' ? TOKEN_LINE_END
                                              : TOKEN_OTHER;
    if (r->kind == TOKEN_LINE_END && *r->p == ';')
        r->line--; /* not a line of its own */
    len = len || r->kind == TOKEN_END ? len : 1;
    size_t kept = MIN(len, sizeof r->word - 1);
    memcpy(r->word, r->p, kept);
    r->word[kept] = '\0';
    r->p += len;
}

bool nft_is_at(const struct nft_reader *r, const char *word)
{
    return (r->kind == TOKEN_WORD || r->kind == TOKEN_OTHER) && strcmp(r->word, word) == 0;
}

bool nft_take(struct nft_reader *r, const char *word)
{
    bool there = nft_is_at(r, word);
    if (there)
        nft_next(r);
    return there;
}

int nft_unknown(struct nft_reader *r, const char *wanted)
{
    return err_set(r->e, ERR_UNSUPPORTED, "rules, line %d: \"%s\" where %s is wanted", r->line,
                   r->kind == TOKEN_LINE_END || r->kind == TOKEN_END ? "end of line" : r->word,
                   wanted);
}

int nft_expect(struct nft_reader *r, const char *word)
{
    return nft_take(r, word) ? 0 : nft_unknown(r, word);
}

bool nft_at_line_end(const struct nft_reader *r)
{
    return r->kind == TOKEN_LINE_END || r->kind == TOKEN_END;
}

void nft_skip_lines(struct nft_reader *r)
{
    while (r->kind == TOKEN_LINE_END)
        nft_next(r);
}

int nft_take_name(struct nft_reader *r, char out[NFT_WORD_MAX])
{
    if (r->kind != TOKEN_WORD)
        return nft_unknown(r, "a name");
    memcpy(out, r->word, NFT_WORD_MAX);
    nft_next(r);
    return 0;
}

/* ---- values */

bool nft_number(const char *text, uint32_t *ret)
{
    const char *colon = strchr(text, ':');
    char *end;
    unsigned long high = 0, low;
    if (colon) { /* a class: "1f:2", in hexadecimal */
        high = strtoul(text, &end, 16);
        if (end != colon || high > 0xffff)
            return false;
        low = strtoul(colon + 1, &end, 16);
        *ret = (uint32_t)(high << 16 | low);
        return *end == '\0' && end > colon + 1 && low <= 0xffff;
    }
    low = strtoul(text, &end, 0);
    *ret = (uint32_t)low;
    return *end == '\0' && end > text && low <= UINT32_MAX;
}

static bool protocol_of(const char *text, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t number;
    } known[] = { { "tcp", IPPROTO_TCP },
                  { "udp", IPPROTO_UDP },
                  { "sctp", IPPROTO_SCTP },
                  { "icmp", IPPROTO_ICMP } };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].name, text) == 0) {
            *ret = known[i].number;
            return true;
        }
    }
    return false;
}

static bool state_of(const char *text, uint32_t *ret)
{
    static const char *const names[] = { "new", "established", "related", "invalid" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = 1u << i;
            return true;
        }
    }
    return false;
}

bool nft_word(enum field field, const char *text, uint32_t *ret)
{
    switch (field) {
    case FIELD_PROTOCOL:
        return protocol_of(text, ret);
    case FIELD_STATE:
        return state_of(text, ret);
    case FIELD_TRANSLATED:
        *ret = 1;
        return strcmp(text, "dnat") == 0;
    case FIELD_SOURCE_TYPE:
    case FIELD_TARGET_TYPE:
        *ret = 1;
        return strcmp(text, "local") == 0;
    default:
        return nft_number(text, ret);
    }
}

bool nft_column(enum column c, const char *text, uint8_t *out, unsigned *ret_bits)
{
    uint32_t n;
    struct ip_prefix p;
    if (c == COLUMN_IPV4 || c == COLUMN_IPV6) {
        bool range = strchr(text, '/') != NULL;
        if (range ? ip_prefix_parse(text, &p) < 0 : ip_parse(text, &p.ip) < 0)
            return false;
        if (range)
            *ret_bits = p.bits;
        memcpy(out, p.ip.bytes, column_len(c));
        return p.ip.family == (c == COLUMN_IPV4 ? 4 : 6);
    }
    if (c == COLUMN_PROTOCOL ? !protocol_of(text, &n) : !nft_number(text, &n))
        return false;
    column_put(c, n, out);
    return c != COLUMN_PORT || n <= 65535;
}
