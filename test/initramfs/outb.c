/* outb PORT VALUE: writes a byte to an I/O port, as root may who has nothing good in mind. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
    if (argc != 3 || iopl(3) != 0) {
        perror("outb PORT VALUE");
        return 1;
    }
    outb((unsigned char)strtoul(argv[2], NULL, 0), (unsigned short)strtoul(argv[1], NULL, 0));
    return 0;
}
