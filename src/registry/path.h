/* Reading and writing documents by path: "spec.clusterIP". Parts of a path are member names; no
 * name with a dot in it can be reached. Everything accepts NULL. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

json_t *path_get(const json_t *doc, const char *path); /* borrowed; NULL: not there */
const char *path_text(const json_t *doc, const char *path);
/* Numbers and truth values as texts, too; "" when there is nothing. buf holds numbers. */
const char *path_show(const json_t *doc, const char *path, char buf[32]);
/* Takes over the value; objects on the way are made. */
void path_set(json_t *doc, const char *path, json_t *value);
void path_set_text(json_t *doc, const char *path, const char *text);
void path_delete(json_t *doc, const char *path);
/* Sets it unless there is a value already. */
void path_default(json_t *doc, const char *path, json_t *value);
void path_default_text(json_t *doc, const char *path, const char *text);
/* The member as an object that may be changed, made when it is not there. */
json_t *path_object(json_t *doc, const char *path);
