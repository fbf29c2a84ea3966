/* Objects as the JSON that an API server takes; what it would fill in by itself is left out.
 *
 * Texts are appended. Keys of well-known maps come in the order of the object's lists, so that the
 * same object always gives the same text. Source: Kubernetes API reference. */
#pragma once

#include "base/str.h"
#include "kube/slice.h"

/* With a controlling owner: its Service. A slice without a name asks the server for one that begins
 * with the Service's. What is read back is equal, further addresses of an endpoint and computed
 * aside. */
void encode_slice(const struct slice *s, struct strbuf *out);

/* The pieces, for the other kinds. A comma is put in front where one is due. */
void encode_key(struct strbuf *out, const char *key);
void encode_text(struct strbuf *out, const char *key, const char *value); /* not if NULL or "" */
void encode_bool(struct strbuf *out, const char *key, bool value);
void encode_labels(struct strbuf *out, const char *key, const struct label *labels, uint16_t n);
