/* What a user may ask about himself: may I do this (`kubectl auth can-i`), what may I do
 * (`--list`), who am I (`kubectl auth whoami`). Nothing of it is kept. Source: Kubernetes API
 * reference, SelfSubjectAccessReview, SelfSubjectRulesReview, SelfSubjectReview. */
#pragma once

#include "registry/call.h"

/* Everybody who is known may ask. */
bool review_is(const struct request *q);
/* 0: answered; -1: the fault is set. */
int review_answer(struct call *c);
