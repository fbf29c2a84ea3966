/* How commands read a Corefile: with this program's plugins, and the reference's fallback. */
#pragma once

#include "config/corefile.h"

/* path NULL: ./Corefile, or without one a built-in block with whoami and log. */
int command_corefile(const char *path, uint16_t port, struct corefile **ret, struct err *e);
