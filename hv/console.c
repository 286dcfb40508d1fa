/* See console.h. */
#include "hv/console.h"

#include "drivers/uart.h"
#include "lib/log.h"

static struct options chosen;
static bool present;

static void write(const char *text, size_t length)
{
    uart_write(chosen.console_port, text, length);
}

void console_init(const struct options *options)
{
    chosen = *options;
    log_set_level(options->log_level);
    present = options->console_port != 0 && uart_init(options->console_port, options->console_baud);
    log_set_sink(present ? write : NULL);
}

void console_hand_over(void)
{
    if (!chosen.console_keep)
        log_set_sink(NULL);
}

void console_panic(void)
{
    if (!present)
        return;
    /* Linux can reach any port: it may have changed the speed, or left DLAB set. */
    (void)uart_init(chosen.console_port, chosen.console_baud);
    log_set_sink(write);
}
