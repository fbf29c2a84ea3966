/* Objects as the JSON that an API server takes; what it would fill in by itself is left out.
 *
 * Texts are appended. Keys of well-known maps come in the order of the object's lists, so that the
 * same object always gives the same text. Source: Kubernetes API reference. */
#pragma once

#include "base/str.h"
#include "kube/endpoints.h"
#include "kube/slice.h"

/* With a controlling owner: its Service or Endpoints, of the Service's name. A slice without a name
 * asks the server for one that begins with the Service's. What is read back is equal, further
 * addresses of an endpoint and computed aside. */
void encode_slice(const struct slice *s, struct strbuf *out);
void encode_endpoints(const struct endpoints *e, struct strbuf *out);

/* The pieces, for the other kinds. A comma is put in front where one is due. */
void encode_key(struct strbuf *out, const char *key);
void encode_text(struct strbuf *out, const char *key, const char *value); /* not if NULL or "" */
void encode_pair(struct strbuf *out, const char *key, const char *value); /* "" is a value */
void encode_open(struct strbuf *out);                                     /* '{' */
void encode_bool(struct strbuf *out, const char *key, bool value);
void encode_labels(struct strbuf *out, const char *key, const struct label *labels, uint16_t n);
/* "metadata":{ with the names and labels; the caller adds what else there is, and '}'.
 * generated_from: the Service whose name begins this one's; NULL: none. */
void encode_meta_open(struct strbuf *out, const struct meta *m, const char *generated_from,
                      const char *version);
/* trigger_time_ns 0: none. */
void encode_annotations(struct strbuf *out, const struct label *annotations, uint16_t n,
                        int64_t trigger_time_ns);
void encode_target(struct strbuf *out, const struct target_ref *ref);
void encode_ports(struct strbuf *out, const struct slice_port *ports, uint16_t n);
