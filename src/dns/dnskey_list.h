/* The keys that a plugin's `key` lines name. */
#pragma once

#include "dns/dnskey.h"
#include "dns/plugin.h"

#define DNSKEY_LIST_MAX 16

struct dnskey_list {
    struct dnskey *keys[DNSKEY_LIST_MAX];
    unsigned n;
};

/* Appends what a line names; d stands on the word "key", and "file KEY..." follows. */
int dnskey_list_read(struct dnskey_list *l, struct setup *s, struct dispenser *d, struct err *e);
void dnskey_list_done(struct dnskey_list *l);
