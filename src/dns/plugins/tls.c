/* `tls CERT KEY [CA] { client_auth MODE ; keylog FILE }`: what the block's tls:// and https://
 * listeners show. The files are read when the Corefile is, so a reload serves renewed ones to new
 * connections. */
#include "dns/plugin.h"

#include "net/tls.h"

#include <string.h>

static int opt_client_auth(struct dispenser *d, struct tls_options *o, struct err *e)
{
    static const char *const names[TLS_CLIENT_AUTH_COUNT] = {
        [TLS_NO_CERT] = "nocert",
        [TLS_REQUEST] = "request",
        [TLS_REQUIRE] = "require",
        [TLS_VERIFY_IF_GIVEN] = "verify_if_given",
        [TLS_REQUIRE_AND_VERIFY] = "require_and_verify",
    };
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(dispenser_val(d), names[i]) == 0) {
            o->client_auth = (enum tls_client_auth)i;
            return dispenser_end(d, e);
        }
    return dispenser_err(d, e, "unknown authentication type '%s'", dispenser_val(d));
}

/* It is opened again at each reload. */
static void tell_folder(struct setup *s, const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) : 0;
    setup_writes(s, !slash ? "." : len ? arena_strndup(setup_arena(s), file, len) : "/");
}

static int read_option(struct setup *s, struct dispenser *d, struct tls_options *o, struct err *e)
{
    const char *name = dispenser_val(d);
    if (strcmp(name, "client_auth") == 0)
        return opt_client_auth(d, o, e);
    if (strcmp(name, "acme") == 0)
        return dispenser_err(d, e,
                             "acme is not supported: let another program fetch the "
                             "certificate, and name CERT and KEY files");
    if (strcmp(name, "keylog") != 0)
        return dispenser_err(d, e, "unknown option '%s'", name);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    o->keylog = setup_path(s, dispenser_val(d));
    tell_folder(s, o->keylog);
    return dispenser_end(d, e);
}

static int read_files(struct setup *s, struct dispenser *d, struct tls_options *o, struct err *e)
{
    const char **ret[] = { &o->cert, &o->key, &o->ca };
    unsigned n = 0;
    for (; dispenser_next_arg(d); n++) {
        if (n == ARRAY_SIZE(ret))
            return dispenser_arg_err(d, e);
        *ret[n] = setup_path(s, dispenser_val(d));
    }
    return n == 1 ? dispenser_arg_err(d, e) : 0;
}

/* The block's listeners of a scheme get theirs with the protocols that are spoken there. */
static int make(struct setup *s, struct dispenser *d, enum scheme scheme, struct tls_options o,
                struct err *e)
{
    static const char *const dot[] = { "dot", NULL }, *const http[] = { "h2", "http/1.1", NULL };
    struct tls_config *c;
    o.alpn = scheme == SCHEME_TLS ? dot : http;
    o.alpn_strict = scheme == SCHEME_HTTPS; /* the reference lets others pass over tls:// only */
    if (tls_config_new(&o, &c, e) < 0)
        return dispenser_err(d, e, "%s", e->text);
    setup_tls(s, scheme, c);
    return 0;
}

static int tls_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    int ret = 0;
    while (ret == 0 && dispenser_next_directive(d)) {
        struct tls_options o = { .server = true };
        ret = read_files(s, d, &o, e);
        while (ret == 0 && dispenser_next_block(d))
            ret = read_option(s, d, &o, e);
        if (ret == 0 && !o.cert)
            ret = dispenser_err(d, e,
                                "without CERT and KEY files there is no certificate to show: "
                                "ACME is not supported");
        if (ret == 0)
            ret = make(s, d, SCHEME_TLS, o, e);
        if (ret == 0)
            ret = make(s, d, SCHEME_HTTPS, o, e);
    }
    return ret;
}

const struct plugin plugin_tls = { .name = "tls", .setup = tls_setup, .repeatable = true };
