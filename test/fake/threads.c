/* See threads.h. All that is not marked atomic belongs to its thread, signals included. */
#define _GNU_SOURCE
#include "threads.h"

#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake.h"
#include "x86/ops.h"

struct cpu {
    pthread_t thread;
    void (*body)(void *);
    void *gs;
    uint32_t nmi;  /* atomic: one is latched */
    uint32_t kill; /* atomic */
    volatile bool blocked, in_guest, nmi_exit;
    bool started; /* atomic: thread can be asked for; the thread itself polls after this */
    bool ended;
    sigjmp_buf end;
};

void (*threads_nmi_handler)(void);
_Thread_local void *fake_gs_pointer;

static struct cpu cpus[THREADS_MAX];
static _Thread_local struct cpu *self;
static uint32_t failed;

void fake_reset(void)
{
    __atomic_store_n(&failed, 0, __ATOMIC_SEQ_CST);
}

void threads_fail(const char *file, int line, const char *condition)
{
    if (__atomic_exchange_n(&failed, 1, __ATOMIC_SEQ_CST) == 0)
        printf("%s:%d: %s\n", file, line, condition);
}

bool threads_failed(void)
{
    return __atomic_load_n(&failed, __ATOMIC_SEQ_CST) != 0;
}

void threads_set_limit(unsigned seconds)
{
    alarm(seconds);
}

void threads_poll(void)
{
    while (self != NULL && !self->blocked &&
           __atomic_exchange_n(&self->nmi, 0, __ATOMIC_SEQ_CST) != 0) {
        self->blocked = true;
        if (self->in_guest) {
            self->nmi_exit = true;
            return; /* blocked until root mode unblocks them */
        }
        threads_nmi_handler();
        self->blocked = false; /* the handler's IRET */
    }
}

void threads_send_nmi(unsigned index)
{
    __atomic_store_n(&cpus[index].nmi, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cpus[index].started, __ATOMIC_SEQ_CST))
        nmi_interrupt(cpus[index].thread);
}

void threads_enter_guest(void)
{
    self->in_guest = true;
    threads_poll();
}

bool threads_nmi_exit(void)
{
    return self->nmi_exit;
}

bool threads_leave_guest(void)
{
    self->in_guest = false;
    bool nmi_exit = self->nmi_exit;
    self->nmi_exit = false;
    return nmi_exit;
}

void threads_block_nmi(void)
{
    self->blocked = true;
}

bool threads_nmi_latched(void)
{
    return __atomic_load_n(&self->nmi, __ATOMIC_SEQ_CST) != 0;
}

static void *run(void *argument)
{
    self = argument;
    fake_gs_pointer = self->gs;
    while (!__atomic_load_n(&self->started, __ATOMIC_SEQ_CST))
        sched_yield();
    if (sigsetjmp(self->end, 1) == 0) {
        threads_poll();
        self->body(self->gs);
    } else {
        self->ended = true;
    }
    self->blocked = true;
    return NULL;
}

void threads_start(unsigned index, void (*body)(void *), void *gs)
{
    struct cpu *cpu = &cpus[index];
    nmi_prepare();
    __atomic_store_n(&cpu->nmi, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->kill, 0, __ATOMIC_SEQ_CST);
    cpu->body = body;
    cpu->gs = gs;
    cpu->blocked = cpu->in_guest = cpu->nmi_exit = cpu->ended = false;
    __atomic_store_n(&cpu->started, false, __ATOMIC_SEQ_CST);
    if (pthread_create(&cpu->thread, NULL, run, cpu) != 0)
        abort();
    __atomic_store_n(&cpu->started, true, __ATOMIC_SEQ_CST);
}

bool threads_join(unsigned index)
{
    pthread_join(cpus[index].thread, NULL);
    return cpus[index].ended;
}

void threads_kill(unsigned index)
{
    __atomic_store_n(&cpus[index].kill, 1, __ATOMIC_SEQ_CST);
}

void *ops_gs_pointer(void)
{
    return fake_gs_pointer;
}

void ops_pause(void)
{
    threads_poll();
    if (self != NULL && __atomic_load_n(&self->kill, __ATOMIC_SEQ_CST) != 0)
        siglongjmp(self->end, 1);
    sched_yield();
}

void ops_unblock_nmi(void)
{
    self->blocked = false;
    threads_poll();
}

void ops_halt_forever(void)
{
    siglongjmp(self->end, 1);
}
