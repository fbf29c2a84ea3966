/* Words of nft's language, one after the other; private to its reader (explain/nft_text.h). */
#pragma once

#include "base/err.h"
#include "explain/firewall.h"

#define NFT_WORD_MAX 128

enum nft_token { TOKEN_WORD, TOKEN_STRING, TOKEN_LINE_END, TOKEN_OTHER, TOKEN_END };

struct nft_reader {
    struct firewall *f;
    struct err *e;
    const char *p;     /* behind the token */
    const char *start; /* of the token */
    int line;
    enum nft_token kind;
    char word[NFT_WORD_MAX]; /* TOKEN_OTHER: one character */
    uint8_t family;
};

void nft_next(struct nft_reader *r);
bool nft_is_at(const struct nft_reader *r, const char *word);
/* Is it that word? Then on to the next. */
bool nft_take(struct nft_reader *r, const char *word);
int nft_expect(struct nft_reader *r, const char *word);
/* An error: the word is not what is wanted here. */
int nft_unknown(struct nft_reader *r, const char *wanted);
bool nft_at_line_end(const struct nft_reader *r);
void nft_skip_lines(struct nft_reader *r);
int nft_take_name(struct nft_reader *r, char out[NFT_WORD_MAX]);

/* What a word stands for; false: it is none of that kind. */
bool nft_number(const char *text, uint32_t *ret);
bool nft_word(enum field field, const char *text, uint32_t *ret);
/* The column's bytes; *ret_bits: of an address with a prefix length, else untouched. */
bool nft_column(enum column c, const char *text, uint8_t *out, unsigned *ret_bits);

/* ---- nft_rule.c */

int nft_read_field(struct nft_reader *r, struct term *t);
/* 1: it was one; 0: it is something else. */
int nft_read_verdict(struct nft_reader *r, struct firewall_verdict *v);
/* To the end of the line. */
int nft_read_rule(struct nft_reader *r, struct firewall_chain *c);
