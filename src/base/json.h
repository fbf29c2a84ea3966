/* Writing JSON as text. Bytes that are not printable ASCII are escaped one by one: names are not
 * always UTF-8. */
#pragma once

#include "base/str.h"

void json_put_text(struct strbuf *out, const char *s);
/* "key":"text"; text NULL: null. */
void json_put_member(struct strbuf *out, const char *key, const char *text);
