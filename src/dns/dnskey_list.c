#include "dns/dnskey_list.h"

#include <string.h>

static bool is_known(const struct dnskey_list *l, const struct dnskey *k)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->keys[i]->rdlen == k->rdlen && memcmp(l->keys[i]->rdata, k->rdata, k->rdlen) == 0)
            return true;
    return false;
}

static int add(struct dnskey_list *l, struct setup *s, struct dispenser *d, struct err *e)
{
    struct err why;
    struct dnskey *k;
    if (l->n == DNSKEY_LIST_MAX)
        return dispenser_err(d, e, "more than %d keys", DNSKEY_LIST_MAX);
    if (dnskey_load(setup_path(s, dispenser_val(d)), &k, &why) < 0)
        return dispenser_err(d, e, "%s", why.text);
    if (is_known(l, k)) {
        dnskey_free(k);
        return dispenser_err(d, e, "key '%s' is there already", dispenser_val(d));
    }
    l->keys[l->n++] = k;
    return 0;
}

int dnskey_list_read(struct dnskey_list *l, struct setup *s, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (strcmp(dispenser_val(d), "file") != 0)
        return dispenser_err(d, e, "keys from '%s' are not supported; use 'key file KEY...'",
                             dispenser_val(d));
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    do {
        int ret = add(l, s, d, e);
        if (ret < 0)
            return ret;
    } while (dispenser_next_arg(d));
    return 0;
}

void dnskey_list_done(struct dnskey_list *l)
{
    for (unsigned i = 0; i < l->n; i++)
        dnskey_free(l->keys[i]);
    l->n = 0;
}
