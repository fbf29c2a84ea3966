/* A file as the kubelet would write it for a Pod: what `hosts` and `resolvconf` have in common. One
 * Pod of a manifest goes in, the text comes out on standard output. */
#pragma once

#include "client/pod_dns.h"
#include "config/flags.h"

/* Makes the text, in the arena or static, and warns on standard error. options: the command's. */
typedef int pod_file_fn(const void *options, struct pod_dns *pod, struct arena *a,
                        const char **ret_text, struct err *e);

struct pod_file {
    const struct command *command;
    pod_file_fn *text;
    const char *pod, *name; /* --pod, --name: set by the flags */
};

/* The rows of --pod and --name in the command's table of flags. */
struct flag pod_file_pod_flag(struct pod_file *file);
struct flag pod_file_name_flag(struct pod_file *file);
/* The command from its arguments to its exit status. The flags set what file and options hold. */
int pod_file_run(const struct pod_file *file, const void *options, const struct flag *flags,
                 size_t n_flags, int argc, char **argv);
