/*
 * The guest's identity EPT, which is also the truth of who owns a page.
 * SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)".
 *
 * A leaf's software bits (55:52) hold the page's state. An entry that is not present holds
 * an owner in bits 61:56 and nothing else: no address, so nothing to speculate on.
 * Invariant: no page of Keel's home is ever present.
 */
#ifndef KEEL_MM_EPT_H
#define KEEL_MM_EPT_H

#include "lib/bits.h"
#include "lib/status.h"
#include "mm/memmap.h"
#include "mm/mtrr.h"
#include "mm/pt.h"

#define EPT_READ        BIT(0)
#define EPT_WRITE       BIT(1)
#define EPT_EXECUTE     BIT(2)
#define EPT_RWX         (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_MEMORY_TYPE MASK(5, 3)
#define EPT_LARGE       BIT(7)
#define EPT_ADDRESS     MASK(51, 12)
#define EPT_OWNER       MASK(61, 56)

enum ept_state {
    EPT_STATE_OWNED = 0 /* the guest's alone */
};

enum ept_owner {
    EPT_OWNER_NONE = 0,        /* not yet mapped: a hole above 4 GiB */
    EPT_OWNER_KEEL_PRIVATE = 1 /* Keel's image, tables, stacks: never given to anyone */
};

/* What the processor's EPT can do, from IA32_VMX_EPT_VPID_CAP and CPUID. */
struct ept_features {
    unsigned levels;        /* 4 or 5 */
    unsigned max_leaf;      /* 2: 2 MiB pages, 3: 1 GiB pages too */
    unsigned physical_bits; /* the guest can name addresses below 2^physical_bits */
};

struct ept {
    struct pt pt;
    struct ept_features features;
    const struct memmap *map; /* the firmware's, without Keel's reservation */
    const struct mtrrs *mtrrs;
    uint64_t home_start; /* Keel's own region: [home_start, home_start + home_size) */
    uint64_t home_size;
    uint64_t hole_tables; /* taken for holes since they were last forgotten */
};

/* Frames that tables for holes may take, beside those that ept_init() takes. */
#define EPT_HOLE_TABLES 32

/* Upper bound of the frames that ept_init() takes from the pool, the root included. */
uint64_t ept_tables_needed(const struct ept_features *features, const struct memmap *map,
                           const struct mtrrs *mtrrs);

/*
 * Builds the EPT: all below 4 GiB and all RAM above, identity, with the MTRRs' types;
 * Keel's home annotated as its own. *map and *mtrrs must stay as long as *ept does.
 * NO_MEMORY: the pool is too small.
 */
MUST_CHECK enum status ept_init(struct ept *ept, const struct ept_features *features,
                                const struct memmap *map, const struct mtrrs *mtrrs,
                                struct frame_pool *pool, uint64_t home_start, uint64_t home_size);

enum ept_fault {
    EPT_FAULT_MAPPED, /* the address is the guest's and present now: let it try again */
    EPT_FAULT_FULL, /* its hole needs tables and there are none: ept_forget_holes(), flush, again */
    EPT_FAULT_KEEL, /* the page is Keel's */
    EPT_FAULT_BEYOND /* no physical address: above 2^physical_bits */
};

/*
 * Resolves an EPT violation at address. A hole is mapped with the largest page that lies
 * wholly in it. Never changes an entry that is present: nothing is to be flushed.
 */
enum ept_fault ept_touch(struct ept *ept, gpa_t address);

/*
 * Unmaps all holes; they are mapped anew when they are touched. *flush is set (never cleared)
 * if there were any: every CPU must then drop its cached translations before anything else
 * is done to the EPT, since the tables that were freed are taken again.
 */
void ept_forget_holes(struct ept *ept, bool *flush);

/*
 * Follows the MTRRs after they have changed; the holes must have been forgotten. NO_MEMORY: a
 * part follows, the rest is as before; the tables for holes are still there.
 */
MUST_CHECK enum status ept_retype(struct ept *ept, bool *flush);

/* The VMCS's EPT pointer. SDM Vol. 3C, "Extended-Page-Table Pointer (EPTP)". */
uint64_t ept_pointer(const struct ept *ept);

#endif
