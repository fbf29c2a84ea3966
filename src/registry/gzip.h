/* Long answers in gzip, for those who take it: lists of thousands of objects shrink to a tenth. As
 * the original, which leaves short answers and watches alone. Source: RFC 9110 8.4.1.3, RFC 1952.
 */
#pragma once

#include <stdbool.h>

struct strbuf;

#define GZIP_ANSWER_MIN (128 * 1024) /* bytes; shorter answers stay as they are */

/* Does a client take it? accept_encoding may be NULL. */
bool gzip_is_accepted(const char *accept_encoding);
/* Puts the text in gzip in its place. False: it stays as it was. */
bool gzip_pack(struct strbuf *text);
