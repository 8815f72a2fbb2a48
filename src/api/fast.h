/* api/fast.h - malloc and free when nothing special happens
 *
 * malloc: this thread's list for the class, pop.  free: the slot's descriptor,
 * is its owner this thread's heap, push, count.  No lock, no atomic
 * read-modify-write.
 *
 * What misses goes the slow way.  A thread without a heap starts from tide_heap_none,
 * so that the first call sets everything up; with TIDEPOOL_CHECK=on all threads keep
 * to it and every call is checked.
 * Any address may be tested: NULL and foreign ones are not in the address map.
 * Blocks away from its home window take the slow path.
 * The slots of runs have no owner.
 */
#ifndef TIDE_API_FAST_H
#define TIDE_API_FAST_H

#include "arena/address_map.h"
#include "heap/fast.h"

void *tide_api_malloc_slow(size_t size); /* one up to LOOKUP_MAX has missed */
void tide_api_free_slow(void *block, const char *call);

/* In a section, which ends: left has reached zero. */
void tide_api_free_last(struct heap *heap, struct block *block);

static inline void *tide_api_malloc(size_t size)
{
    if (TIDE_LIKELY(size <= TIDE_LOOKUP_MAX)) {
        void *block = tide_heap_pop(tide_class_twice[size]);

        if (TIDE_LIKELY(block != NULL))
            return block;
    }
    return tide_api_malloc_slow(size);
}

/* A mistake is reported as call's. */
static inline void tide_api_free(void *address, const char *call)
{
    struct block *block = address;

    if (TIDE_LIKELY(tide_is_in_home_arena(block))) {
        struct pool *pool = tide_slot_pool(block);
        struct heap *heap = tide_heap_fast;

        if (TIDE_LIKELY(tide_heap_begin(heap) == tide_relaxed(&pool->owner) &&
                        pool->frees_to->freed != block)) {
            if (TIDE_UNLIKELY(tide_heap_push(pool, block)))
                tide_api_free_last(heap, block);
            else
                tide_heap_end(heap);
            return;
        }
        tide_heap_end(heap);
    }
    tide_api_free_slow(block, call);
}

#endif
