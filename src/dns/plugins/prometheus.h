/* Private to the plugin. */
#pragma once

/* Registers the process_* metrics: what the system knows of this process, read at each scrape. Once
 * a process. */
void prometheus_process_metrics(void);
