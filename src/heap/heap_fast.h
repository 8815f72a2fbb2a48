/* heap/heap_fast.h - malloc and free when nothing special happens
 *
 * malloc: this thread's list for the class, pop.  free: the slot's descriptor,
 * is its owner this thread's heap, push, count.  No lock, no atomic
 * read-modify-write.
 *
 * Both are sections (heap.h): the heap is marked as in use, its door is looked at,
 * the mark is taken off.  A heap that someone has taken has tide_heap_none behind
 * its door, whose lists are empty and which owns nothing, so that the call misses
 * and goes the slow way.  A thread without a heap starts from tide_heap_none itself,
 * so that the first call sets everything up; with TIDEPOOL_CHECK=on all threads keep
 * to it and every call is checked.
 * Any address may be tested: NULL and foreign ones are not in the address map.
 * Blocks away from its home window take the slow path.
 * The slots of runs have no owner.
 */
#ifndef TIDE_HEAP_HEAP_FAST_H
#define TIDE_HEAP_HEAP_FAST_H

#include "arena/address_map.h"
#include "heap/heap.h"

#define TIDE_TLS __attribute__((tls_model("initial-exec"))) _Thread_local

extern TIDE_HIDDEN TIDE_TLS struct heap *tide_heap_fast; /* never NULL; the owner writes it */

void *tide_heap_malloc_slow(size_t size); /* one up to LOOKUP_MAX has missed */
void tide_heap_free_slow(void *block, const char *call);
void tide_heap_free_last(struct heap *heap, struct block *block); /* left has reached zero */

/* The first block of a list, which is the nth word of a heap; NULL when it is
 * empty. */
static inline void *tide_heap_pop(unsigned nth)
{
    struct heap *heap = tide_heap_fast;
    struct block **list = (struct block **)tide_heap_begin(heap)->list + nth;
    struct block *block = *list;

    if (TIDE_LIKELY(block != NULL))
        *list = block->next;
    tide_heap_end(heap);
    return block;
}

static inline void *tide_heap_malloc(size_t size)
{
    if (TIDE_LIKELY(size <= TIDE_LOOKUP_MAX)) {
        void *block = tide_heap_pop(tide_class_twice[size]);

        if (TIDE_LIKELY(block != NULL))
            return block;
    }
    return tide_heap_malloc_slow(size);
}

/* In a section, which ends: frees a block of the heap's pool.  A current pool's
 * blocks go back to malloc's list; what they count down there means nothing. */
static inline void tide_heap_push(struct heap *heap, struct pool *pool, struct block *block)
{
    struct free_list *list = pool->frees_to;

    block->next = list->freed;
    list->freed = block;
    if (TIDE_UNLIKELY(tide_owner_drops_to_zero(&list->left)))
        tide_heap_free_last(heap, block);
    else
        tide_heap_end(heap);
}

/* A mistake is reported as call's. */
static inline void tide_heap_free(void *address, const char *call)
{
    struct block *block = address;

    if (TIDE_LIKELY(tide_is_in_home_arena(block))) {
        struct pool *pool = tide_slot_pool(block);
        struct heap *heap = tide_heap_fast;

        if (TIDE_LIKELY(tide_heap_begin(heap) == tide_relaxed(&pool->owner) &&
                        pool->frees_to->freed != block)) {
            tide_heap_push(heap, pool, block);
            return;
        }
        tide_heap_end(heap);
    }
    tide_heap_free_slow(block, call);
}

#endif
