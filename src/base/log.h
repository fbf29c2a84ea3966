/* The log: one line an event on standard output, "[LEVEL] text", no time stamp (the supervisor adds
 * one), which is what the tools around cluster DNS read. One write(2) a line, so lines of several
 * threads never mix. Rooms below cmd/ log only the events of long-lived loops. */
#pragma once

#include "base/cleanup.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_FATAL };

/* Lines below this level are dropped; the start value is LOG_INFO. Atomic, any thread. */
void log_set_level(enum log_level level);
/* 1 standard output (the start value) or 2 standard error. */
void log_set_fd(int fd);
void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
