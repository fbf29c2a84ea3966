/* Where an API server is and who we are to it: from kubeconfig files, or from the service account
 * of the pod that we run in.
 *
 * Source: the client-go documentation of kubeconfig files
 * (kubernetes.io/docs/concepts/configuration/ organize-cluster-access-kubeconfig): of several files
 * the first that has an entry counts, relative paths start at the file's folder. Data given in the
 * file (…-data) counts before the file of the same name. All text is in the arena. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define KUBECONFIG_BYTES_MAX (4 << 20) /* of one file */
#define KUBECONFIG_FILES_MAX 32
#define SERVICE_ACCOUNT      "/var/run/secrets/kubernetes.io/serviceaccount"

/* A program that prints credentials (client.authentication.k8s.io). */
struct api_exec {
    const char *command, *api_version;
    const char *const *args;
    size_t n_args;
    const char *const *env; /* "NAME=VALUE" */
    size_t n_env;
    const char *install_hint;   /* or NULL */
    bool cluster_info;          /* it wants to know the cluster */
    const char *cluster_config; /* JSON that the cluster's entry has for it, or NULL */
};

struct api_config {
    const char *server;     /* "https://10.0.0.1:6443", without a final slash */
    const char *ca;         /* file of authorities, or NULL; ca_pem: their text */
    const char *cert, *key; /* of the client: files; cert_pem, key_pem: their texts */
    const char *ca_pem, *cert_pem, *key_pem;
    const char *server_name; /* in the server's certificate; NULL: the URL's host */
    bool insecure;           /* take any certificate */
    const char *proxy;       /* URL, or NULL */
    const char *token, *token_file;
    const char *user, *password;
    const char *as;        /* impersonated user, or NULL */
    struct api_exec *exec; /* or NULL */
    const char *namespace; /* of the context or the pod; "default" */
    const char *origin;    /* for errors: the files, or "in-cluster configuration" */
};

/* context NULL: the files' current-context. A file that does not exist is passed over when there
 * are several. */
int kubeconfig_load(const char *const *files, size_t n, const char *context, struct arena *a,
                    struct api_config *ret, struct err *e) must_check;
/* What KUBECONFIG names, or ~/.kube/config; returns how many. */
size_t kubeconfig_files(struct arena *a, const char *files[KUBECONFIG_FILES_MAX]);
/* From KUBERNETES_SERVICE_HOST and _PORT and the folder (NULL: SERVICE_ACCOUNT). */
int api_config_in_cluster(const char *folder, struct arena *a, struct api_config *ret,
                          struct err *e) must_check;
