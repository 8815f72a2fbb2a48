/* test_heap_late.c - heap/heap.h: threads that are past their destructors */
#include "heap/heap.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>

#include "heaps.h"

#define SIZE ((size_t)448)

static pthread_key_t last_key;

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

Test(heap_late, threads_past_their_destructors_share_the_late_heap)
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

Test(heap_late, allocating_and_freeing_go_on_past_the_destructors)
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

Test(heap_late, a_late_free_goes_home_at_once)
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

Test(heap_late, a_late_free_of_the_threads_own_block_reaches_the_orphan)
{
    size_t pools = pools_of_size(SIZE);

    late_function = free_early_block;
    cr_assert_eq(pthread_key_create(&last_key, run_late), 0);
    run_thread(begin_with_block, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools + 1);
    tide_heap_give_back_orphans();
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
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1 && heap != own_heap());
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1);
}

Test(heap_late, a_heap_born_too_late_to_be_an_orphan_is_adopted_all_the_same)
{
    assert_ended_well(run_program("lost_heap", NULL, NULL));
}
