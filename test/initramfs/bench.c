/* bench: prints what two things cost, in ticks of the time-stamp counter: CPUID, net of
 * the loop around it, and the start of programs that do nothing. */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

enum { CPUIDS = 100, BATCHES = 100, PROGRAMS = 200 };

/* Ticks of a loop around the instruction. In assembly, so that nothing else can differ. */
#define LOOP_TICKS(instruction)                                                       \
    ({                                                                                \
        uint64_t times = CPUIDS, start = __rdtsc();                                   \
        __asm__ volatile("1: xor %%eax, %%eax\n xor %%ecx, %%ecx\n" instruction "\n"  \
                         "dec %0\n jnz 1b"                                            \
                         : "+r"(times) : : "eax", "ebx", "ecx", "edx", "cc");         \
        __rdtsc() - start;                                                            \
    })

static void measure_cpuid(void)
{
    uint64_t with = UINT64_MAX, without = UINT64_MAX;
    /* The least is the one that no interrupt came into. */
    for (int i = 0; i < BATCHES; i++) {
        uint64_t ticks = LOOP_TICKS("cpuid");
        with = ticks < with ? ticks : with;
        ticks = LOOP_TICKS("");
        without = ticks < without ? ticks : without;
    }
    /* Rounded: Bochs's counter is a few instructions off inside a loop. */
    printf("bench cpuid %llu\n",
           (unsigned long long)((with - without + CPUIDS / 2) / CPUIDS));
}

static int measure_programs(void)
{
    uint64_t start = __rdtsc();
    for (int i = 0; i < PROGRAMS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            execl("/bin/busybox", "true", (char *)NULL);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
            fprintf(stderr, "bench: starting /bin/busybox failed\n");
            return 1;
        }
    }
    printf("bench programs %llu\n", (unsigned long long)(__rdtsc() - start));
    return 0;
}

int main(void)
{
    measure_cpuid();
    return measure_programs();
}
