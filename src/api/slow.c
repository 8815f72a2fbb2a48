/* api/slow.c - see slow.h */
#include "api/slow.h"

#include <errno.h>
#include <stdint.h>

#include "api/enter.h"
#include "api/fast.h"
#include "api/fork.h"
#include "base/options.h"
#include "check/inspect.h"
#include "heap/common.h"
#include "heap/home.h"
#include "heap/lists.h"
#include "heap/pools.h"
#include "heap/remote.h"
#include "heap/slow.h"
#include "large/cache.h"
#include "large/large.h"
#include "machine/shortage.h"
#include "os/limits.h"
#include "store/purge.h"
#include "upkeep/bound.h"
#include "upkeep/reclaim.h"
#include "upkeep/upkeep.h"

static void *out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* With checks on a block's bit is kept for each 16 bytes, so class 0 is left
 * out. */
static unsigned class_to_use(unsigned size_class)
{
    return TIDE_UNLIKELY(tide_options.check && size_class == 0) ? 1 : size_class;
}

static void *pooled_from(struct heap *heap, unsigned size_class)
{
    struct block *block;

    size_class = class_to_use(size_class);
    block = tide_heap_take(heap, size_class);
    if (TIDE_UNLIKELY(tide_options.check && block))
        tide_check_taken(block, size_class);
    tide_heap_leave(heap);
    return block;
}

static void *take_large(size_t size, size_t alignment, bool is_zero_wanted, bool *is_zero)
{
    size_t fresh = 0;
    void *block = tide_large_malloc(size, alignment, is_zero_wanted, &fresh);

    *is_zero = block && fresh == tide_large_good_size(size);
    if (block && fresh > 0)
        tide_bound_note_taken(fresh);
    return block;
}

/* Of a size class, if it is less than TIDE_CLASSES.  A thread that has no heap yet gets
 * one, whichever kind of block it is. */
static void *take(size_t size, size_t alignment, unsigned size_class, bool *is_zero)
{
    struct heap *heap = tide_api_enter();
    bool is_so;

    if (!heap)
        return NULL;
    if (size_class < TIDE_CLASSES)
        return pooled_from(heap, size_class);
    tide_heap_leave(heap);
    return take_large(size, alignment, is_zero != NULL, is_zero ? is_zero : &is_so);
}

static void *try_malloc(size_t size, size_t alignment, unsigned size_class, bool *is_zero)
{
    bool is_passing = tide_fork_pass_in();
    void *block = take(size, alignment, size_class, is_zero);

    if (is_passing)
        tide_fork_pass_out();
    return block;
}

/* At the end of a malloc. */
static inline void see_to_upkeep(void)
{
    tide_upkeep_weigh();
    tide_upkeep_do_due();
}

/* What was kept for later goes, so that the caller may try once more. */
static void reclaim(void)
{
    bool is_passing = tide_fork_pass_in();

    tide_reclaim();
    if (is_passing)
        tide_fork_pass_out();
}

static void *malloc_any(size_t size, size_t alignment, unsigned size_class, bool *is_zero)
{
    int saved_errno = errno;
    void *block;

    if (size > PTRDIFF_MAX)
        return out_of_memory();
    block = try_malloc(size, alignment, size_class, is_zero);
    if (TIDE_UNLIKELY(!block) && !tide_machine_shortage_is_certain(size)) {
        reclaim();
        block = try_malloc(size, alignment, size_class, is_zero);
        errno = saved_errno;
    }
    see_to_upkeep();
    if (TIDE_LIKELY(block != NULL))
        return block;
    tide_machine_shortage_tell(alignment > TIDE_ALIGNMENT ? size + alignment : size);
    return out_of_memory();
}

void *tide_api_malloc_any(size_t size, bool *is_zero)
{
    if (is_zero)
        *is_zero = false;
    return malloc_any(size, TIDE_ALIGNMENT,
                      size <= TIDE_POOLED_MAX ? tide_class_of(size) : TIDE_CLASSES, is_zero);
}

/* The first of the class's list; NULL when that is empty. */
static inline void *pop(unsigned size_class)
{
    return tide_heap_pop(2 * size_class);
}

/* The shortest way when the list was found empty, or the door closed; NULL when there is
 * no memory, no heap that the thread may use just now, or checks are on. */
static void *refill_quickly(unsigned size_class)
{
    struct heap *heap = tide_heap_fast;
    struct block *block = NULL;

    tide_fork_check();
    if (TIDE_LIKELY(heap != &tide_heap_none) && TIDE_LIKELY(tide_heap_begin(heap) == heap)) {
        block = heap->list[size_class].freed;
        if (TIDE_UNLIKELY(block != NULL))
            heap->list[size_class].freed = block->next;
        else
            block = tide_heap_refill(heap, size_class);
    }
    tide_heap_end(heap);
    return block;
}

static TIDE_NOINLINE void *malloc_missed(size_t size, size_t alignment, unsigned size_class)
{
    void *block = size_class < TIDE_CLASSES ? refill_quickly(size_class) : NULL;

    if (TIDE_UNLIKELY(!block))
        return malloc_any(size, alignment, size_class, NULL);
    see_to_upkeep();
    return block;
}

/* Sizes that are looked up have missed already. */
void *tide_api_malloc_slow(size_t size)
{
    unsigned size_class = TIDE_CLASSES;
    void *block = NULL;

    if (size <= TIDE_LOOKUP_MAX) {
        size_class = tide_class_of_small(size);
    } else if (size <= TIDE_POOLED_MAX) {
        size_class = tide_class_of_medium(size);
        block = pop(size_class);
    }
    return TIDE_LIKELY(block != NULL) ? block : malloc_missed(size, TIDE_ALIGNMENT, size_class);
}

void *tide_api_malloc_aligned(size_t size, size_t alignment)
{
    unsigned size_class = tide_class_of_aligned(size, alignment);
    void *block = size_class < TIDE_CLASSES ? pop(size_class) : NULL;

    return TIDE_LIKELY(block != NULL) ? block : malloc_missed(size, alignment, size_class);
}

static void free_own(struct heap *heap, struct pool *pool, struct block *block, const char *call)
{
    if (TIDE_UNLIKELY(pool->frees_to->freed == block))
        tide_check_report_free(block, pool->block_bytes, call);
    if (tide_heap_push(pool, block))
        tide_api_free_last(heap, block);
    else
        tide_heap_end(heap);
}

static void free_foreign(struct heap *heap, struct pool *pool, void *address, const char *call)
{
    if (TIDE_UNLIKELY(!tide_heap_free_remote(heap, pool, address)))
        tide_check_report_free(address, pool->block_bytes, call);
}

static void free_pooled(struct pool *pool, void *address, const char *call)
{
    struct heap *heap;

    if (TIDE_UNLIKELY(tide_options.check) && !tide_arena_clear_live(address))
        tide_check_report_free(address, pool->block_bytes, call);
    heap = tide_api_enter();
    if (heap && tide_relaxed(&pool->owner) == heap && !tide_heap_is_common(heap)) {
        free_own(heap, pool, address, call);
        return;
    }
    if (heap && !tide_heap_is_common(heap))
        free_foreign(heap, pool, address, call);
    if (heap)
        tide_heap_leave(heap);
    if (!heap || tide_heap_is_common(heap))
        tide_heap_send_block_home(address);
}

static void free_large(struct tide_range *block)
{
    tide_large_free(block);
    if (TIDE_UNLIKELY(tide_os_limits_is_above_soft())) {
        tide_large_cache_flush();
        tide_store_purge(0, SIZE_MAX);
    }
    tide_ring();
}

static void free_found(const struct found *found, void *address, const char *call)
{
    switch (found->kind) {
    case FOUND_POOLED:
        free_pooled(found->pool, address, call);
        break;
    case FOUND_LARGE:
        free_large(found->range);
        break;
    }
}

void tide_api_free_checked(void *address, const char *call)
{
    struct found found = tide_check_find(address, call);
    int saved_errno = errno;
    bool is_passing;

    is_passing = tide_fork_pass_in();
    free_found(&found, address, call);
    tide_bound_check(found.kind == FOUND_LARGE ? found.bytes : 0);
    if (is_passing)
        tide_fork_pass_out();
    errno = saved_errno;
}

/* A pool of the heap that has more free blocks now, or NULL. */
static struct pool *settle(struct heap *heap, struct pool *pool)
{
    enum pool_change change;

    if (pool->frees_to != &pool->own)
        return tide_class_is_cached(pool->size_class)
                   ? tide_heap_cut_list(heap, pool)
                   : NULL;
    change = tide_pool_settle(pool, 0);
    tide_heap_place(heap, pool, change);
    tide_ring();
    return tide_pool_has_more_free(change) ? pool : NULL;
}

void tide_api_free_last(struct heap *heap, struct block *block)
{
    struct pool *pool;
    struct tide_pages pages;
    bool is_aside;

    tide_fork_check();
    pool = settle(heap, tide_pool_of(block));
    is_aside = pool && tide_bound_set_pages_aside(heap, pool, &pages);
    tide_heap_end(heap);
    if (is_aside)
        tide_bound_purge(heap, &pages);
    tide_bound_check(0);
}

/* The pool that address is a block of, if it is another heap's; else NULL. */
static inline struct pool *find_foreign(const struct heap *heap, const void *address)
{
    struct pool *pool;
    struct heap *owner;

    if (!tide_is_in_arena(address) || tide_slot_of(address) < TIDE_HEADER_SLOTS)
        return NULL;
    pool = tide_pool_of(address);
    owner = tide_relaxed(&pool->owner);
    return owner && owner != heap && tide_pool_has_block(pool, address) ? pool : NULL;
}

void tide_api_free_slow(void *address, const char *call)
{
    struct heap *heap = tide_heap_fast;
    struct pool *pool = NULL;

    tide_fork_check();
    if (TIDE_LIKELY(heap != &tide_heap_none) && TIDE_LIKELY(tide_heap_begin(heap) == heap)) {
        pool = find_foreign(heap, address);
        if (TIDE_LIKELY(pool != NULL))
            free_foreign(heap, pool, address, call);
    }
    tide_heap_end(heap);
    if (TIDE_UNLIKELY(!pool) && address)
        tide_api_free_checked(address, call);
    else
        tide_bound_check_returned();
}

size_t tide_api_good_size(size_t size)
{
    if (size <= TIDE_POOLED_MAX)
        return tide_class_bytes[class_to_use(tide_class_of(size))];
    return size <= PTRDIFF_MAX ? tide_large_good_size(size) : size;
}
