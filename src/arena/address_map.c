/* arena/address_map.c - see address_map.h
 *
 * Parts of the table become writable a stretch at a time; which already are is
 * a bit each, set under lock and never cleared.
 */
#include "arena/address_map.h"

#include "base/bits.h"
#include "base/lock.h"
#include "os/map.h"

#define PIECES (UINT64_C(1) << (TIDE_ADDRESS_BITS - TIDE_ARENA_SHIFT))

/* Large enough for any page size. */
#define STRETCH_BYTES ((size_t)64 * 1024)
#define STRETCHES (PIECES / STRETCH_BYTES)

_Atomic uint8_t *tide_address_map;
uintptr_t tide_address_pieces;

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;
static _Atomic uint64_t writable[(STRETCHES + 63) / 64];

bool tide_address_map_start(void)
{
    tide_address_map = tide_os_map_readonly(PIECES);
    if (tide_address_map)
        tide_address_pieces = PIECES;
    return tide_address_map != NULL;
}

static bool make_writable(uintptr_t stretch)
{
    _Atomic uint64_t *word = &writable[stretch / 64];
    uint64_t bit = UINT64_C(1) << stretch % 64;
    bool is_writable = true;

    if (tide_acquire(word) & bit)
        return true;
    tide_lock(&lock);
    if (!(tide_relaxed(word) & bit)) {
        is_writable =
            tide_os_make_writable((void *)(tide_address_map + stretch * STRETCH_BYTES),
                                  STRETCH_BYTES);
        if (is_writable) /* pairs with the acquire above */
            atomic_fetch_or_explicit(word, bit, memory_order_release);
    }
    tide_unlock(&lock);
    return is_writable;
}

bool tide_address_map_set(const void *start, size_t bytes, enum tide_memory what,
                          enum tide_memory rest)
{
    uintptr_t first = (uintptr_t)start >> TIDE_ARENA_SHIFT;
    uintptr_t last = ((uintptr_t)start + bytes - 1) >> TIDE_ARENA_SHIFT;

    for (uintptr_t stretch = first / STRETCH_BYTES; stretch <= last / STRETCH_BYTES; stretch++)
        if (!make_writable(stretch))
            return false;
    tide_set_relaxed(&tide_address_map[first], (uint8_t)what);
    while (first++ < last)
        tide_set_relaxed(&tide_address_map[first], (uint8_t)rest);
    return true;
}

void tide_address_map_clear(const void *start, size_t bytes)
{
    tide_address_map_set(start, bytes, TIDE_FOREIGN, TIDE_FOREIGN);
}

void *tide_address_map_next(const void *start, enum tide_memory what)
{
    for (uintptr_t piece = ((uintptr_t)start >> TIDE_ARENA_SHIFT) + 1; piece < tide_address_pieces; piece++)
        if (tide_relaxed(&tide_address_map[piece]) == what)
            return (void *)(piece << TIDE_ARENA_SHIFT);
    return NULL;
}

struct tide_lock *tide_address_map_lock(void)
{
    return &lock;
}
