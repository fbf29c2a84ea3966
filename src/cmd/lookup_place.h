/* From where a look-up is made: which files the client has, what its host is called, and in which
 * network its queries leave. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "client/stub_conf.h"
#include "config/flags.h"

#include <sys/types.h>

struct lookup_place {
    /* By the flags. */
    const char *resolv_conf, *hosts, *nsswitch; /* files */
    const char *pod, *lab_dir, *manifests, *kubeconfig, *context;
    const char *host_resolv, *cluster_domain;
    struct flag_list cluster_dns;
    long pid;

    /* By lookup_place_go(): texts of the files, NULL where there is none. */
    const char *resolv_conf_text, *hosts_text, *nsswitch_text;
    struct stub_env env;
};

/* Finds and reads all that; with --pid, and --pod of a lab, this process is in the namespaces and
 * the root folder of that process from then on. Strings lie in `a`. */
int lookup_place_go(struct lookup_place *p, struct arena *a, struct err *e) must_check;
/* What the environment of a process says to its resolver. Strings lie in `a`. */
void lookup_environment(pid_t pid, struct arena *a, struct stub_env *ret);
