#include "registry/gzip.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <zlib.h>

#define GZIP_LEVEL 1  /* as the original: most of the gain for a fraction of the time */
#define GZIP_HEAD  16 /* on top of the window's bits: with gzip's head and tail */

bool gzip_is_accepted(const char *accept_encoding)
{
    for (const char *p = accept_encoding; p && *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ",");
        size_t word = strcspn(p, ", \t");
        if (word == 4 && strncmp(p, "gzip", 4) == 0 && strspn(p + word, " \t") == n - word)
            return true;
        p += n;
    }
    return false;
}

bool gzip_pack(struct strbuf *text)
{
    z_stream z = { 0 };
    if (text->len > UINT32_MAX || deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, MAX_WBITS + GZIP_HEAD, 8,
                                               Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t cap = deflateBound(&z, text->len);
    char *out = mem_try(cap);
    z.next_in = (unsigned char *)text->p;
    z.avail_in = (unsigned)text->len;
    z.next_out = (unsigned char *)out;
    z.avail_out = (unsigned)cap;
    bool whole = out && deflate(&z, Z_FINISH) == Z_STREAM_END;
    size_t len = z.total_out;
    (void)deflateEnd(&z);
    if (!whole) {
        free(out);
        return false;
    }
    strbuf_done(text);
    *text = (struct strbuf){ .p = out, .len = len, .cap = cap };
    return true;
}
