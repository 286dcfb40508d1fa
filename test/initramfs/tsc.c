/* Prints the time-stamp counter: the first thing that runs in the guest, so that
 * boots can be compared to the tick. No C library, so that nothing runs before. */

static long write_out(const char *text, unsigned long length)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(1L), "D"(1L), "S"(text), "d"(length)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((noreturn)) static void leave(void)
{
    for (;;)
        __asm__ volatile("syscall" : : "a"(60L), "D"(0L) : "rcx", "r11", "memory");
}

/* The kernel enters with an aligned stack and no return address: not as a C caller does. */
__attribute__((noreturn, force_align_arg_pointer)) void _start(void)
{
    unsigned int low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    unsigned long ticks = ((unsigned long)high << 32) | low;

    char text[] = "init tsc                     \n";
    char *end = text + sizeof(text) - 2;
    do {
        *--end = (char)('0' + ticks % 10);
    } while (ticks /= 10);

    /* Shift the digits to just after the words. */
    char *to = text + 9;
    while (end < text + sizeof(text) - 2)
        *to++ = *end++;
    *to++ = '\n';
    write_out(text, (unsigned long)(to - text));
    leave();
}
