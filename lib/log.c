/* See log.h. The lock is the innermost of all: nothing is called under it but the sink. */
#include "lib/log.h"

#include "lib/format.h"
#include "lib/lock.h"

static char ring[LOG_RING_SIZE];
static uint64_t ring_written; /* bytes ever written; the next goes to this modulo the size */
static struct lock ring_lock;
static bool panicking;
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

    if (!panicking)
        lock_acquire(&ring_lock);
    for (size_t i = 0; i < length; i++)
        ring[ring_written++ % LOG_RING_SIZE] = line[i];
    if (sink != NULL && log_enabled(level))
        sink(line, length);
    if (!panicking)
        lock_release(&ring_lock);
}

void log_panic(void)
{
    panicking = true;
}

bool log_limited(struct log_limit *limit)
{
    uint32_t left = __atomic_load_n(&limit->left, __ATOMIC_RELAXED);
    while (left > 0) {
        if (__atomic_compare_exchange_n(&limit->left, &left, left - 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}
