/* What `kubectl get` shows of each kind: the rows of the resources point here. */
#pragma once

#include "registry/resource.h"

extern const struct column columns_namespace[], columns_node[], columns_pod[], columns_service[],
    columns_endpoints[], columns_config_map[], columns_event[], columns_service_account[],
    columns_lease[], columns_slice[], columns_service_cidr[], columns_ip_address[];
