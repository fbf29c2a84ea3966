/* Credentials that a program prints: what it is asked, and what it says.
 *
 * Source: kubernetes.io/docs/reference/config-api/client-authentication.v1 and .v1beta1, and
 * kubernetes.io/docs/reference/access-authn-authz/authentication (client-go credential plugins). */
#pragma once

#include "base/str.h"
#include "source/kubeconfig.h"

#include <stdint.h>

struct exec_credential {
    char *token;              /* or NULL */
    char *cert_pem, *key_pem; /* both or neither */
    int64_t expires_ns;       /* Unix time; 0: good until it is refused */
};

/* "KUBERNETES_EXEC_INFO={...}". Fails when the authority's file cannot be read. */
int exec_credential_ask(const struct api_config *c, struct strbuf *out, struct err *e) must_check;
/* From the program's output. Fails with one sentence about what is wrong with it, which has nothing
 * of the credentials in it. */
int exec_credential_parse(const char *text, size_t len, const char *api_version,
                          struct exec_credential *ret, struct err *e) must_check;
void exec_credential_done(struct exec_credential *c); /* wipes it */
