/* See uart.h. Register names as in the PC16550D's data sheet. */
#include "drivers/uart.h"

#include "x86/ops.h"

enum uart_register {
    UART_THR = 0, /* transmit; the divisor's low byte while DLAB is set */
    UART_IER = 1, /* interrupt enable; the divisor's high byte while DLAB is set */
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_SCR = 7 /* scratch */
};

#define LCR_8N1     0x03
#define LCR_DLAB    0x80
#define MCR_DTR_RTS 0x03
#define LSR_THRE    0x20 /* room for a byte */
#define MAX_BAUD    115200

/* Some milliseconds on any machine, a byte's time at 9600 baud many times over. */
#define WAIT_LIMIT 1000000

static uint16_t at(uint16_t port, enum uart_register reg)
{
    return (uint16_t)(port + reg);
}

bool uart_init(uint16_t port, uint32_t baud)
{
    uint32_t divisor = MAX_BAUD / baud;

    ops_out8(at(port, UART_SCR), 0x5a);
    if (ops_in8(at(port, UART_SCR)) != 0x5a)
        return false;
    ops_out8(at(port, UART_IER), 0);
    ops_out8(at(port, UART_LCR), LCR_DLAB);
    ops_out8(at(port, UART_THR), (uint8_t)divisor);
    ops_out8(at(port, UART_IER), (uint8_t)(divisor >> 8));
    ops_out8(at(port, UART_LCR), LCR_8N1);
    ops_out8(at(port, UART_FCR), 0);
    ops_out8(at(port, UART_MCR), MCR_DTR_RTS);
    return true;
}

static void write_byte(uint16_t port, uint8_t byte)
{
    for (unsigned i = 0; i < WAIT_LIMIT; i++) {
        if ((ops_in8(at(port, UART_LSR)) & LSR_THRE) != 0)
            break;
        ops_pause();
    }
    ops_out8(at(port, UART_THR), byte);
}

void uart_write(uint16_t port, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            write_byte(port, '\r');
        write_byte(port, (uint8_t)text[i]);
    }
}
