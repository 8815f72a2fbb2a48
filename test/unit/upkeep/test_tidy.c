/* test_tidy.c - upkeep/tidy.h: what a slice does, and that its owner can use the heap
 * between any two, with all that was set aside on its way
 */
#include "upkeep/tidy.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../heap/sleepers.h"

enum { PAGED = 1024 }; /* a size whose pools have several pages in each geometry, full of blocks */

static void take(struct heap *heap)
{
    TIDE_REQUIRE(tide_heap_close(heap) && tide_os_barrier() && tide_heap_is_left(heap));
}

/* Of this thread's own heap. */
static bool do_slice(struct heap *heap, struct tide_aside *aside)
{
    bool is_more;

    TIDE_REQUIRE(tide_heap_close(heap));
    is_more = tide_heap_tidy(heap, aside);
    tide_heap_open(heap);
    return is_more;
}

static void begin(struct heap *heap, bool is_only_idle)
{
    TIDE_REQUIRE(tide_heap_close(heap));
    tide_heap_tidy_begin(heap, is_only_idle);
    tide_heap_open(heap);
}

static uint32_t returned_of(const void *address)
{
    return tide_pool_returned_count(tide_pool_of(address));
}

/* ---- Pools with a block each ------------------------------------------------- */

enum { POOLS = 40 }; /* more than a slice looks at */

static void *thin[POOLS][MOST_BLOCKS];

static void make_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++)
        fill_pool(PAGED, thin[n]);
    for (int n = 0; n < POOLS; n++)
        for (uint32_t k = 0; k < capacity_of(PAGED); k++)
            memset(thin[n][k], n + 1, PAGED);
    for (int n = 0; n < POOLS; n++)
        free_all(thin[n] + 1, capacity_of(PAGED) - 1);
}

static void check_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++) {
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((char *)thin[n][0])[k] == n + 1);
        tide_free(thin[n][0]);
    }
}

static bool is_whole(int pool)
{
    return is_resident(thin[pool][capacity_of(PAGED) - 1]);
}

/* ---- A slice ------------------------------------------------------------------- */

enum { MOST_SLICES = 200 };

static struct tide_aside asides[MOST_SLICES];

static bool do_all_slices(struct heap *heap)
{
    for (int n = 0; n < MOST_SLICES; n++)
        if (!tide_heap_tidy(heap, &asides[n]))
            return true;
    return false;
}

static void dispose_of_all(void)
{
    for (int n = 0; n < MOST_SLICES; n++)
        tide_aside_dispose(&asides[n]);
}

static struct heap *taken;
static atomic_bool is_tidied;

/* The kernel ends a thread in this mode that makes a system call but for its end. */
static void *tidy_without_calls(void *unused)
{
    take(taken);
    tide_heap_tidy_begin(taken, false);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) {
        atomic_store(&is_tidied, do_all_slices(taken));
        syscall(SYS_exit, 0);
    }
    atomic_store(&is_tidied, do_all_slices(taken)); /* it can't be tested here */
    return unused;
}

SCENARIO(tidy, a_slice_makes_no_system_call, NULL)
{
    static struct sleeper sleeper;
    pthread_t thread;

    leave_maintenance_out();
    allocate_foreign();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    wake_for(&sleeper, use_all, NULL);
    taken = sleeper.heap;
    TIDE_REQUIRE(pthread_create(&thread, NULL, tidy_without_calls, NULL) == 0);
    pthread_join(thread, NULL);
    TIDE_REQUIRE(atomic_load(&is_tidied));
    TIDE_REQUIRE(is_whole(0) && is_whole(POOLS - 1));
    TIDE_REQUIRE(keeps_nothing(taken));
    tide_heap_open(taken);
    dispose_of_all();
    TIDE_REQUIRE(!is_whole(0) && !is_whole(POOLS - 1));
    wake_for(&sleeper, check_thin_pools, NULL);
    wake_for(&sleeper, check_kept, NULL);
    tide_check_all();
}

/* All blocks of a pool in malloc's list. */
IN_NEW_THREAD(tidy, a_slice_takes_so_many_blocks_from_lists, NULL)
{
    static void *blocks[MOST_BLOCKS];
    struct heap *heap = own_heap();
    struct tide_aside aside = { .page_count = 0 };
    uint32_t before, count = capacity_of(16);
    int slices = 0;

    for (uint32_t n = 0; n < count; n++)
        blocks[n] = allocate(16);
    free_all(blocks, count);
    begin(heap, false);
    while ((before = length_of(list_of(heap, tide_class_of(16)))) > 0) {
        TIDE_REQUIRE(do_slice(heap, &aside));
        TIDE_REQUIRE(before - length_of(list_of(heap, tide_class_of(16))) <= 1024);
        TIDE_REQUIRE(slices++ < 1000);
    }
    TIDE_REQUIRE(slices >= (int)count / 1024);
    tide_aside_dispose(&aside);
    while (do_slice(heap, &aside))
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(is_bare(heap));
    tide_check_all();
}

IN_NEW_THREAD(tidy, a_slice_looks_at_so_many_pools, NULL)
{
    struct heap *heap = own_heap();
    struct tide_aside aside = { .page_count = 0 };
    unsigned in_all = 0;
    bool is_more;

    leave_maintenance_out();
    make_thin_pools(NULL);
    begin(heap, false);
    do {
        is_more = do_slice(heap, &aside);
        TIDE_REQUIRE(aside.page_count <= ASIDE_PAGES && aside.page_count * 2 < POOLS);
        in_all += aside.page_count;
        tide_aside_dispose(&aside);
    } while (is_more || tide_heap_has_arrivals(heap));
    TIDE_REQUIRE(in_all >= POOLS);
    TIDE_REQUIRE(!is_whole(0) && !is_whole(POOLS - 1));
    tide_check_all();
}

IN_NEW_THREAD(tidy, what_is_set_aside_goes_when_it_is_disposed_of, NULL)
{
    struct heap *heap = own_heap();
    struct tide_aside aside = { .page_count = 0 };
    struct pool *current, *stocked;
    struct arena *arena;

    current = tide_pool_of(memset(allocate(PAGED), 1, PAGED));
    tide_free(tide_pool_start(current)); /* empty, but the current one */
    for (uint32_t n = 0; n < 2 * capacity_of(16); n++)
        pool_blocks[n] = allocate(16);
    free_all(pool_blocks, 2 * capacity_of(16));
    stocked = heap->stock;
    arena = heap->tenant.arena;
    TIDE_REQUIRE(stocked && arena);
    begin(heap, false);
    while (do_slice(heap, &aside))
        TIDE_REQUIRE(aside.page_count == 0);
    TIDE_REQUIRE(is_bare(heap) && aside.arena == arena && !aside.blocks);
    TIDE_REQUIRE(tide_relaxed(&current->state) == POOL_EMPTY);
    TIDE_REQUIRE(tide_relaxed(&stocked->state) == POOL_EMPTY);
    errno = ERANGE;
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(errno == ERANGE && !aside.pools.emptied && !aside.arena);
    TIDE_REQUIRE(tide_relaxed(&current->state) == POOL_FREE);
    TIDE_REQUIRE(tide_relaxed(&stocked->state) == POOL_FREE);
    tide_check_all();
}

enum { RETURNED = 12 }; /* pools; more than a heap keeps as its stock */

static void fill_some(void *unused)
{
    (void)unused;
    for (int n = 0; n < RETURNED; n++)
        fill_pool(PAGED, thin[n]);
}

static int count_in_state(uint8_t state)
{
    int count = 0;

    for (int n = 0; n < RETURNED; n++)
        count += tide_relaxed(&tide_pool_of(thin[n][0])->state) == state;
    return count;
}

SCENARIO(tidy, pools_that_get_empty_are_set_aside, NULL)
{
    struct tide_aside aside = { .page_count = 0 };
    static struct sleeper sleeper;

    leave_maintenance_out();
    own_heap();
    start_sleeper(&sleeper);
    wake_for(&sleeper, fill_some, NULL);
    for (int n = 0; n < RETURNED; n++)
        free_all(thin[n], capacity_of(PAGED));
    send_foreign_home();
    take(sleeper.heap);
    tide_heap_tidy_begin(sleeper.heap, false);
    while (tide_heap_tidy(sleeper.heap, &aside))
        ;
    TIDE_REQUIRE(count_in_state(POOL_EMPTY) == RETURNED && keeps_nothing(sleeper.heap));
    tide_heap_open(sleeper.heap);
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(count_in_state(POOL_FREE) == RETURNED);
    tide_check_all();
}

static void free_foreign(void *unused)
{
    (void)unused;
    free_all(foreign[0], FOREIGN);
    free_all(foreign[1], FOREIGN);
}

SCENARIO(tidy, foreign_blocks_go_home_when_they_are_disposed_of, NULL)
{
    struct tide_aside aside = { .page_count = 0 };
    static struct sleeper sleeper;

    if (TIDE_GEOMETRY_CLASSIC)
        return; /* they are of several pools */
    leave_maintenance_out();
    allocate_foreign();
    start_sleeper(&sleeper);
    wake_for(&sleeper, free_foreign, NULL);
    TIDE_REQUIRE(sleeper.heap->outbox.bytes > 0);
    take(sleeper.heap);
    tide_heap_tidy_begin(sleeper.heap, false);
    while (tide_heap_tidy(sleeper.heap, &aside))
        ;
    tide_heap_check(sleeper.heap);
    TIDE_REQUIRE(keeps_nothing(sleeper.heap));
    TIDE_REQUIRE(returned_of(foreign[0][0]) + returned_of(foreign[1][0]) == 0);
    TIDE_REQUIRE(length_of(aside.blocks) ==
                 2 * FOREIGN - stored_of(LENT) * batch_of(LENT));
    tide_heap_open(sleeper.heap);
    tide_aside_dispose(&aside);
    tide_heap_empty_depot(false);
    TIDE_REQUIRE(returned_of(foreign[0][0]) == FOREIGN && returned_of(foreign[1][0]) == FOREIGN);
    tide_check_all();
}

/* ---- Pages -------------------------------------------------------------------- */

/* Sets pages of all thin pools aside. */
static void set_pages_aside(struct heap *heap)
{
    begin(heap, false);
    for (int n = 0; do_slice(heap, &asides[n]); n++)
        TIDE_REQUIRE(n < MOST_SLICES - 1);
}

IN_NEW_THREAD(tidy, pages_come_home_to_their_pools, NULL)
{
    struct heap *heap = own_heap();
    struct pool *pool;

    leave_maintenance_out();
    make_thin_pools(NULL);
    pool = tide_pool_of(thin[0][0]);
    set_pages_aside(heap);
    TIDE_REQUIRE(allocated_in(pool) > capacity_of(PAGED) / 2 && is_whole(0));
    TIDE_REQUIRE(tide_relaxed(&pool->hollow) == 0 && !tide_relaxed(&heap->purged));
    dispose_of_all();
    TIDE_REQUIRE(!is_whole(0) && tide_relaxed(&heap->purged));
    tide_heap_drain(heap, UINT_MAX);
    TIDE_REQUIRE(!tide_heap_has_arrivals(heap) && tide_relaxed(&pool->hollow) > 0);
    tide_heap_check(heap);
    check_thin_pools(NULL);
    tide_check_all();
}

IN_NEW_THREAD(tidy, pools_stay_until_their_pages_are_home, NULL)
{
    struct heap *heap = own_heap();

    leave_maintenance_out();
    make_thin_pools(NULL);
    set_pages_aside(heap);
    check_thin_pools(NULL);
    for (int n = 0; n < POOLS; n++)
        TIDE_REQUIRE(tide_relaxed(&tide_pool_of(thin[n][0])->owner) == heap);
    dispose_of_all();
    tide_heap_drain(heap, UINT_MAX);
    tide_idle_give_back_own();
    TIDE_REQUIRE(pools_of_size(PAGED) == 0);
    tide_check_all();
}

static void end_with_thin_pools(void *heap)
{
    get_heap(heap);
    make_thin_pools(NULL);
}

SCENARIO(tidy, an_orphans_pages_come_home_at_once, NULL)
{
    struct heap *heap;

    leave_maintenance_out();
    own_heap();
    run_thread(end_with_thin_pools, &heap);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_ORPHAN);
    set_pages_aside(heap);
    TIDE_REQUIRE(!tide_relaxed(&heap->purged));
    dispose_of_all();
    TIDE_REQUIRE(!tide_heap_has_arrivals(heap) && !is_whole(0));
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(thin[0][0])->hollow) > 0);
    tide_heap_check(heap);
    check_thin_pools(NULL);
    tide_purge();
    TIDE_REQUIRE(pools_of_size(PAGED) == 0);
    tide_check_all();
}

/* ---- The owner between slices --------------------------------------------------- */

enum { PLACES = 3000, TURNS = 400, POISON = 0xee };

static struct {
    unsigned char *block;
    size_t size;
} places[PLACES];

static uint64_t random_state = 88172645463325252u;

static uint64_t below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

static void replace(size_t n, bool is_to_be)
{
    if (places[n].block) {
        for (size_t k = 0; k < places[n].size; k++)
            TIDE_REQUIRE(places[n].block[k] == n % 251 + 1);
        tide_free(places[n].block);
    }
    places[n].size = 1 + below((size_t)16 << below(9));
    places[n].block = is_to_be ? memset(allocate(places[n].size), (int)(n % 251 + 1),
                                        places[n].size)
                               : NULL;
}

/* Makes, or checks, pages that nobody may use something that would be seen. */
static void poison(const struct tide_aside *aside, bool is_check)
{
    for (unsigned n = 0; n < aside->page_count; n++) {
        const struct tide_pages *pages = &aside->pages[n];
        size_t end = (size_t)pages->pool->capacity * pages->pool->block_bytes;

        for (uint64_t rest = pages->pages & ~pages->purged; rest != 0; rest &= rest - 1) {
            size_t at = tide_lowest_bit(rest) * tide_os_page_bytes;
            char *page = tide_pool_start(pages->pool) + at;

            if (at >= end)
                continue; /* no block lies there: it may be on its way twice */
            if (!is_check)
                memset(page, POISON, tide_os_page_bytes);
            for (size_t k = 0; k < tide_os_page_bytes; k++)
                TIDE_REQUIRE(page[k] == (char)POISON);
        }
    }
}

static void tidy_some(struct heap *heap, unsigned *first, unsigned *end)
{
    if (heap->tidying.step == TIDY_DONE || below(4) == 0) {
        tide_tidy_count_look();
        begin(heap, below(2) == 0);
    }
    while (*end - *first < MOST_SLICES && below(3) != 0) {
        struct tide_aside *aside = &asides[(*end)++ % MOST_SLICES];

        do_slice(heap, aside);
        poison(aside, false);
    }
    while (*first < *end && below(3) != 0) {
        struct tide_aside *aside = &asides[(*first)++ % MOST_SLICES];

        poison(aside, true);
        tide_aside_dispose(aside);
    }
}

IN_NEW_THREAD(tidy, the_owner_uses_its_heap_between_slices, NULL)
{
    struct heap *heap = own_heap();
    unsigned first = 0, end = 0;

    leave_maintenance_out();
    for (int turn = 0; turn < TURNS; turn++) {
        bool is_growing = below(2) == 0;

        for (size_t count = below(PLACES); count > 0; count--)
            replace(below(PLACES), is_growing || below(20) == 0);
        tidy_some(heap, &first, &end);
        tide_heap_check(heap);
    }
    for (; first < end; first++) {
        poison(&asides[first % MOST_SLICES], true);
        tide_aside_dispose(&asides[first % MOST_SLICES]);
    }
    for (size_t n = 0; n < PLACES; n++)
        replace(n, false);
    tide_check_all();
    while (tide_thread_idle() > 0)
        ;
    TIDE_REQUIRE(is_bare(heap));
    for (size_t size = 16; size <= 4096; size += size / 4 / 16 * 16 + 16)
        TIDE_REQUIRE(pools_of_size(size) == 0);
}

IN_NEW_THREAD(tidy, a_heap_that_was_used_meanwhile_has_not_given_back_all, NULL)
{
    struct heap *heap = own_heap();
    struct tide_aside aside = { .page_count = 0 };

    begin(heap, false);
    do_slice(heap, &aside);
    allocate(PAGED); /* a refill */
    while (do_slice(heap, &aside))
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(has_moved(heap));
    begin(heap, false);
    while (do_slice(heap, &aside))
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(!has_moved(heap) && tide_relaxed(&heap->moves_seen) == tide_relaxed(&heap->moves));
}

/* ---- What is in use is left out ------------------------------------------------ */

IN_NEW_THREAD(tidy, of_a_heap_in_use_only_idle_pools_lose_pages, NULL)
{
    struct heap *heap = own_heap();
    struct tide_aside aside = { .page_count = 0 };
    unsigned c = tide_class_of(PAGED);

    leave_maintenance_out();
    make_thin_pools(NULL);
    tide_tidy_count_look();
    begin(heap, true);
    while (do_slice(heap, &aside))
        TIDE_REQUIRE(aside.page_count == 0);
    begin(heap, true);
    while (do_slice(heap, &aside))
        TIDE_REQUIRE(aside.page_count == 0); /* the look is the same */
    TIDE_REQUIRE(list_of(heap, c) && heap->current[c] && heap->tenant.arena);
    tide_tidy_count_look();
    begin(heap, true);
    while (do_slice(heap, &aside))
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
    TIDE_REQUIRE(!is_whole(0) && !is_whole(POOLS - 2) && is_whole(POOLS - 1));
    TIDE_REQUIRE(list_of(heap, c) && heap->current[c] && heap->tenant.arena);
    TIDE_REQUIRE(has_moved(heap));
    tide_check_all();
}

IN_NEW_THREAD(tidy, it_goes_on_behind_a_pool_that_its_owner_moves, NULL)
{
    unsigned c = tide_class_of(PAGED);
    struct heap *heap = own_heap();
    struct pool *first, *second, *third, *fourth;

    leave_maintenance_out();
    make_thin_pools(NULL);
    first = heap->used[c];
    second = first->next;
    third = second->next;
    fourth = third->next;
    heap->tidying.cursor = first;
    put_back(tide_pool_start(first)); /* its only block */
    TIDE_REQUIRE(heap->used[c] == second && heap->tidying.cursor == second);
    for (uint32_t n = 0; n < 2 * capacity_of(PAGED) - 1; n++) /* the current, then the second */
        allocate(PAGED);
    TIDE_REQUIRE(heap->current[c] == third && heap->tidying.cursor == fourth);
}
