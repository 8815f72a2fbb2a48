/* large/cache.c - see cache.h.  A slot's word is a block's record and, in the bits that
 * addresses don't need, what makes it suit a request: so a word that is still there when it
 * is replaced is all that needs to be known of the block, whoever had it meanwhile. */
#include "large/cache.h"

#include <errno.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/geometry.h"
#include "os/map.h"
#include "store/grow.h"
#include "store/store.h"

#define MOST_BYTES ((size_t)128 << 10) /* of a block */
#define SIZE_SHIFT 12
#define KIND_BITS 16 /* of a word: the size and the memory node */
#define KIND_SHIFT (64 - KIND_BITS)
_Static_assert(MOST_BYTES >> SIZE_SHIFT < 256 && KIND_SHIFT >= TIDE_ADDRESS_BITS,
               "both fit, and so does the record's address");

enum { SETS_LOG = 6, SETS = 1 << SETS_LOG, SLOTS = 16, WAITS = 1 };

typedef _Atomic uint64_t slot_word;

static struct set {
    _Alignas(TIDE_CACHE_LINE) slot_word slots[SLOTS];
    _Atomic unsigned next; /* the slot whose block gives way, modulo SLOTS */
} sets[SETS];

/* The calling thread's, as its errno lies where no other's does. */
static struct set *own_set(void)
{
    return &sets[(uintptr_t)&errno * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SETS_LOG)];
}

static uint64_t kind_of(size_t bytes, unsigned home)
{
    return (uint64_t)(bytes >> SIZE_SHIFT << 8 | home) << KIND_SHIFT;
}

/* The block of a word that was taken out; NULL: of an empty slot. */
static struct tide_range *block_of(uint64_t word)
{
    struct tide_range *block = (struct tide_range *)(word & ((UINT64_C(1) << KIND_SHIFT) - 1));

    if (block)
        tide_set_relaxed(&block->stamp, 0);
    return block;
}

/* Releases what was done with the block that goes in, and acquires the same of what comes
 * out. */
static bool replace(slot_word *slot, uint64_t *old, uint64_t new)
{
    return atomic_compare_exchange_strong_explicit(slot, old, new, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

struct tide_range *tide_large_cache_take(const struct tide_request *request)
{
    slot_word *slots = own_set()->slots;
    uint64_t kind, word;

    if (request->bytes > MOST_BYTES || request->alignment > tide_os_page_bytes ||
        request->is_zero_wanted)
        return NULL;
    kind = kind_of(request->bytes, tide_store_home(request->node));
    for (unsigned n = 0; n < SLOTS; n++) {
        word = tide_relaxed(&slots[n]);
        if (word >> KIND_SHIFT == kind >> KIND_SHIFT && replace(&slots[n], &word, 0))
            return block_of(word);
    }
    return NULL;
}

/* Puts a word into an empty slot, or in the place of one after the other. */
static uint64_t put(struct set *set, uint64_t new)
{
    slot_word *slots = set->slots;
    uint64_t old;

    for (unsigned n = 0; n < SLOTS; n++) {
        old = 0;
        if (tide_relaxed(&slots[n]) == 0 && replace(&slots[n], &old, new))
            return 0;
    }
    tide_count(&set->next, 1);
    return atomic_exchange_explicit(&slots[tide_relaxed(&set->next) % SLOTS], new,
                                    memory_order_acq_rel);
}

void tide_large_cache_put(struct tide_range *block)
{
    if (block->bytes <= MOST_BYTES && !block->is_patched) {
        tide_set_relaxed(&block->stamp, WAITS);
        block = block_of(put(own_set(), kind_of(block->bytes, block->home) | (uintptr_t)block));
    }
    if (block)
        tide_store_put(block, RANGE_DIRTY);
}

static void flush(struct set *set)
{
    struct tide_range *block;

    for (slot_word *slot = set->slots; slot < set->slots + SLOTS; slot++) {
        block = block_of(tide_relaxed(slot)
                             ? atomic_exchange_explicit(slot, 0, memory_order_acq_rel)
                             : 0);
        if (block)
            tide_store_put(block, RANGE_DIRTY);
    }
}

void tide_large_cache_flush_own(void)
{
    flush(own_set());
}

void tide_large_cache_flush(void)
{
    for (unsigned n = 0; n < SETS; n++)
        flush(&sets[n]);
}
