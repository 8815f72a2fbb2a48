/* check/invariants.c - see invariants.h */
#include "check/invariants.h"

#include "arena/manager.h"
#include "arena/walk.h"
#include "heap/check.h"
#include "heap/common.h"
#include "store/store.h"
#include "upkeep/look.h"

static void check_heap(struct heap *heap)
{
    if (tide_heap_is_common(heap))
        tide_lock(tide_common_lock());
    if (tide_relaxed(&heap->state) != HEAP_RETIRED)
        tide_heap_check(heap);
    if (tide_heap_is_common(heap))
        tide_unlock(tide_common_lock());
}

static void check_pool(const struct pool *pool)
{
    struct heap *owner = pool->back ? NULL : tide_relaxed(&pool->owner);

    if (owner && tide_relaxed(&owner->state) != HEAP_RETIRED)
        tide_pool_check(pool);
}

/* The maintenance thread rests meanwhile; the caller sees to the others. */
void tide_check_all(void)
{
    struct tide_walk walk;
    const struct arena *arena;

    tide_walk_begin(&walk);
    tide_lock(tide_upkeep_lock());
    tide_arena_check();
    tide_store_check();
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        check_heap(heap);
    while ((arena = tide_walk_next(&walk)))
        for (unsigned slot = TIDE_HEADER_SLOTS; slot < TIDE_SLOTS; slot++)
            check_pool((const struct pool *)arena + slot);
    tide_unlock(tide_upkeep_lock());
    tide_walk_end(&walk);
}
