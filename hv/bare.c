/* Starting Linux without Keel: see launch.h and bare.S. */
#include "hv/launch.h"
#include "lib/panic.h"
#include "lib/string.h"
#include "mm/phys.h"

extern const uint8_t bare_start[], bare_end[];

void run_bare(const struct guest_entry *entry)
{
    uint64_t page = entry->spare_page;
    uint64_t size = (uint64_t)(bare_end - bare_start);
    const struct table_pointer pointer = {entry->gdt_limit, entry->gdt_base};

    phys_write(HPA(page), bare_start, size);
    phys_write(HPA(page + size), &pointer, sizeof(pointer));
    if (space_map_identity(page) != STATUS_OK)
        panic("no frame is left to map the jump to Linux");

    register uint64_t pointer_at __asm__("r8") = page + size;
    __asm__ volatile("jmp *%%rdi"
                     :
                     : "D"(page), "S"(entry->rsi), "d"(entry->cr3), "c"(entry->rip), "r"(pointer_at)
                     : "memory");
    __builtin_unreachable();
}
