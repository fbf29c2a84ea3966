/* How commands read a Corefile: with this program's plugins, and the reference's fallback. */
#pragma once

#include "config/corefile.h"

/* This program's plugins, and dns keys at that port if they name none. */
void command_corefile_options(struct corefile_options *ret, uint16_t port);

/* path NULL: ./Corefile, or without one a built-in block with whoami and log. */
int command_corefile(const char *path, uint16_t port, struct corefile **ret, struct err *e);

/* For `check`: any directive is taken, so that one unknown does not hide what else is wrong; then
 * each that is not a plugin is told. Returns how many. */
int command_corefile_lenient(const char *path, struct corefile **ret, struct err *e);
size_t command_unknown_directives(const struct corefile *c,
                                  void (*problem)(void *ctx, const char *text), void *ctx);
