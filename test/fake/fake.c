/* The fake hardware: see fake.h, and x86/ops.h beside it. */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

#include "lib/panic.h"
#include "x86/ops.h"

struct fake fake;

static struct fake_map msrs, read_only_msrs, cpuid_low, cpuid_high, vmcs, absent_vmcs;

static uint64_t *map_find(struct fake_map *map, uint64_t key)
{
    for (unsigned i = 0; i < map->count; i++) {
        if (map->entry[i].key == key)
            return &map->entry[i].value;
    }
    return NULL;
}

static void map_set(struct fake_map *map, uint64_t key, uint64_t value)
{
    uint64_t *slot = map_find(map, key);
    if (slot == NULL) {
        if (map->count == FAKE_MAP_MAX)
            abort();
        map->entry[map->count].key = key;
        slot = &map->entry[map->count++].value;
    }
    *slot = value;
}

static void map_remove(struct fake_map *map, uint64_t key)
{
    for (unsigned i = 0; i < map->count; i++) {
        if (map->entry[i].key == key)
            map->entry[i--] = map->entry[--map->count];
    }
}

static uint64_t map_get(struct fake_map *map, uint64_t key)
{
    const uint64_t *slot = map_find(map, key);
    return slot != NULL ? *slot : 0;
}

void fake_reset(void)
{
    unsigned stores = fake.stores, ports = fake.ports;
    memset(&fake, 0, offsetof(struct fake, store));
    memset(fake.store, 0, stores * sizeof(fake.store[0]));
    memset(fake.port, 0, ports * sizeof(fake.port[0]));
    msrs.count = read_only_msrs.count = cpuid_low.count = cpuid_high.count = 0;
    vmcs.count = absent_vmcs.count = 0;
}

void fake_set_msr(uint32_t msr, uint64_t value)
{
    map_set(&msrs, msr, value);
    map_remove(&read_only_msrs, msr);
}

void fake_set_msr_read_only(uint32_t msr, uint64_t value)
{
    map_set(&msrs, msr, value);
    map_set(&read_only_msrs, msr, 1);
}

void fake_remove_msr(uint32_t msr)
{
    map_remove(&msrs, msr);
}

uint64_t fake_msr(uint32_t msr)
{
    return ops_rdmsr(msr);
}

struct cpuid_regs ops_cpuid(uint32_t leaf, uint32_t subleaf)
{
    uint64_t key = (uint64_t)leaf << 32 | subleaf;
    uint64_t low = map_get(&cpuid_low, key), high = map_get(&cpuid_high, key);
    return (struct cpuid_regs){(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high,
                               (uint32_t)(high >> 32)};
}

void fake_set_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
                    uint32_t edx)
{
    uint64_t key = (uint64_t)leaf << 32 | subleaf;
    map_set(&cpuid_low, key, (uint64_t)ebx << 32 | eax);
    map_set(&cpuid_high, key, (uint64_t)edx << 32 | ecx);
}

bool ops_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    *value = map_get(&msrs, msr);
    return map_find(&msrs, msr) != NULL;
}

bool ops_wrmsr_safe(uint32_t msr, uint64_t value)
{
    if (map_find(&msrs, msr) == NULL || map_find(&read_only_msrs, msr) != NULL)
        return false;
    map_set(&msrs, msr, value);
    return true;
}

uint64_t ops_rdmsr(uint32_t msr)
{
    uint64_t value;
    if (!ops_rdmsr_safe(msr, &value))
        panic("fake: RDMSR of 0x%x faults", msr);
    return value;
}

void ops_wrmsr(uint32_t msr, uint64_t value)
{
    if (!ops_wrmsr_safe(msr, value))
        panic("fake: WRMSR of 0x%x faults", msr);
}

bool ops_xsetbv_safe(uint32_t xcr, uint64_t value)
{
    if (xcr != 0 || fake.xsetbv_faults)
        return false;
    fake.xcr0 = value;
    return true;
}

#define FAKE_REGISTER(name)               \
    uint64_t ops_read_##name(void)        \
    {                                     \
        return fake.name;                 \
    }                                     \
    void ops_write_##name(uint64_t value) \
    {                                     \
        fake.name = value;                \
    }

FAKE_REGISTER(cr0)
FAKE_REGISTER(cr2)
FAKE_REGISTER(cr3)
FAKE_REGISTER(cr4)
FAKE_REGISTER(dr0)
FAKE_REGISTER(dr1)
FAKE_REGISTER(dr2)
FAKE_REGISTER(dr3)
FAKE_REGISTER(dr6)
FAKE_REGISTER(dr7)

void ops_invlpg(uintptr_t address)
{
    (void)address;
    fake.invlpgs++;
}

_Thread_local void *fake_gs_pointer;

void *ops_gs_pointer(void)
{
    return fake_gs_pointer;
}

void ops_take_interrupts(void)
{
}

void ops_unblock_nmi(void)
{
    fake.nmi_unblocks++;
    if (fake.on_unblock_nmi != NULL)
        fake.on_unblock_nmi();
}

void ops_wbinvd(void)
{
    fake.wbinvds++;
}

void ops_pause(void)
{
    fake.pauses++;
}

uint64_t ops_rdtsc(void)
{
    return fake.tsc++;
}

void ops_halt_forever(void)
{
    panic("fake: halted");
}

static void log_port(bool out, unsigned size, uint16_t port, uint32_t value)
{
    if (fake.ports == FAKE_LOG_MAX)
        panic("fake: the port log is full");
    fake.port[fake.ports++] = (struct fake_port){out, size, port, value};
}

#define FAKE_PORT(bits, type)                                                                   \
    type ops_in##bits(uint16_t port)                                                            \
    {                                                                                           \
        type value = fake.port_in != NULL ? (type)fake.port_in(port, sizeof(type)) : (type)~0u; \
        log_port(false, sizeof(type), port, value);                                             \
        return value;                                                                           \
    }                                                                                           \
    void ops_out##bits(uint16_t port, type value)                                               \
    {                                                                                           \
        log_port(true, sizeof(type), port, value);                                              \
    }

FAKE_PORT(8, uint8_t)
FAKE_PORT(16, uint16_t)
FAKE_PORT(32, uint32_t)

/* A full log counts on without keeping: a test that rewinds must check fake.stores first. */
void ops_store64(volatile uint64_t *to, uint64_t value)
{
    if (fake.stores < FAKE_LOG_MAX)
        fake.store[fake.stores++] = (struct fake_store){to, *to, value};
    *to = value;
}

void fake_undo_store(unsigned index)
{
    *fake.store[index].address = fake.store[index].old;
}

void fake_redo_store(unsigned index)
{
    *fake.store[index].address = fake.store[index].new;
}

bool ops_vmxon(hpa_t region)
{
    (void)region;
    fake.vmx_on = !fake.vmx_fails;
    return fake.vmx_on;
}

void ops_vmxoff(void)
{
    fake.vmx_on = false;
}

bool ops_vmclear(hpa_t region)
{
    if (fake.current_vmcs == region.value)
        fake.current_vmcs = 0;
    return !fake.vmx_fails;
}

bool ops_vmptrld(hpa_t region)
{
    if (fake.vmx_fails)
        return false;
    fake.current_vmcs = region.value;
    return true;
}

void fake_set_vmcs(uint64_t field, uint64_t value)
{
    map_set(&vmcs, field, value);
    map_remove(&absent_vmcs, field);
}

void fake_remove_vmcs(uint64_t field)
{
    map_remove(&vmcs, field);
    map_set(&absent_vmcs, field, 1);
}

uint64_t fake_vmcs(uint64_t field)
{
    return map_get(&vmcs, field);
}

bool ops_vmread(uint64_t field, uint64_t *value)
{
    if (map_find(&absent_vmcs, field) != NULL)
        return false;
    *value = map_get(&vmcs, field);
    return true;
}

bool ops_vmwrite(uint64_t field, uint64_t value)
{
    if (map_find(&absent_vmcs, field) != NULL)
        return false;
    map_set(&vmcs, field, value);
    return true;
}

bool ops_invept(uint64_t type, uint64_t eptp)
{
    fake.invepts++;
    fake.invept_type = type;
    fake.invept_eptp = eptp;
    return !fake.vmx_fails;
}
