/* Texts with placeholders ("{name}", "{/plugin/label}"), as `log` has them: compiled to a list of
 * pieces at set-up. */
#pragma once

#include "dns/plugin.h"

struct log_format;

/* Unknown placeholders stay as literal text, as in the reference. In the set-up's arena. */
const struct log_format *log_format_new(struct setup *s, const char *format);
/* answered: there is a reply; else what is said of it is "-". */
void log_format_print(const struct log_format *f, struct query *q, bool answered,
                      struct strbuf *out);
