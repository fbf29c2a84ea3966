/* Any text as a Corefile, and a walk over what comes of it. Imports find no file: the text claims
 * to stand in a folder that does not exist. */
#include "config/corefile.h"
#include "base/log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const struct directive *directive)
{
    struct dispenser d = dispenser_of(directive);
    struct err e;
    size_t seen = 0;
    while (dispenser_next_directive(&d)) {
        seen += strlen(dispenser_val(&d)) + 1;
        while (dispenser_next_arg(&d))
            seen += strlen(dispenser_val(&d)) + 1;
        while (dispenser_next_block(&d)) {
            seen += strlen(dispenser_val(&d)) + 1;
            (void)dispenser_unknown(&d, &e);
            while (dispenser_next_arg(&d))
                seen += strlen(dispenser_val(&d)) + 1;
        }
        (void)dispenser_end(&d, &e);
    }
    return seen;
}

static void check_key(const struct key *k)
{
    size_t n = strlen(k->zone);
    if (k->scheme >= SCHEME_COUNT || n == 0 || k->zone[n - 1] != '.' || !k->token)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct corefile *c = NULL;
    struct err e = { 0 };
    log_set_level(LOG_FATAL);
    setenv("V", "{$W}x", 1);
    setenv("W", "a b", 1);
    if (corefile_parse((const char *)data, size, "/nonexistent/Corefile", NULL, &c, &e) < 0) {
        if (strncmp(e.text, "/nonexistent/Corefile:", 22) != 0)
            abort();
        return 0;
    }
    for (size_t b = 0; b < c->n_blocks; b++) {
        for (size_t k = 0; k < c->blocks[b].n_keys; k++)
            check_key(&c->blocks[b].keys[k]);
        for (size_t d = 0; d < c->blocks[b].n_directives; d++)
            if (walk(&c->blocks[b].directives[d]) == 0)
                abort();
    }
    corefile_free(c);
    return 0;
}
