/* A Pod manifest as pod_dns.h wants it. */
#pragma once

#include "client/pod_dns.h"

struct tree;

/* From a Pod, or from a template of the same shape (`metadata`, `spec`, `status`). Values of the
 * wrong kind are errors that name their place; `file` is for their text. Strings lie in `a` and in
 * the tree. */
int pod_manifest_read(const struct tree *pod, const char *file, struct arena *a,
                      struct pod_dns *ret, struct err *e) must_check;

#define POD_MANIFEST_MAX (16 << 20) /* bytes of a file */

#define POD_FOLDER_DEPTH_MAX 20 /* folders inside of folders */

/* The Pod of a file ("-": standard input) of YAML or JSON, of any number of documents and Lists, or
 * of all *.yaml, *.yml and *.json below a folder (hidden ones are left out).
 * which: "NAME" or "NAMESPACE/NAME"; NULL when the file has only one. Other kinds are passed over;
 * templates of workloads are not Pods. */
int pod_manifest_load(const char *path, const char *which, struct arena *a, struct pod_dns *ret,
                      struct err *e) must_check;
