/* Where names stand in a message that is being written, for compression (private to wire/).
 *
 * Each entry is the offset of one label and a hash of that label and the length of the name that
 * begins with it: enough to tell names of one message apart, and cheap; candidates are compared
 * with the message itself. Letter case counts, so that every name is read back as it was given.
 * Lives on the encoder's stack: only the heads need setting up. What does not fit (entries, offsets
 * beyond 14 bits, long chains) is written in full, which is always correct. */
#pragma once

#include "base/cursor.h"
#include "wire/name.h"

#define DICT_HEADS   64 /* a power of two */
#define DICT_ENTRIES 1024
#define DICT_CHAIN   32     /* candidates looked at: names from outside may collide on purpose */
#define DICT_OFFSETS 0x4000 /* what a pointer can express (RFC 1035 section 4.1.4) */

struct dict_entry {
    uint16_t off, next; /* next: index + 1 */
    uint32_t hash;
};

struct dict {
    uint16_t heads[DICT_HEADS]; /* index + 1; 0: empty */
    uint16_t n;
    struct dict_entry entries[DICT_ENTRIES];
};

void dict_init(struct dict *d);
/* Enters a name that already stands in the message at offset `at`, all of it uncompressed, into an
 * empty dictionary. */
void dict_add_name(struct dict *d, const struct name *n, size_t at);
/* Writes a name; compress: may end in a pointer. What is new in it becomes a target for later ones.
 * Returns the offset that a pointer to the whole name may use, or 0 when there is none. */
unsigned dict_put_name(struct dict *d, struct wbuf *w, const uint8_t *wire, bool compress);
