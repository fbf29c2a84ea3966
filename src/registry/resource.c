#include "registry/resource.h"

#include <stdio.h>
#include <string.h>

const struct resource *resource_find(const char *group, const char *version, const char *name)
{
    for (size_t i = 0; i < n_resources; i++)
        if (strcmp(resources[i].name, name) == 0 && strcmp(resources[i].group, group) == 0 &&
            strcmp(resources[i].version, version) == 0)
            return &resources[i];
    return NULL;
}

const struct resource *resource_of_kind(const char *api_version, const char *kind)
{
    for (size_t i = 0; i < n_resources; i++)
        if (strcmp(resources[i].kind, kind) == 0 &&
            strcmp(resource_api_version(&resources[i]), api_version) == 0)
            return &resources[i];
    return NULL;
}

const struct schema_type *resource_type(const struct resource *r)
{
    return schema_type(r->type_name);
}

/* Made once for each row; the control thread alone asks. */
const char *resource_api_version(const struct resource *r)
{
    static char texts[RESOURCES_MAX][64];
    char *text = texts[r - resources];
    if (!*text)
        (void)snprintf(text, sizeof texts[0], *r->group ? "%s/%s" : "%s%s", r->group, r->version);
    return text;
}

const char *const *resource_groups(size_t *ret_n)
{
    static const char *groups[RESOURCES_MAX];
    static size_t n;
    for (size_t i = 0; n == 0 && i < n_resources; i++) {
        size_t k = 0;
        size_t known = 0;
        while (groups[known])
            known++;
        while (k < known && strcmp(groups[k], resources[i].group) != 0)
            k++;
        if (k == known)
            groups[known] = resources[i].group;
    }
    while (groups[n])
        n++;
    *ret_n = n;
    return groups;
}
