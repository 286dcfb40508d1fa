/* See registers.h. */
#define _GNU_SOURCE
#include "registers.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define ERROR_WRITE 2
#define FLAG_TRAP   0x100

static const struct fake_registers *model;
static uint8_t *page;
static unsigned offset;
static bool writing;

static void call(void (*function)(uint8_t *, unsigned))
{
    if (function != NULL)
        function(page, offset);
}

static void open_page(bool open)
{
    if (mprotect(page, PAGE_SIZE, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t address = (uintptr_t)info->si_addr;

    if (address - (uintptr_t)page >= PAGE_SIZE) {
        signal(number, SIG_DFL); /* it is not ours: the instruction faults again */
        return;
    }
    offset = (unsigned)(address - (uintptr_t)page);
    writing = (regs[REG_ERR] & ERROR_WRITE) != 0;
    open_page(true);
    call(writing ? model->before_write : model->before_read);
    regs[REG_EFL] |= FLAG_TRAP;
}

static void on_step(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~FLAG_TRAP;
    if (writing)
        call(model->after_write);
    open_page(false);
}

uint8_t *fake_registers_start(const struct fake_registers *new_model)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

    if (page == NULL)
        page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || sigaction(SIGSEGV, &fault, NULL) != 0 ||
        sigaction(SIGTRAP, &step, NULL) != 0)
        abort();
    model = new_model;
    open_page(true);
    memset(page, 0, PAGE_SIZE);
    return page;
}

void fake_registers_watch(bool watch)
{
    open_page(!watch);
}
