/* heap/large.c - see large.h.  The arena manager does the work. */
#include "heap/large.h"

#include "base/bits.h"
#include "heap/bound.h"
#include "heap/maintenance.h"

unsigned tide_large_slots(size_t size)
{
    return (unsigned)(tide_round_up(size, TIDE_SLOT_BYTES) >> TIDE_SLOT_SHIFT);
}

void *tide_large_malloc(struct tide_tenant *tenant, size_t size, size_t alignment, bool *is_zero)
{
    unsigned step = alignment <= TIDE_SLOT_BYTES ? 1 : (unsigned)(alignment >> TIDE_SLOT_SHIFT);
    struct pool *run = tide_arena_take_run(tenant, tide_large_slots(size ? size : 1), step);

    if (!run)
        return NULL;
    tide_maintenance_weigh();
    if (run->is_zero)
        tide_bound_note_taken(tide_pool_bytes(run));
    if (is_zero)
        *is_zero = run->is_zero;
    return tide_pool_start(run);
}

bool tide_large_resize(struct pool *run, size_t size)
{
    unsigned slots = tide_large_slots(size);

    if (slots == run->slots)
        return true;
    if (!tide_arena_resize_run(run, slots))
        return false;
    tide_maintenance_note();
    return true;
}
