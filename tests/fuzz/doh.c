/* Targets of HTTP requests: what is taken for a message can be written back to the same bytes. */
#include "net/doh_request.h"

#include <stdlib.h>
#include <string.h>

/* The target that asks with this message. */
static size_t target_of(const uint8_t *msg, size_t len, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = strlen(DOH_PATH "?dns=");
    uint32_t bits = 0;
    unsigned have = 0;
    memcpy(out, DOH_PATH "?dns=", n);
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | msg[i];
        for (have += 8; have >= 6; have -= 6)
            out[n++] = alphabet[bits >> (have - 6) & 63];
    }
    if (have)
        out[n++] = alphabet[bits << (6 - have) & 63];
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 0, again = 0;
    uint8_t *out = malloc(size + 1);
    int status = doh_target((const char *)data, size, true, out, &len);
    int post = doh_target((const char *)data, size, false, NULL, &again);
    if ((status != 0 && status != 400 && status != 404) || (status == 404) != (post == 404))
        abort();
    if (status == 0) {
        char *target = malloc(2 * len + 32);
        size_t n = target_of(out, len, target);
        uint8_t *copy = malloc(n);
        if (len > size || doh_target(target, n, true, copy, &again) != 0 || again != len ||
            memcmp(copy, out, len) != 0)
            abort();
        free(copy);
        free(target);
    }
    free(out);
    return 0;
}
