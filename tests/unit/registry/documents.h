/* Documents in tests, written with single quotes. */
#pragma once

#include "base/cleanup.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static inline json_t *doc_of(const char *text)
{
    char copy[4096];
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_error_t error;
    json_t *doc = json_loads(copy, JSON_DECODE_ANY, &error);
    if (!doc)
        fail_msg("%s: %s", text, error.text);
    return doc;
}

/* Takes over the document. */
static inline void assert_doc(json_t *doc, const char *want)
{
    json_t *expected = doc_of(want);
    cleanup_free char *is = json_dumps(doc, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!json_equal(doc, expected))
        fail_msg("expected %s, have %s", want, is);
    json_decref(doc);
    json_decref(expected);
}
