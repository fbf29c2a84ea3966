/* What the page of a journey (journey_html()) is made of. */
#pragma once

#include "base/str.h"
#include "explain/outcome.h"

/* The sequence, as SVG; nothing when nothing left the client. */
void journey_draw(const struct sightings *s, struct strbuf *out);
/* As text of HTML. */
void journey_put_escaped(struct strbuf *out, const char *s);
