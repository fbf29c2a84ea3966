#include "registry/review.h"

#include "base/str.h"
#include "registry/access.h"
#include "registry/negotiate.h"
#include "registry/path.h"
#include "registry/value.h"

#define AUTHORIZATION  "authorization.k8s.io"
#define AUTHENTICATION "authentication.k8s.io"

enum review_kind { REVIEW_ACCESS, REVIEW_RULES, REVIEW_SELF, REVIEW_NONE };

static const struct {
    const char *group, *name, *kind;
} reviews[] = {
    [REVIEW_ACCESS] = { AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview" },
    [REVIEW_RULES] = { AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview" },
    [REVIEW_SELF] = { AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview" },
};

static enum review_kind kind_of(const struct request *q)
{
    unsigned i = 0;
    bool fits = q->n_parts == 4 && str_eq(q->version, "v1") && str_eq(q->method, "POST");
    while (i < REVIEW_NONE &&
           (!fits || !str_eq(q->group, reviews[i].group) || !str_eq(q->parts[3], reviews[i].name)))
        i++;
    return (enum review_kind)i;
}

bool review_is(const struct request *q)
{
    return kind_of(q) != REVIEW_NONE;
}

/* Where nobody is asked who he is (plain HTTP on loopback), everybody may do all. */
static bool may_write(const struct call *c)
{
    return !c->user || c->user->admin;
}

static bool is_reading(const char *verb)
{
    static const char *const verbs[] = { "get", "list", "watch", "head", NULL };
    return value_is_one_of(verb, verbs);
}

static json_t *access_status(struct call *c, const json_t *doc)
{
    const json_t *resource = path_get(doc, "spec.resourceAttributes");
    const json_t *other = path_get(doc, "spec.nonResourceAttributes");
    if (!resource == !other) {
        fault_set(&c->fault, 422, "Invalid",
                  "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or "
                  "resourceAttributes must be specified");
        return NULL;
    }
    bool allowed = may_write(c) || is_reading(path_text(resource ? resource : other, "verb"));
    json_t *status = json_pack("{s:b}", "allowed", allowed);
    if (!allowed)
        json_object_set_new(status, "reason",
                            json_string("only members of " ACCESS_ADMIN " may write"));
    return status;
}

static json_t *rules_status(struct call *c, const json_t *doc)
{
    const char *namespace = path_text(doc, "spec.namespace");
    if (!namespace || !*namespace) {
        fault_bad_request(&c->fault, "no namespace on request");
        return NULL;
    }
    json_t *verbs =
        may_write(c) ? json_pack("[s]", "*") : json_pack("[s, s, s]", "get", "list", "watch");
    json_t *status =
        json_pack("{s:[{s:O, s:[s], s:[s]}], s:[{s:O, s:[s]}], s:b}", "resourceRules", "verbs",
                  verbs, "apiGroups", "*", "resources", "*", "nonResourceRules", "verbs", verbs,
                  "nonResourceURLs", "*", "incomplete", 0);
    json_decref(verbs);
    return status;
}

static json_t *self_status(const struct call *c)
{
    json_t *groups = json_array();
    const struct user *u = c->user;
    for (unsigned i = 0; u && i < u->n_groups; i++)
        json_array_append_new(groups, json_string(u->groups[i]));
    if (!u)
        json_array_append_new(groups, json_string(ACCESS_ADMIN));
    json_array_append_new(groups, json_string("system:authenticated"));
    json_t *info =
        json_pack("{s:s, s:o}", "username", u ? u->name : "system:unsecured", "groups", groups);
    if (u && u->uid && *u->uid)
        json_object_set_new(info, "uid", json_string(u->uid));
    return json_pack("{s:o}", "userInfo", info);
}

static json_t *status_of(struct call *c, enum review_kind kind, const json_t *doc)
{
    if (kind == REVIEW_SELF)
        return self_status(c);
    return kind == REVIEW_RULES ? rules_status(c, doc) : access_status(c, doc);
}

int review_answer(struct call *c)
{
    enum review_kind kind = kind_of(&c->request);
    json_t *doc;
    char version[64];
    if (wish_read(call_header(c, "accept"), &c->wish, &c->fault) < 0 ||
        body_read(call_header(c, "content-type"), c->given, c->given_len, &doc, &c->fault) < 0)
        return -1;
    json_t *status = status_of(c, kind, doc);
    if (!status) {
        json_decref(doc);
        return -1;
    }
    (void)snprintf(version, sizeof version, "%s/v1", reviews[kind].group);
    json_t *made = json_pack("{s:s, s:s, s:{}}", "kind", reviews[kind].kind, "apiVersion", version,
                             "metadata");
    if (json_object_get(doc, "spec"))
        json_object_set(made, "spec", json_object_get(doc, "spec"));
    json_object_set_new(made, "status", status);
    json_decref(doc);
    call_answer(c, 201, made);
    return 0;
}
