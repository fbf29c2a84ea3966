/* The API's description of its types, for `kubectl explain`, client-side checks and the question
 * which parameters a verb takes: OpenAPI 3 by group, OpenAPI 2 in one piece, as JSON or in the
 * protocol buffers that old clients insist on. Built from the table of types when it is first asked
 * for. Sources: Kubernetes API concepts, "OpenAPI interface definition"; OpenAPI 2.0 and 3.0. */
#pragma once

#include "registry/call.h"

/* Answers when the path is below /openapi: true. */
bool openapi_answer(struct call *c);

/* ---- for the files of this noun ---- */

/* The OpenAPI 2 document in protocol buffers (OpenAPIv2.proto of github.com/google/gnostic-models).
 */
void openapi_proto(const json_t *document, struct strbuf *out);
