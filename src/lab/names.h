/* The kinds of names that a cluster knows, each looked up for real inside a pod, with what was
 * expected taken from the objects. */
#pragma once

#include "lab/observer.h"

#include <stdio.h>

/* Prints a table. Fails, naming the line, when an answer is not what the objects say. */
int names_show(struct observer *o, FILE *out, struct err *e);
