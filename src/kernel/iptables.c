#include "kernel/iptables.h"

#include "kernel/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_NO_TABLE 3  /* of the legacy kind, when the kernel has no such table */
#define PROGRAM_MAX     32 /* of a program's name: "ip6tables-legacy-restore" */

static const char *const kind_names[] = { "nft", "legacy", "iptables" };

/* "ip6tables-nft-restore" */
static const char *program_name(char out[PROGRAM_MAX], const struct iptables_backend *b,
                                uint8_t family, const char *verb)
{
    bool plain = b->name == kind_names[IPTABLES_PLAIN];
    (void)snprintf(out, PROGRAM_MAX, "%s%s%s%s%s", family == 4 ? "iptables" : "ip6tables",
                   plain ? "" : "-", plain ? "" : b->name, *verb ? "-" : "", verb);
    return out;
}

/* What a program said, as one of our codes. */
static int refusal(const char *program, struct program_said *s, int status, struct err *e)
{
    int code = strstr(s->text, "Message too long") ? -EMSGSIZE
               : strstr(s->text, "Permission denied") || strstr(s->text, "Operation not permitted")
                   ? -EPERM
                   : ERR_REFUSED;
    if (status == -ETIMEDOUT)
        return err_set(e, ERR_REFUSED, "%s was stopped after %d seconds", program,
                       IPTABLES_TIMEOUT_MS / 1000);
    if (status < 0)
        return err_set(e, status, "%s cannot be started: %s (is the iptables package installed?)",
                       program, err_str(status));
    return err_set(e, code == ERR_REFUSED && status == STATUS_NO_TABLE ? -EOPNOTSUPP : code,
                   "%s ended with status %d: %.700s", program, status, program_one_line(s));
}

static int programs_restore(void *ctx, uint8_t family, const char *text, size_t len, struct err *e)
{
    char name[PROGRAM_MAX];
    const char *const argv[] = { program_name(name, ctx, family, "restore"),
                                 "-w",
                                 IPTABLES_LOCK_S,
                                 "--noflush",
                                 "--counters",
                                 NULL };
    struct program_said said;
    cleanup_close int in_fd = program_text_fd(text, len);
    if (in_fd < 0)
        return err_set(e, in_fd, "no memory file for %zu bytes of rules: %s", len, err_str(in_fd));
    int status = program_run(argv, in_fd, IPTABLES_TIMEOUT_MS, &said);
    return status == 0 ? 0 : refusal(name, &said, status, e);
}

static int read_back(int fd, struct strbuf *out)
{
    char buf[16384];
    ssize_t n;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        strbuf_add(out, buf, (size_t)n);
    return n < 0 ? -errno : 0;
}

static int run_and_read(const char *const *argv, struct strbuf *out, struct program_said *said)
{
    cleanup_close int out_fd = memfd_create("rules", MFD_CLOEXEC);
    if (out_fd < 0)
        return -errno;
    int status = program_run_to(argv, -1, out_fd, IPTABLES_TIMEOUT_MS, said);
    int ret = status == 0 ? read_back(out_fd, out) : 0;
    return ret < 0 ? ret : status;
}

static int programs_save(void *ctx, uint8_t family, const char *table, struct strbuf *out,
                         struct err *e)
{
    char name[PROGRAM_MAX];
    const char *const argv[] = { program_name(name, ctx, family, "save"), "-t", table, NULL };
    struct program_said said;
    int status = run_and_read(argv, out, &said);
    return status == 0 ? 0 : refusal(name, &said, status, e);
}

static int programs_list(void *ctx, uint8_t family, const char *table, const char *chain,
                         struct strbuf *out, struct err *e)
{
    char name[PROGRAM_MAX];
    const char *const argv[] = {
        program_name(name, ctx, family, ""), "-w", IPTABLES_LOCK_S, "-t", table, "-S", chain, NULL
    };
    struct program_said said;
    int status = run_and_read(argv, out, &said);
    if (status == 1)
        return err_set(e, ERR_NOT_FOUND, "%s: no chain %s in table %s", name, chain, table);
    return status == 0 ? 0 : refusal(name, &said, status, e);
}

const struct iptables_backend *iptables_programs(enum iptables_kind kind)
{
#define PROGRAMS(k)                                                                                \
    [k] = {.name = NULL, .restore = programs_restore, .save = programs_save, .list = programs_list }
    static struct iptables_backend programs[] = { PROGRAMS(IPTABLES_NFT), PROGRAMS(IPTABLES_LEGACY),
                                                  PROGRAMS(IPTABLES_PLAIN) };
    programs[kind].name = kind_names[kind];
    programs[kind].ctx = &programs[kind];
    programs[kind].is_told = kind != IPTABLES_LEGACY;
    return &programs[kind];
}

/* ---- which kind ---- */

static bool has_program(enum iptables_kind kind, uint8_t family)
{
    char name[PROGRAM_MAX];
    const char *const argv[] = { program_name(name, iptables_programs(kind), family, ""),
                                 "--version", NULL };
    struct program_said said;
    return program_run(argv, -1, IPTABLES_TIMEOUT_MS, &said) == 0;
}

bool iptables_has(enum iptables_kind kind)
{
    return has_program(kind, 4) || has_program(kind, 6);
}

int iptables_knows(const struct iptables_backend *b, uint8_t family, struct err *e)
{
    struct strbuf listed = { 0 };
    int ret = b->list(b->ctx, family, "nat", "POSTROUTING", &listed, e);
    strbuf_done(&listed);
    return ret == -ENOENT || ret == ERR_NOT_FOUND || ret == -EOPNOTSUPP ? ret : 0;
}

/* Asking the legacy programs would load modules and make tables; the kernel says without them. */
static bool has_legacy_tables(void)
{
    static const char *const lists[] = { "/proc/self/net/ip_tables_names",
                                         "/proc/self/net/ip6_tables_names" };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        char c;
        FILE *f = fopen(lists[i], "re");
        bool any = f && fread(&c, 1, 1, f) == 1;
        if (f)
            (void)fclose(f);
        if (any)
            return true;
    }
    return false;
}

bool iptables_may_have_rules(enum iptables_kind kind)
{
    if (kind == IPTABLES_PLAIN && (iptables_has(IPTABLES_NFT) || iptables_has(IPTABLES_LEGACY)))
        return false; /* it is one of them */
    return (kind != IPTABLES_LEGACY || has_legacy_tables()) && iptables_has(kind);
}

static void save_all(enum iptables_kind kind, const char *table, struct strbuf *out)
{
    const struct iptables_backend *b = iptables_programs(kind);
    (void)b->save(b->ctx, 4, table, out, NULL);
    (void)b->save(b->ctx, 6, table, out, NULL);
    strbuf_puts(out, "");
}

/* A kubelet makes one of these chains, with the programs that its host uses. */
static bool has_hint(enum iptables_kind kind)
{
    struct strbuf text = { 0 };
    save_all(kind, "mangle", &text);
    bool found = text.p && (strstr(text.p, "\n:KUBE-IPTABLES-HINT ") ||
                            strstr(text.p, "\n:KUBE-KUBELET-CANARY "));
    strbuf_done(&text);
    return found;
}

static size_t count_rules(enum iptables_kind kind)
{
    static const char *const tables[] = { "filter", "nat", "mangle" };
    struct strbuf text = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        save_all(kind, tables[i], &text);
    for (const char *p = text.p; p && (p = strstr(p, "\n-")); p++)
        n++;
    strbuf_done(&text);
    return n;
}

enum iptables_kind iptables_find(const char **ret_why)
{
    bool nft = iptables_has(IPTABLES_NFT), legacy = iptables_has(IPTABLES_LEGACY);
    *ret_why = "there are no others";
    if (!nft || !legacy)
        return nft ? IPTABLES_NFT : legacy ? IPTABLES_LEGACY : IPTABLES_PLAIN;
    *ret_why = "a kubelet's chain is there";
    if (has_hint(IPTABLES_NFT))
        return IPTABLES_NFT;
    bool used = has_legacy_tables();
    if (used && has_hint(IPTABLES_LEGACY))
        return IPTABLES_LEGACY;
    *ret_why = "most rules are there";
    if (used && count_rules(IPTABLES_LEGACY) > count_rules(IPTABLES_NFT))
        return IPTABLES_LEGACY;
    *ret_why = used ? "most rules are there" : "there are no legacy rules";
    return IPTABLES_NFT;
}

/* ---- dry ---- */

static int dry_restore(void *ctx, uint8_t family, const char *text, size_t len, struct err *e)
{
    struct iptables_dry *d = ctx;
    (void)family;
    if (d->max && len > d->max)
        return err_set(e, -EMSGSIZE, "dry run: Message too long");
    if (d->poison && strstr(text, d->poison)) {
        d->n_refused++;
        return err_set(e, ERR_REFUSED, "dry run: refused because of %s", d->poison);
    }
    d->n_restored++;
    d->lost = false;
    strbuf_reset(&d->last);
    strbuf_add(&d->last, text, len);
    strbuf_add(&d->taken, text, len);
    return 0;
}

static int dry_save(void *ctx, uint8_t family, const char *table, struct strbuf *out, struct err *e)
{
    const struct iptables_dry *d = ctx;
    const struct strbuf *saved = &d->saved[family == 6][strcmp(table, "nat") == 0];
    (void)e;
    strbuf_add(out, saved->p ? saved->p : "", saved->len);
    return 0;
}

static int dry_list(void *ctx, uint8_t family, const char *table, const char *chain,
                    struct strbuf *out, struct err *e)
{
    const struct iptables_dry *d = ctx;
    (void)table;
    if (d->without[family == 6])
        return err_set(e, -ENOENT, "dry run: no program for IPv%u", family);
    if (d->lost)
        return err_set(e, ERR_NOT_FOUND, "dry run: no chain %s", chain);
    strbuf_puts(out, d->listed ? d->listed : "");
    return 0;
}

void iptables_dry_init(struct iptables_dry *d)
{
    *d = (struct iptables_dry){ .backend = { .name = "dry",
                                             .restore = dry_restore,
                                             .save = dry_save,
                                             .list = dry_list,
                                             .ctx = d } };
}

void iptables_dry_done(struct iptables_dry *d)
{
    strbuf_done(&d->last);
    strbuf_done(&d->taken);
    for (unsigned i = 0; i < 4; i++)
        strbuf_done(&d->saved[i / 2][i % 2]);
}
