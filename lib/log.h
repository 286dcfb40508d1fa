/*
 * The log: every line goes to a ring in memory, and those at or above the chosen level to
 * whatever console the top has given it. Nothing the guest does may call log_line()
 * without a limit: see log_limited().
 */
#ifndef KEEL_LIB_LOG_H
#define KEEL_LIB_LOG_H

#include "lib/types.h"

enum log_level {
    LOG_ERROR,   /* Keel stops, or the guest is stopped */
    LOG_WARNING, /* it goes on, but not as the owner of the machine may expect */
    LOG_INFO,    /* once per boot: what was found, what was chosen */
    LOG_DEBUG    /* for those who change Keel */
};

#define LOG_RING_SIZE 16384
#define LOG_LINE_SIZE 256

/* Where lines go, level and newline included. The top defines what it does. */
typedef void (*log_sink_fn)(const char *text, size_t length);

/* A sink of NULL keeps the lines in the ring only. */
void log_set_sink(log_sink_fn sink);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* From now on no lock is taken: its holder may have been stopped. For a panic. */
void log_panic(void);

/* One line; the newline is added, and a line longer than LOG_LINE_SIZE is cut. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * A budget for lines that the guest can cause: true while lines are left. The caller
 * says "further ones are counted only" in the line that took the last.
 */
struct log_limit {
    uint32_t left;
};

bool log_limited(struct log_limit *limit);

#endif
