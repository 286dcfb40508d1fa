/* See log.h. One CPU logs at a time for now: the ring has no lock. */
#include "lib/log.h"

#include "lib/format.h"

static char ring[LOG_RING_SIZE];
static uint64_t ring_written; /* bytes ever written; the next goes to this modulo the size */
static log_sink_fn sink;
static enum log_level console_level = LOG_INFO;

void log_set_sink(log_sink_fn new_sink)
{
    sink = new_sink;
}

void log_set_level(enum log_level level)
{
    console_level = level;
}

bool log_enabled(enum log_level level)
{
    return level <= console_level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const prefix[] = {
        [LOG_ERROR] = "keel: error: ",
        [LOG_WARNING] = "keel: warning: ",
        [LOG_INFO] = "keel: ",
        [LOG_DEBUG] = "keel: ",
    };
    char line[LOG_LINE_SIZE];
    size_t length = format(line, sizeof(line), "%s", prefix[level]);
    va_list args;
    va_start(args, fmt);
    length += format_v(line + length, sizeof(line) - 1 - length, fmt, args);
    va_end(args);
    line[length++] = '\n';

    for (size_t i = 0; i < length; i++)
        ring[ring_written++ % LOG_RING_SIZE] = line[i];
    if (sink != NULL && log_enabled(level))
        sink(line, length);
}

bool log_limited(struct log_limit *limit)
{
    if (limit->left == 0)
        return false;
    limit->left--;
    return true;
}
