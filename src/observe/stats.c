/* observe/stats.c - see stats.h */
#include "observe/stats.h"

#include "arena/arena.h"
#include "arena/huge_pages.h"
#include "arena/walk.h"
#include "base/fatal.h"
#include "exchange/depot.h"
#include "heap/common.h"
#include "heap/orphans.h"
#include "large/cache.h"
#include "os/records.h"
#include "pool/returned.h"

static void add_pool(struct stats *stats, const struct pool *pool, bool is_full)
{
    unsigned size_class = tide_relaxed(&pool->size_class);
    struct class_stats *class_stats = &stats->classes[size_class];
    uint32_t allocated = tide_relaxed(&pool->left) + tide_relaxed(&pool->held);
    uint32_t returned = tide_pool_returned_count(pool);
    size_t capacity =
        (tide_class_slots(size_class) << TIDE_SLOT_SHIFT) / tide_class_bytes[size_class];

    /* While the pool changes its class the count may still be the other's. */
    allocated = allocated > returned ? allocated - returned : 0;
    class_stats->pools++;
    class_stats->full_pools += is_full;
    class_stats->blocks += capacity;
    class_stats->allocated += allocated < capacity ? allocated : capacity;
}

static void add_arena(struct stats *stats, const struct arena *arena)
{
    uint64_t returnable = tide_relaxed(&arena->free) & tide_arena_resident_slots(arena);

    stats->returnable_bytes += (size_t)tide_bit_count(returnable) << TIDE_SLOT_SHIFT;
    stats->huge_arenas += tide_arena_is(arena, ARENA_HUGE);
    stats->arena_bytes += TIDE_ARENA_BYTES;
    for (unsigned slot = TIDE_HEADER_SLOTS; slot < TIDE_SLOTS; slot++) {
        const struct pool *pool = (const struct pool *)arena + slot;
        uint8_t state = tide_relaxed(&pool->state);

        switch (state) {
        case POOL_USED:
        case POOL_FULL:
            add_pool(stats, pool, state == POOL_FULL);
            break;
        case POOL_EMPTY:
            stats->empty_pools++;
            break;
        case POOL_FREE:
            stats->free_slots++;
            break;
        default:
            break;
        }
    }
}

static void add_arenas(struct stats *stats)
{
    struct tide_walk walk;
    const struct arena *arena;

    tide_walk_begin(&walk);
    while ((arena = tide_walk_next(&walk)))
        add_arena(stats, arena);
    tide_walk_end(&walk);
}

static void subtract_block(void *stats, const struct block *block)
{
    unsigned size_class = tide_pool_of(block)->size_class;
    size_t *allocated = &((struct stats *)stats)->classes[size_class].allocated;

    *allocated -= *allocated > 0;
}

static void subtract_list(struct stats *stats, const struct block *block)
{
    for (; block; block = block->next)
        subtract_block(stats, block);
}

/* Blocks in a heap's lists are free, whatever their pools think. */
static void subtract_lists(struct stats *stats, const struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        subtract_list(stats, heap->list[c].freed);
        subtract_list(stats, heap->surplus[c].first);
    }
    for (int n = 0; n < OUTBOX_CHAINS; n++)
        subtract_list(stats, heap->outbox.chains[n].first);
}

/* Of this thread's lists and those of orphans; other threads' can't be walked. */
static void subtract_known_lists(struct stats *stats)
{
    struct heap *heap = tide_heap_own();

    if (heap && tide_heap_begin(heap) == heap)
        subtract_lists(stats, heap);
    if (heap)
        tide_heap_end(heap);
    tide_lock(tide_common_lock());
    subtract_lists(stats, tide_common_heap());
    tide_unlock(tide_common_lock());
    tide_depot_visit(subtract_block, stats);
    for (heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap)) {
        if (tide_relaxed(&heap->state) != HEAP_ORPHAN || !tide_heap_close(heap))
            continue;
        if (tide_acquire(&heap->state) == HEAP_ORPHAN && tide_heap_is_left(heap))
            subtract_lists(stats, heap);
        tide_heap_open(heap);
    }
}

static void gather_locks(struct tide_lock locks[LOCK_KINDS])
{
    if (tide_arena_global_lock)
        tide_lock_add_counts(&locks[LOCK_GLOBAL], tide_arena_global_lock);
    tide_arena_lock_counts(&locks[LOCK_ARENA], &locks[LOCK_SHARD]);
    tide_lock_add_counts(&locks[LOCK_STORE], tide_store_lock());
    tide_lock_add_counts(&locks[LOCK_ORPHANS], tide_heap_orphans_lock());
    tide_lock_add_counts(&locks[LOCK_COMMON], tide_common_lock());
    tide_depot_lock_counts(&locks[LOCK_DEPOT]);
}

void tide_stats_gather(struct stats *stats)
{
    *stats = (struct stats){ .heaps = 0 };
    add_arenas(stats);
    subtract_known_lists(stats);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        stats->pooled_bytes += stats->classes[c].allocated * tide_class_bytes[c];
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap)) {
        stats->heaps += !tide_heap_is_common(heap);
        stats->orphans += tide_relaxed(&heap->state) == HEAP_ORPHAN;
    }
    stats->arenas = tide_arena_totals();
    stats->reserve = tide_reserve_totals();
    tide_large_cache_flush();
    stats->store = tide_store_totals();
    stats->returnable_bytes += stats->store.dirty_bytes;
    stats->record_bytes = tide_os_record_bytes();
    gather_locks(stats->locks);
}

const char *tide_stats_lock_name(enum lock_kind kind)
{
    static const char *const names[] = {
        "global", "arena", "shard", "store", "orphans", "common", "depot",
    };

    _Static_assert(sizeof names / sizeof *names == LOCK_KINDS, "a name for each kind");
    return names[kind];
}
