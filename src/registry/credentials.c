#include "registry/credentials.h"

#include "base/file.h"
#include "base/str.h"
#include "net/authority.h"
#include "registry/access.h"
#include "wire/radix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TOKEN_BYTES   32
#define TOKENS_MAX    (1 << 20)
#define CA_MAX        (1 << 16)
#define TOKEN_TEXT    (TOKEN_BYTES * 2 + 1)
#define EVERY_SERVICE "kubernetes"

static int join(const char *folder, const char *name, char out[CREDENTIALS_PATH], struct err *e)
{
    if (snprintf(out, CREDENTIALS_PATH, "%s/%s", folder, name) < CREDENTIALS_PATH)
        return 0;
    return err_set(e, -ENAMETOOLONG, "%s: the name is too long", folder);
}

/* Whole or not at all, and for its owner only. */
static int write_file(const char *path, const char *text, struct err *e)
{
    char part[CREDENTIALS_PATH + 8];
    size_t n = strlen(text);
    (void)snprintf(part, sizeof part, "%s.new", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0)
        ok &= close(fd) == 0;
    if (ok && rename(part, path) == 0)
        return 0;
    return err_set(e, -errno, "write %s: %s", path, strerror(errno));
}

static void new_token(char out[TOKEN_TEXT])
{
    unsigned char b[TOKEN_BYTES];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort(); /* up to 256 bytes never fail (getrandom(2)) */
    for (unsigned i = 0; i < sizeof b; i++)
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", b[i]);
}

static int make_tokens(const char *path, struct err *e)
{
    char admin[TOKEN_TEXT], reader[TOKEN_TEXT], text[1024];
    if (access(path, R_OK) == 0)
        return 0;
    new_token(admin);
    new_token(reader);
    (void)snprintf(text, sizeof text,
                   "# TOKEN,NAME,UID,\"GROUP,...\": members of " ACCESS_ADMIN
                   " may do all, others may read.\n"
                   "%s,admin,1,\"" ACCESS_ADMIN "\"\n%s,reader,2,\"" ACCESS_READER "\"\n",
                   admin, reader);
    return write_file(path, text, e);
}

static int make_server(const char *folder, const struct ip *listen, const struct ip *service,
                       const struct credentials *c, struct err *e)
{
    char ca_key[CREDENTIALS_PATH];
    static const char *const names[] = { "localhost",
                                         EVERY_SERVICE,
                                         EVERY_SERVICE ".default",
                                         EVERY_SERVICE ".default.svc",
                                         EVERY_SERVICE ".default.svc.cluster.local",
                                         NULL };
    struct ip ips[4];
    size_t n = 0;
    if (ip_parse("127.0.0.1", &ips[n++]) < 0 || ip_parse("::1", &ips[n++]) < 0)
        return ERR_PARSE;
    ips[n++] = *service;
    if (listen->family)
        ips[n++] = *listen;
    int r = join(folder, "ca.key", ca_key, e);
    if (r == 0)
        r = authority_make(c->ca, ca_key, "signpost registry", e);
    if (r < 0 || (authority_covers(c->cert, service) && authority_covers(c->cert, &ips[n - 1])))
        return r;
    const struct authority_subject s = {
        .name = "signpost-registry", .server = true, .dns = names, .ips = ips, .n_ips = n
    };
    return authority_issue(c->ca, ca_key, &s, c->cert, c->key, e);
}

int credentials_make(const char *folder, const struct ip *listen, const struct ip *service,
                     struct credentials *ret, struct err *e)
{
    const struct {
        const char *name;
        char *path;
    } files[] = { { "ca.crt", ret->ca },        { "server.crt", ret->cert },
                  { "server.key", ret->key },   { "tokens.csv", ret->tokens },
                  { "admin.conf", ret->admin }, { "reader.conf", ret->reader } };
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "make the folder %s: %s", folder, strerror(errno));
    char whole[CREDENTIALS_PATH];
    if (!realpath(folder, whole))
        return err_set(e, -errno, "%s: %s", folder, strerror(errno));
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
        r = join(whole, files[i].name, files[i].path, e);
    if (r == 0)
        r = make_server(whole, listen, service, ret, e);
    return r < 0 ? r : make_tokens(ret->tokens, e);
}

/* ---- kubeconfig files ---- */

/* The token of the first user of that name in the file; malloc'ed, or NULL. */
static char *token_of(char *tokens, const char *name)
{
    char *rest = tokens;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *comma = *line == '#' ? NULL : strchr(line, ',');
        size_t n = strlen(name);
        if (comma && strncmp(comma + 1, name, n) == 0 && comma[1 + n] == ',')
            return strndup(line, (size_t)(comma - line));
    }
    return NULL;
}

static int write_config(const struct credentials *c, const char *path, const char *user,
                        const char *server, struct err *e)
{
    cleanup_free char *text = NULL, *ca = NULL;
    size_t len, ca_len;
    int r = file_load(c->tokens, TOKENS_MAX, &text, &len, e);
    if (r == 0)
        r = file_load(c->ca, CA_MAX, &ca, &ca_len, e);
    if (r < 0)
        return r;
    cleanup_free char *token = token_of(text, user);
    if (!token)
        return 0; /* whoever keeps the file has taken the user out */
    struct strbuf b = { 0 };
    strbuf_printf(&b,
                  "apiVersion: v1\nkind: Config\ncurrent-context: signpost\nclusters:\n"
                  "- name: signpost\n  cluster:\n    server: %s\n    certificate-authority-data: ",
                  server);
    radix_put(&b, &radix_64, (const uint8_t *)ca, ca_len);
    strbuf_printf(&b,
                  "\ncontexts:\n- name: signpost\n  context:\n    cluster: signpost\n"
                  "    user: %s\nusers:\n- name: %s\n  user:\n    token: %s\n",
                  user, user, token);
    r = write_file(path, b.p, e);
    strbuf_done(&b);
    return r;
}

int credentials_publish(const struct credentials *c, const struct ip *listen, uint16_t port,
                        struct err *e)
{
    char ip[IP_TEXT_MAX], server[128];
    bool any = !listen->family || ip_is_any(listen);
    (void)snprintf(server, sizeof server,
                   listen->family == 6 && !any ? "https://[%s]:%u" : "https://%s:%u",
                   any ? "127.0.0.1" : ip_text(listen, ip), port);
    int r = write_config(c, c->admin, "admin", server, e);
    return r < 0 ? r : write_config(c, c->reader, "reader", server, e);
}
