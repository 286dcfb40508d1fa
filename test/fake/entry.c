/* What vmx/entry.S gives on the machine: no host test enters a guest. */
#include "lib/panic.h"
#include "vmx/vcpu.h"

uint64_t vmx_enter(struct vcpu *vcpu);
extern const char vmx_exit[];

const char vmx_exit[1] = {0};

uint64_t vmx_enter(struct vcpu *vcpu)
{
    panic("fake: a guest cannot run here (%p)", (void *)vcpu);
}
