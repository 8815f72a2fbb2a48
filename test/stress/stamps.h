/* test/stress/stamps.h - which 8-byte granules of the address space live blocks cover: a
 * bit for each, so that no two blocks overlap unseen
 */
#ifndef TIDE_TEST_STAMPS_H
#define TIDE_TEST_STAMPS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "common.h"

enum { GRANULE_SHIFT = 3, LEAF_SHIFT = 22, ADDRESS_BITS = 47, WORD_BITS = 64 };
#define LEAF_GRANULES ((size_t)1 << (LEAF_SHIFT - GRANULE_SHIFT))

typedef _Atomic uint64_t stamp_word;
static _Atomic(stamp_word *) *leaves; /* one per 4 MiB of address space */

static void stamps_init(void)
{
    leaves = shadow_map(sizeof(*leaves) << (ADDRESS_BITS - LEAF_SHIFT));
}

static stamp_word *leaf_of(uintptr_t address)
{
    REQUIRE(address >> ADDRESS_BITS == 0, "address %#zx is none", (size_t)address);
    _Atomic(stamp_word *) *place = &leaves[address >> LEAF_SHIFT];
    stamp_word *leaf = atomic_load_explicit(place, memory_order_acquire);
    if (leaf != NULL)
        return leaf;
    size_t bytes = LEAF_GRANULES / 8;
    stamp_word *fresh = shadow_map(bytes);
    if (atomic_compare_exchange_strong(place, &leaf, fresh))
        return fresh;
    munmap(fresh, bytes);
    return leaf;
}

/* Sets or clears the bits of [from, to); those bits must all be the opposite. */
static void stamp(const void *block, size_t usable, bool live)
{
    uintptr_t at = (uintptr_t)block, to = at + (usable > 0 ? usable : 1);
    REQUIRE(at % ((size_t)1 << GRANULE_SHIFT) == 0, "block %p isn't aligned to 8", block);
    while (at < to) {
        size_t granule = at >> GRANULE_SHIFT, first = granule % WORD_BITS;
        size_t end = (to + 7) >> GRANULE_SHIFT;
        size_t count = end - granule < WORD_BITS - first ? end - granule : WORD_BITS - first;
        uint64_t mask = (count == WORD_BITS ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1) << first;
        stamp_word *word = &leaf_of(at)[granule % LEAF_GRANULES / WORD_BITS];
        uint64_t old = live ? atomic_fetch_or_explicit(word, mask, memory_order_relaxed)
                            : atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed);
        uint64_t wrong = live ? old & mask : ~old & mask;
        REQUIRE(wrong == 0, "block %p of %zu usable bytes %s at %#zx", block, usable,
                live ? "overlaps a live block" : "wasn't live", (size_t)at);
        at = (granule + count) << GRANULE_SHIFT;
    }
}

#endif
