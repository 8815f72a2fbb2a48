/* heap/heap_fast.h - malloc and free when nothing special happens
 *
 * malloc: this thread's list for the class, pop.  free: the slot's descriptor,
 * is its owner this thread's heap, push, count.  No lock, no atomic
 * read-modify-write.
 *
 * A thread without a heap points to one whose lists are empty and which owns
 * nothing, so that the first call misses and sets everything up; so does one that
 * is stood in for (idle.h), for that time; with
 * TIDEPOOL_CHECK=on all threads keep pointing there and every call is checked.
 * Any address may be tested: NULL and foreign ones are not in the address map.
 * Blocks away from its home window take the slow path.
 * The slots of runs have no owner.
 */
#ifndef TIDE_HEAP_HEAP_FAST_H
#define TIDE_HEAP_HEAP_FAST_H

#include "arena/address_map.h"
#include "heap/heap.h"

#define TIDE_TLS __attribute__((tls_model("initial-exec"))) _Thread_local

extern TIDE_HIDDEN TIDE_TLS struct heap *tide_heap_fast; /* never NULL */

void *tide_heap_malloc_slow(size_t size); /* one up to LOOKUP_MAX has missed */
void tide_heap_free_slow(void *block, const char *call);
void tide_heap_free_last(struct block *block); /* left has reached zero */

static inline void *tide_heap_malloc(size_t size)
{
    if (TIDE_LIKELY(size <= TIDE_LOOKUP_MAX)) {
        struct block **lists = (struct block **)tide_heap_fast->list;
        struct block *block = lists[tide_class_twice[size]];

        if (TIDE_LIKELY(block != NULL)) {
            lists[tide_class_twice[size]] = block->next;
            return block;
        }
    }
    return tide_heap_malloc_slow(size);
}

/* Frees a block of this thread's pool.  A current pool's blocks go back to
 * malloc's list; what they count down there means nothing. */
static inline void tide_heap_push(struct pool *pool, struct block *block)
{
    struct free_list *list = pool->frees_to;

    block->next = list->freed;
    list->freed = block;
    if (TIDE_UNLIKELY(tide_owner_drops_to_zero(&list->left)))
        tide_heap_free_last(block);
}

/* A mistake is reported as call's. */
static inline void tide_heap_free(void *address, const char *call)
{
    struct block *block = address;
    struct pool *pool;

    if (TIDE_LIKELY(tide_is_in_home_arena(block))) {
        pool = tide_slot_pool(block);
        if (TIDE_LIKELY(tide_relaxed(&pool->owner) == tide_heap_fast &&
                        pool->frees_to->freed != block)) {
            tide_heap_push(pool, block);
            return;
        }
    }
    tide_heap_free_slow(block, call);
}

#endif
