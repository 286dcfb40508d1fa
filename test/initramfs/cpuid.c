/* cpuid LEAF [SUBLEAF]: prints the registers, and for the hypervisor's first leaf
 * the signature too. Runs as any user, as a program that looks for Keel would. */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: cpuid LEAF [SUBLEAF]\n");
        return 2;
    }
    unsigned int leaf = (unsigned int)strtoul(argv[1], NULL, 0);
    unsigned int subleaf = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 0;
    unsigned int eax, ebx, ecx, edx;
    __cpuid_count(leaf, subleaf, eax, ebx, ecx, edx);
    printf("cpuid %08x.%x: %08x %08x %08x %08x", leaf, subleaf, eax, ebx, ecx, edx);
    if (leaf == 0x40000000) {
        char signature[13] = "";
        memcpy(signature, &ebx, 4);
        memcpy(signature + 4, &ecx, 4);
        memcpy(signature + 8, &edx, 4);
        for (char *c = signature; c < signature + 12; c++)
            if (*c < ' ' || *c > '~')
                *c = '.';
        printf(" '%s'", signature);
    }
    printf("\n");
    return 0;
}
