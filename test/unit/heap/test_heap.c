/* test_heap.c - heap/heap.h: birth, exit, orphans, adoption, the late heap,
 * giving back */
#include "heap/heap.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>

#include "heaps.h"
#include "heap/remote.h"
#include "os/map.h"
#include "os/records.h"

#define SIZE ((size_t)448)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static void *blocks[3][MOST_BLOCKS];

static void get_heap(void *heap)
{
    *(struct heap **)heap = own_heap();
}

static void allocate_one(void *block)
{
    *(void **)block = allocate(SIZE);
}

static void free_one(void *block)
{
    tide_free(block);
}

static size_t count_heaps(void)
{
    size_t count = 0;

    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        count++;
    return count;
}

static bool is_listed(const struct heap *wanted)
{
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (heap == wanted)
            return true;
    return false;
}

/* ---- Birth -------------------------------------------------------------- */

Test(heap, the_allocator_has_started)
{
    cr_assert(tide_heap_start(NULL));
    cr_assert(tide_heap_start(environ));
}

Test(heap, a_thread_has_one_heap_of_its_own)
{
    struct heap *mine = own_heap(), *first, *again, *second;
    struct peer one, other;

    peer_start(&one);
    peer_start(&other);
    peer_do(&one, get_heap, &first);
    peer_do(&other, get_heap, &second);
    peer_do(&one, get_heap, &again);
    cr_assert(mine != first && first != second && second != mine);
    cr_assert_eq(first, again);
    cr_assert_eq(own_heap(), mine);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_OWNED);
    cr_assert(is_listed(mine) && is_listed(first) && is_listed(second));
    peer_end(&one);
    peer_end(&other);
}

Test(heap, one_of_all_heaps_is_the_late_one)
{
    size_t late = 0;

    own_heap();
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        late += tide_heap_is_late(heap);
    cr_assert_eq(late, 1);
    cr_assert_not(tide_heap_is_late(own_heap()));
}

IN_NEW_THREAD(heap, a_new_heap_is_empty, NULL)
{
    struct heap *heap = own_heap();

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!list_of(heap, c) && !heap->current[c] && !heap->used[c]);
        TIDE_REQUIRE(heap->foreign[c] == 0);
    }
    TIDE_REQUIRE(!heap->stock && heap->stock_count == 0 && !heap->tenant.arena);
    TIDE_REQUIRE(!tide_relaxed(&heap->inbox) && tide_relaxed(&heap->state) == HEAP_OWNED);
    TIDE_REQUIRE(tide_heap_fast == heap);
    tide_heap_check(heap);
}

IN_NEW_THREAD(heap, with_checks_on_the_fast_path_has_no_heap, "TIDEPOOL_CHECK=on")
{
    struct heap *heap = own_heap();

    TIDE_REQUIRE(tide_heap_fast != heap);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        TIDE_REQUIRE(!list_of(tide_heap_fast, c));
}

IN_NEW_THREAD(heap, without_memory_no_heap_is_born_until_there_is, NULL)
{
    TIDE_REQUIRE(tide_os_record(64 * 1024)); /* nothing is left of the chunk */
    tide_os_fail_map_every(1);
    errno = 0;
    TIDE_REQUIRE(!tide_heap_enter() && errno == ENOMEM);
    errno = 0;
    TIDE_REQUIRE(!tide_malloc(SIZE) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(allocate(SIZE) && own_heap());
}

/* ---- Exit, orphans, adoption -------------------------------------------- */

Test(heap, a_heap_outlives_its_thread_and_is_adopted)
{
    struct heap *first, *second;

    run_thread(get_heap, &first);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
    cr_assert(is_listed(first));
    run_thread(get_heap, &second);
    cr_assert_eq(first, second);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
}

Test(heap, threads_one_after_another_share_one_heap)
{
    struct heap *heap;
    size_t count, record_bytes;

    run_thread(get_heap, &heap);
    count = count_heaps();
    record_bytes = tide_os_record_bytes();
    for (int n = 0; n < 20; n++)
        run_thread(get_heap, &heap);
    cr_assert_eq(count_heaps(), count);
    cr_assert_eq(tide_os_record_bytes(), record_bytes);
}

static void get_state(void *argument)
{
    struct heap **heap = argument;

    *heap = own_heap();
    TIDE_REQUIRE(tide_relaxed(&(*heap)->state) == HEAP_OWNED);
}

Test(heap, orphans_are_each_adopted_by_one_thread)
{
    struct peer peers[3];
    struct heap *before[3], *after[3];

    for (int n = 0; n < 3; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_do(&peers[n], get_state, &before[n]);
    for (int n = 0; n < 3; n++)
        peer_end(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_do(&peers[n], get_state, &after[n]);
    for (int n = 0; n < 3; n++) {
        int found = 0;

        for (int at = 0; at < 3; at++)
            found += after[at] == before[n];
        cr_assert_eq(found, 1);
        peer_end(&peers[n]);
    }
}

static void allocate_with_a_different_owner(void *argument)
{
    void *block = allocate(SIZE), *inherited = *(void **)argument;

    TIDE_REQUIRE(tide_pool_of(block) == tide_pool_of(inherited));
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(inherited)->owner) == own_heap());
    tide_free(inherited);
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 0);
    tide_free(block);
}

Test(heap, an_adopted_heap_brings_its_pools_along)
{
    void *block;

    run_thread(allocate_one, &block);
    memset(block, 1, SIZE);
    run_thread(allocate_with_a_different_owner, &block);
}

Test(heap, an_orphan_keeps_no_list_no_stock_and_no_arena)
{
    struct heap *heap;
    void *block;

    run_thread(allocate_one, &block);
    heap = tide_relaxed(&tide_pool_of(block)->owner);
    cr_assert_eq(tide_relaxed(&heap->state), HEAP_ORPHAN);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        cr_assert(!list_of(heap, c) && !heap->current[c]);
    cr_assert(!heap->stock && !heap->tenant.arena);
    cr_assert(is_in_used_list(heap, tide_pool_of(block)));
    tide_heap_check(heap);
    tide_free(block);
}

static void fill_three(void *unused)
{
    (void)unused;
    fill_pool(SIZE, blocks[0]);
    fill_pool(SIZE, blocks[1]);
    fill_pool(SIZE, blocks[2]);
}

static void check_frees_to_an_orphan(int64_t stash)
{
    size_t pools = pools_of_size(SIZE);

    tide_options.stash = stash;
    run_thread(fill_three, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools + 3);
    for (int n = 0; n < 3; n++)
        free_all(blocks[n], capacity_of(SIZE));
    tide_heap_send_foreign(own_heap(), size_class, 0);
    cr_assert_eq(pools_of_size(SIZE), pools);
    tide_api_check();
}

Test(heap, an_orphans_pools_go_when_their_blocks_are_freed)
{
    check_frees_to_an_orphan(0);
}

Test(heap, an_orphans_pools_go_when_their_blocks_are_freed_in_chains)
{
    check_frees_to_an_orphan(1 << 20);
}

Test(heap, a_thread_that_ends_takes_in_what_was_returned_before)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    tide_options.stash = 0;
    tide_free(blocks[0][0]);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    cr_assert_eq(tide_pool_returned_count(pool), 1);
    peer_end(&peer);
    cr_assert_null(tide_relaxed(&heap->inbox));
    cr_assert_eq(tide_pool_returned_count(pool), 0);
    cr_assert_eq(tide_pool_freed_count(pool), 1);
    tide_heap_check(heap);
}

Test(heap, only_orphans_are_visited)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    tide_options.stash = 0;
    tide_free(blocks[0][0]);
    tide_heap_visit_orphan(heap);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    peer_end(&peer);
}

static void free_foreign(void *other)
{
    free_one(other);
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 1);
}

Test(heap, a_thread_that_ends_sends_foreign_blocks_home)
{
    void *block = allocate(SIZE);
    struct pool *pool = tide_pool_of(block);
    uint32_t before = tide_pool_returned_count(pool);

    run_thread(free_foreign, block);
    cr_assert_eq(tide_pool_returned_count(pool), before + 1);
    tide_heap_drain_inbox(own_heap());
    cr_assert_eq(tide_pool_returned_count(pool), 0);
}

static void end_with_errno(void *unused)
{
    (void)unused;
    allocate(SIZE);
    errno = ERANGE;
}

static pthread_key_t last_key;
static int errno_at_end;

static void get_errno(void *unused)
{
    (void)unused;
    errno_at_end = errno;
}

static void end_watched(void *unused)
{
    TIDE_REQUIRE(pthread_setspecific(last_key, &last_key) == 0);
    end_with_errno(unused);
}

Test(heap, the_end_of_a_thread_keeps_errno)
{
    cr_assert_eq(pthread_key_create(&last_key, get_errno), 0);
    run_thread(end_watched, NULL);
    cr_assert_eq(errno_at_end, ERANGE);
}

/* ---- After the destructors ---------------------------------------------- */

/* The allocator's own key is older, so its destructor has run before. */
static void (*late_function)(void *);

static void run_late(void *argument)
{
    late_function(argument);
}

static void begin_late(void *argument)
{
    TIDE_REQUIRE(pthread_setspecific(last_key, argument) == 0);
    own_heap();
}

/* Runs function past the destructors of a thread that has had a heap. */
static void do_late(void (*function)(void *), void *argument)
{
    late_function = function;
    cr_assert_eq(pthread_key_create(&last_key, run_late), 0);
    run_thread(begin_late, argument);
    tide_api_check();
}

static void use_late_heap(void *argument)
{
    struct heap *heap = tide_heap_enter(), **found = argument;

    TIDE_REQUIRE(heap && tide_heap_is_late(heap));
    tide_heap_leave(heap);
    *found = heap;
}

Test(heap, threads_past_their_destructors_share_the_late_heap)
{
    struct heap *first = NULL, *second = NULL;

    do_late(use_late_heap, &first);
    do_late(use_late_heap, &second);
    cr_assert(first && first == second);
    cr_assert(is_listed(first));
    cr_assert_eq(tide_relaxed(&first->state), HEAP_OWNED);
}

static void allocate_late(void *argument)
{
    static const size_t sizes[] = {1, SIZE, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1, TIDE_RUN_MAX + 1};
    void **kept = argument;

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *block = allocate(sizes[n]);

        memset(block, 1, sizes[n]);
        tide_free(block);
    }
    *kept = allocate(SIZE);
    TIDE_REQUIRE(tide_heap_is_late(tide_relaxed(&tide_pool_of(*kept)->owner)));
}

Test(heap, allocating_and_freeing_go_on_past_the_destructors)
{
    void *kept = NULL;

    do_late(allocate_late, &kept);
    cr_assert(kept);
    memset(kept, 2, SIZE);
    tide_options.stash = 0;
    tide_free(kept);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(kept)), 1, "it goes home to the late heap");
    do_late(allocate_late, &kept);
    cr_assert(kept);
    tide_free(kept);
}

static void free_late(void *argument)
{
    struct pool *pool = tide_pool_of(*(void **)argument);

    tide_free(*(void **)argument);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 1);
}

Test(heap, a_late_free_goes_home_at_once)
{
    void *block = allocate(SIZE);
    struct heap *heap = own_heap();

    tide_heap_drain_inbox(heap);
    do_late(free_late, &block);
    tide_heap_drain_inbox(heap);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(block)), 0);
}

static void *early;

static void free_early_block(void *unused)
{
    struct pool *pool = tide_pool_of(early);

    (void)unused;
    TIDE_REQUIRE(tide_relaxed(&tide_relaxed(&pool->owner)->state) == HEAP_ORPHAN);
    tide_free(early);
}

static void begin_with_block(void *unused)
{
    begin_late(&early);
    early = allocate(SIZE);
    (void)unused;
}

Test(heap, a_late_free_of_the_threads_own_block_reaches_the_orphan)
{
    size_t pools = pools_of_size(SIZE);

    late_function = free_early_block;
    cr_assert_eq(pthread_key_create(&last_key, run_late), 0);
    run_thread(begin_with_block, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools, "it was the pool's only block");
    tide_api_check();
}

/* Runs in the last of the rounds in which destructors may ask for another, so
 * that nothing sees the end of a heap that is born there. */
static void be_born_last(void *argument)
{
    static int rounds;
    pid_t *thread = argument;

    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        TIDE_REQUIRE(pthread_setspecific(last_key, argument) == 0);
        return;
    }
    *thread = gettid();
    own_heap();
}

static void begin_without_heap(void *argument)
{
    TIDE_REQUIRE(pthread_setspecific(last_key, argument) == 0);
}

PROGRAM(lost_heap)
{
    pid_t thread = 0;
    struct heap *heap;
    size_t count;

    own_heap();
    count = count_heaps();
    TIDE_REQUIRE(pthread_key_create(&last_key, be_born_last) == 0);
    run_thread(begin_without_heap, &thread);
    TIDE_REQUIRE(thread != 0 && count_heaps() == count + 1);
    while (tgkill(getpid(), thread, 0) == 0)
        sched_yield(); /* joined, and not yet quite gone */
    run_thread(get_state, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1 && heap != own_heap());
    run_thread(get_state, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1);
}

Test(heap, a_heap_born_too_late_to_be_an_orphan_is_adopted_all_the_same)
{
    assert_ended_well(run_program("lost_heap", NULL, NULL));
}

/* ---- Giving back -------------------------------------------------------- */

IN_NEW_THREAD(heap, giving_back_leaves_nothing_but_pools_in_use, NULL)
{
    struct heap *heap = own_heap();
    static void *kept[TIDE_CLASSES];

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        void *freed = allocate(tide_class_bytes[c]);

        kept[c] = c % 2 ? allocate(tide_class_bytes[c]) : NULL;
        tide_free(freed);
    }
    tide_heap_give_back(heap);
    tide_heap_check(heap);
    TIDE_REQUIRE(!heap->stock && heap->stock_count == 0 && !heap->tenant.arena);
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!list_of(heap, c) && !heap->current[c]);
        TIDE_REQUIRE(!heap->used[c] == !kept[c]);
        tide_free(kept[c]);
        TIDE_REQUIRE(!heap->used[c]);
    }
    TIDE_REQUIRE(allocate(SIZE));
}

IN_NEW_THREAD(heap, giving_back_keeps_a_full_pool_full, NULL)
{
    struct pool *pool = fill_pool(SIZE, blocks[0]);
    struct heap *heap = own_heap();

    tide_heap_give_back(heap);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_FULL && !heap->used[size_class]);
    tide_heap_check(heap);
    free_all(blocks[0], sixteenth_of(SIZE));
    TIDE_REQUIRE(is_in_used_list(heap, pool));
    tide_heap_check(heap);
}

IN_NEW_THREAD(heap, giving_back_and_going_on_lose_no_block, NULL)
{
    size_t pools = pools_of_size(SIZE);

    for (int round = 0; round < 50; round++) {
        uint32_t count = (uint32_t)(round * 37) % (3 * capacity_of(SIZE)) + 1;

        for (uint32_t n = 0; n < count; n++)
            *(uint32_t *)(blocks[0][n] = allocate(SIZE)) = n;
        tide_heap_give_back(own_heap());
        for (uint32_t n = 0; n < count; n++)
            TIDE_REQUIRE(*(uint32_t *)blocks[0][n] == n);
        free_all(blocks[0], count);
        tide_heap_give_back(own_heap());
        TIDE_REQUIRE(pools_of_size(SIZE) == pools);
        tide_heap_check(own_heap());
    }
}

/* ---- The check itself --------------------------------------------------- */

static void check_wrong_count(void)
{
    struct heap *heap = own_heap();
    struct peer peer;
    void *block;

    peer_start(&peer);
    peer_do(&peer, allocate_one, &block);
    tide_free(block);
    heap->foreign[size_class] = 0;
    tide_heap_check(heap);
}

static void check_wrong_stock(void)
{
    struct heap *heap = own_heap();

    heap->stock_count++;
    tide_heap_check(heap);
}

static void check_used_current(void)
{
    struct heap *heap = own_heap();

    heap->used[size_class] = heap->current[size_class];
    tide_heap_check(heap);
}

static void check_wrong_class(void)
{
    struct heap *heap = own_heap();

    heap->list[size_class + 1].freed = heap->list[size_class].freed;
    tide_heap_check(heap);
}

static void check_stray_block(void)
{
    struct heap *heap = own_heap();

    heap->list[size_class].freed = (struct block *)((char *)blocks[0][0] + 16);
    tide_heap_check(heap);
}

static void check_full_in_used(void)
{
    struct heap *heap = own_heap();

    tide_set_relaxed(&heap->current[size_class]->state, POOL_FULL);
    tide_heap_check(heap);
}

Test(heap, check_sees_what_is_broken)
{
    blocks[0][0] = allocate(SIZE);
    tide_heap_check(own_heap());
    assert_broken(run_apart(check_wrong_count));
    assert_broken(run_apart(check_wrong_stock));
    assert_broken(run_apart(check_used_current));
    assert_broken(run_apart(check_stray_block));
    assert_broken(run_apart(check_full_in_used));
    if (list_of(own_heap(), size_class))
        assert_broken(run_apart(check_wrong_class));
}
