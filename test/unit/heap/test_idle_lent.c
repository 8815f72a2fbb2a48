/* test_idle_lent.c - heap/idle.h: a thread that wakes up or ends while someone stands
 * in for it waits, and goes on
 *
 * Here the test stands in, as idle.c does.
 */
#include "heap/idle.h"

#include "sleepers.h"

/* ---- A thread that wakes up while it is lent --------------------------- */

static struct heap nobodys; /* has no blocks */
static void *block, *another;

/* From here to take_back this thread stands in. */
static void lend(struct heap *heap)
{
    tide_lock(&heap->lock);
    tide_set_relaxed(&heap->is_lent, true);
    *tide_relaxed(&heap->fast) = &nobodys;
    TIDE_REQUIRE(tide_os_barrier());
}

static void take_back(struct heap *heap)
{
    tide_set_release(&heap->is_lent, false);
    tide_unlock(&heap->lock);
}

static bool is_done(struct sleeper *sleeper)
{
    int value;

    TIDE_REQUIRE(sem_getvalue(&sleeper->peer.done, &value) == 0);
    return value > 0;
}

static void call_malloc(void *unused)
{
    (void)unused;
    block = allocate(100);
}

static void call_aligned_alloc(void *unused)
{
    (void)unused;
    another = tide_aligned_alloc(64, 128);
}

static void call_realloc(void *unused)
{
    (void)unused;
    block = tide_realloc(block, 500);
}

static void call_free(void *unused)
{
    (void)unused;
    tide_free(block);
}

static void call_free_of_foreign(void *foreign_block)
{
    tide_free(foreign_block);
}

static void call_idle(void *unused)
{
    (void)unused;
    tide_thread_idle();
}

static void expect_fast_paths(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(tide_options.check || tide_heap_fast == own_heap());
}

static void check_waits_in(struct sleeper *sleeper, void (*call)(void *), void *argument)
{
    lend(sleeper->heap);
    peer_ask(&sleeper->peer, call, argument);
    wait_until_it_waits(sleeper);
    TIDE_REQUIRE(!is_done(sleeper));
    tide_heap_give_back(sleeper->heap);
    TIDE_REQUIRE(keeps_nothing(sleeper->heap) && !is_done(sleeper));
    take_back(sleeper->heap);
    peer_wait(&sleeper->peer);
    let_sleep(sleeper->heap);
    TIDE_REQUIRE(tide_relaxed(&sleeper->heap->inside) == 0);
    tide_api_check();
}

static void check_all_calls_wait(void)
{
    struct sleeper sleeper;
    void *foreign_block = allocate(100);

    let_use_all(&sleeper);
    check_waits_in(&sleeper, call_malloc, NULL);
    check_waits_in(&sleeper, call_aligned_alloc, NULL);
    TIDE_REQUIRE(another);
    check_waits_in(&sleeper, call_realloc, NULL);
    check_waits_in(&sleeper, call_free, NULL);
    check_waits_in(&sleeper, call_free_of_foreign, foreign_block);
    check_waits_in(&sleeper, call_idle, NULL);
    wake_for(&sleeper, check_kept, NULL);
    wake_for(&sleeper, expect_fast_paths, NULL);
}

SCENARIO(idle_lent, a_thread_that_wakes_up_while_it_is_lent_waits_and_goes_on, NULL)
{
    check_all_calls_wait();
}

SCENARIO(idle_lent, so_does_one_that_wakes_up_while_its_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_all_calls_wait();
}

/* Nothing has to be undone for it. */
SCENARIO(idle_lent, a_thread_that_was_lent_finds_its_fast_paths_itself, NULL)
{
    struct sleeper sleeper;

    let_use_all(&sleeper);
    look_twice();
    TIDE_REQUIRE(*tide_relaxed(&sleeper.heap->fast) != sleeper.heap);
    wake_for(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(*tide_relaxed(&sleeper.heap->fast) == sleeper.heap);
}

SCENARIO(idle_lent, a_thread_that_ends_while_it_is_lent_waits, NULL)
{
    struct sleeper sleeper;
    struct heap *heap;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    lend(heap);
    peer_ask(&sleeper.peer, NULL, NULL);
    wait_until_it_waits(&sleeper);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_OWNED);
    tide_heap_give_back(heap);
    take_back(heap);
    pthread_join(sleeper.peer.thread, NULL);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_ORPHAN && !tide_relaxed(&heap->fast));
    tide_api_check();
    run_thread(check_kept, NULL);
    tide_api_check();
}
