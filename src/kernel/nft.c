#include "kernel/nft.h"

#include "kernel/nft_elements.h"
#include "kernel/nft_netlink.h"
#include "kernel/nft_survey.h"
#include "kernel/program.h"

#include <errno.h>
#include <string.h>

static int refusal(struct program_said *s, int status, struct err *e)
{
    int code = strstr(s->text, "Message too long")          ? -EMSGSIZE
               : strstr(s->text, "Operation not permitted") ? -EPERM
                                                            : ERR_REFUSED;
    return err_set(e, code, "nft ended with status %d: %.700s", status, program_one_line(s));
}

static int program_apply(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    static const char *const apply[] = { "nft", "-f", "-", NULL };
    static const char *const judge[] = { "nft", "-c", "-f", "-", NULL };
    struct program_said said;
    (void)ctx;
    cleanup_close int in_fd = program_text_fd(text, len);
    if (in_fd < 0)
        return err_set(e, in_fd, "no memory file for a transaction of %zu bytes: %s", len,
                       err_str(in_fd));
    int status = program_run(check ? judge : apply, in_fd, NFT_TIMEOUT_MS, &said);
    if (status == -ETIMEDOUT)
        return err_set(e, ERR_REFUSED, "nft was stopped after %d seconds", NFT_TIMEOUT_MS / 1000);
    if (status < 0)
        return err_set(e, status, "nft cannot be started: %s (is the nftables package installed?)",
                       err_str(status));
    return status == 0 ? 0 : refusal(&said, status, e);
}

const struct nft_backend *nft_program(void)
{
    static const struct nft_backend program = { .name = "nft",
                                                .apply = program_apply,
                                                .read_map = nft_read_map,
                                                .delete_keys = nft_delete_keys,
                                                .add_keep_rule = nft_add_keep_rule,
                                                .count_rules = nft_count_rules,
                                                .write = nft_write_elements,
                                                .survey = nft_survey };
    return &program;
}

static int dry_apply(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    struct nft_dry *d = ctx;
    *(check ? &d->n_checked : &d->n_applied) += 1;
    if (d->max && len > d->max)
        return err_set(e, -EMSGSIZE, "dry run: Message too long");
    if (d->poison && strstr(text, d->poison))
        return err_set(e, ERR_REFUSED, "dry run: refused because of %s", d->poison);
    if (d->lost && strncmp(text, "add table", strlen("add table")) != 0)
        return err_set(e, ERR_REFUSED, "dry run: No such file or directory");
    if (check)
        return 0;
    d->lost = false;
    strbuf_reset(&d->last);
    strbuf_add(&d->last, text, len);
    return 0;
}

/* It knows whether the table is there, not what is in it. */
static int dry_count_rules(void *ctx, uint8_t family, const char *table, size_t *ret_rules)
{
    const struct nft_dry *d = ctx;
    (void)family;
    (void)table;
    *ret_rules = 0;
    return d->lost ? -ENOENT : -EOPNOTSUPP;
}

void nft_dry_init(struct nft_dry *d)
{
    *d = (struct nft_dry){
        .backend = { .name = "dry", .apply = dry_apply, .count_rules = dry_count_rules, .ctx = d }
    };
}

void nft_dry_done(struct nft_dry *d)
{
    strbuf_done(&d->last);
}
