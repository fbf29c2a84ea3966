#include "registry/access.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX (1 << 20)

struct access {
    VEC(struct user) users;
    struct user guest; /* the latest with a certificate */
};

static void user_done(struct user *u)
{
    free(u->token);
    free(u->name);
    free(u->uid);
    for (unsigned i = 0; i < u->n_groups; i++)
        free(u->groups[i]);
    *u = (struct user){ 0 };
}

static void add_group(struct user *u, const char *name, size_t n)
{
    if (n == 0 || u->n_groups == ACCESS_GROUPS_MAX)
        return;
    u->groups[u->n_groups] = xstrndup(name, n);
    u->admin |= strcmp(u->groups[u->n_groups++], ACCESS_ADMIN) == 0;
}

static void add_groups(struct user *u, const char *list)
{
    while (*list) {
        size_t n = strcspn(list, ",");
        add_group(u, list, n);
        list += n + (list[n] == ',');
    }
}

/* "TOKEN,NAME,UID" and, in quotes, groups. */
static int read_line(struct access *a, char *line, const char *path, int number, struct err *e)
{
    char *fields[4] = { line, NULL, NULL, NULL };
    unsigned n = 1;
    for (char *p = line; *p && n < 4; p++)
        if (*p == ',') {
            *p = 0;
            fields[n++] = p + 1;
        }
    if (n < 3 || !*fields[0] || !*fields[1])
        return err_set(e, ERR_PARSE, "%s:%d: expected TOKEN,NAME,UID and, in quotes, groups", path,
                       number);
    if (a->users.n == ACCESS_USERS_MAX)
        return err_set(e, ERR_LIMIT, "%s:%d: more than %d users", path, number, ACCESS_USERS_MAX);
    struct user u = { .token = xstrdup(fields[0]),
                      .name = xstrdup(fields[1]),
                      .uid = xstrdup(fields[2]) };
    if (fields[3]) {
        char *list = fields[3] + (*fields[3] == '"');
        list[strcspn(list, "\"")] = 0;
        add_groups(&u, list);
    }
    vec_push(&a->users, u);
    return 0;
}

static int read_file(struct access *a, const char *path, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    int number = 0, r = file_load(path, FILE_MAX, &text, &len, e);
    char *rest = text;
    for (char *line; r == 0 && (line = strsep(&rest, "\n"));) {
        number++;
        line[strcspn(line, "\r")] = 0;
        if (*line && *line != '#')
            r = read_line(a, line, path, number, e);
    }
    return r;
}

int access_open(const char *tokens, struct access **ret, struct err *e)
{
    struct access *a = xcalloc(1, sizeof *a);
    int r = tokens ? read_file(a, tokens, e) : 0;
    if (r < 0)
        access_close(a);
    else
        *ret = a;
    return r;
}

void access_close(struct access *a)
{
    if (!a)
        return;
    vec_each (u, &a->users)
        user_done(u);
    vec_done(&a->users);
    user_done(&a->guest);
    free(a);
}

/* All are compared, and in a time that does not tell how much of a token was right. */
static const struct user *by_token(const struct access *a, const char *token)
{
    const struct user *found = NULL;
    size_t n = strlen(token);
    vec_each (u, &a->users)
        if (strlen(u->token) == n && CRYPTO_memcmp(u->token, token, n) == 0)
            found = u;
    return found;
}

static const struct user *by_certificate(struct access *a, const struct tls_subject *subject)
{
    user_done(&a->guest);
    a->guest.name = xstrdup(subject->name);
    a->guest.uid = xstrdup("");
    for (unsigned i = 0; i < subject->n_groups; i++)
        add_group(&a->guest, subject->groups[i], strlen(subject->groups[i]));
    return &a->guest;
}

const struct user *access_user(struct access *a, const char *authorization,
                               const struct tls_subject *subject)
{
    if (subject)
        return by_certificate(a, subject);
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    authorization += 7;
    return by_token(a, authorization + strspn(authorization, " "));
}
