/* The lab's own API server: a Pod of the folder that has the lab's folder of credentials to write
 * (a hostPath volume OWN_API_FOLDER), as `signpost up --credentials OWN_API_FOLDER` does. As soon
 * as it serves, that is when it has left its admin.conf there, the lab publishes its objects to it,
 * follows what others do to them, and opens a door for a kubectl outside.
 *
 * Pods that have the folder to read only are clients of that API, and are started when it answers.
 *
 * On the lab's loop, part of the kubelet. */
#pragma once

#include "lab/kubelet.h"

#define OWN_API_FOLDER "/var/lib/signpost/api"

/* Of the folder of manifests. */
bool own_api_is_wanted(const struct kubelet *k);
/* It has to wait for the API. */
bool own_api_holds_back(const struct kubelet *k, json_t *pod);
/* Connects to it when it is there and nobody has done so yet. */
void own_api_connect(struct kubelet *k);
/* It has given a first answer, or changes nothing if it had. */
void own_api_answered(struct kubelet *k);
/* Namespaces that are only named by what is in them: an API server wants them to be there. */
void own_api_put_namespaces(struct kubelet *k);
