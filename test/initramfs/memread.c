/* memread read|mmap ADDRESS LENGTH TIMES: tries to read physical memory through
 * /dev/mem, and says how many bytes were seen and what stopped it. Used to show
 * that root in the guest cannot see Keel's memory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_ERRNO = 256 };

static sigjmp_buf after_fault;
static bool errno_seen[MAX_ERRNO];
static unsigned long bytes, zero_bytes, faults, errors;

static void on_fault(int signal_number)
{
    siglongjmp(after_fault, signal_number);
}

static void note_errno(const char *what)
{
    errors++;
    if (errno < MAX_ERRNO && !errno_seen[errno]) {
        errno_seen[errno] = true;
        printf("memread: %s: %s\n", what, strerror(errno));
    }
}

static void note_fault(int signal_number)
{
    if (faults++ == 0)
        printf("memread: fault: %s\n", strsignal(signal_number));
}

static void count(const unsigned char *page, size_t length)
{
    for (size_t i = 0; i < length; i++)
        zero_bytes += page[i] == 0;
    bytes += length;
}

/* Page by page, so that one refused page does not hide a readable one behind it. */
static void try_read(int fd, uint64_t address, uint64_t length)
{
    static unsigned char page[PAGE];
    for (uint64_t at = address; at < address + length; at += PAGE) {
        ssize_t got = pread(fd, page, PAGE, (off_t)at);
        if (got < 0)
            note_errno("read");
        else
            count(page, (size_t)got);
    }
}

static void try_mmap(int fd, uint64_t address, uint64_t length)
{
    unsigned char *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)address);
    if (map == MAP_FAILED) {
        note_errno("mmap");
        return;
    }
    for (volatile uint64_t at = 0; at < length; at += PAGE) {
        static unsigned char page[PAGE];
        int signal_number = sigsetjmp(after_fault, 1);
        if (signal_number) {
            note_fault(signal_number);
            continue;
        }
        memcpy(page, map + at, PAGE);
        count(page, PAGE);
    }
    munmap(map, length);
}

int main(int argc, char **argv)
{
    if (argc != 5 || (strcmp(argv[1], "read") && strcmp(argv[1], "mmap"))) {
        fprintf(stderr, "usage: memread read|mmap ADDRESS LENGTH TIMES\n");
        return 2;
    }
    uint64_t address = strtoull(argv[2], NULL, 0);
    uint64_t length = strtoull(argv[3], NULL, 0);
    unsigned long times = strtoul(argv[4], NULL, 0);

    int fd = open("/dev/mem", O_RDONLY);
    if (fd < 0) {
        fprintf(stderr, "memread: /dev/mem: %s\n", strerror(errno));
        return 1;
    }
    struct sigaction action = { .sa_handler = on_fault };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);

    for (unsigned long i = 0; i < times; i++)
        if (argv[1][0] == 'r')
            try_read(fd, address, length);
        else
            try_mmap(fd, address, length);

    printf("memread: %s of 0x%llx bytes at 0x%llx, %lu times: "
           "%lu bytes seen, %lu of them zero, %lu errors, %lu faults\n",
           argv[1], (unsigned long long)length, (unsigned long long)address, times,
           bytes, zero_bytes, errors, faults);
    return 0;
}
