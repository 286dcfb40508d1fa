/* A 16550-compatible serial port, output only, polled. */
#ifndef KEEL_DRIVERS_UART_H
#define KEEL_DRIVERS_UART_H

#include "lib/types.h"

/* Programs the port: 8 data bits, no parity, 1 stop bit. baud divides 115200. False: no UART is
 * there. */
bool uart_init(uint16_t port, uint32_t baud);

/* Writes text, "\n" as "\r\n". Waits for the port, but not for ever. */
void uart_write(uint16_t port, const char *text, size_t length);

#endif
