/* test_idle_taken.c - upkeep/idle.h: a thread whose heap someone has taken goes on without
 * it, and nothing of what it frees is lost
 *
 * Here the test takes it, as idle.c does.
 */
#include "upkeep/idle.h"

#include "api/fast.h"
#include "upkeep/tidy.h"
#include "../heap/sleepers.h"

static void *block, *another;

/* From here to open this thread has the heap. */
static void take(struct heap *heap)
{
    TIDE_REQUIRE(tide_heap_close(heap) && !tide_heap_close(heap));
    TIDE_REQUIRE(tide_os_barrier() && tide_heap_is_left(heap));
}

static void tidy(struct heap *heap)
{
    struct tide_aside aside = { .page_count = 0 };

    tide_heap_tidy_begin(heap, false);
    while (tide_heap_tidy(heap, &aside) || aside.page_count > 0)
        tide_aside_dispose(&aside);
    tide_aside_dispose(&aside);
}

static bool is_of(const void *address, const struct heap *heap)
{
    return tide_relaxed(&tide_pool_of(address)->owner) == heap;
}

static uint32_t returned_of(const void *address)
{
    return tide_pool_returned_count(tide_pool_of(address));
}

/* ---- Calls meanwhile ------------------------------------------------------- */

static void call_malloc(void *unused)
{
    (void)unused;
    block = memset(allocate(100), 1, 100);
}

static void call_malloc_of_every_kind(void *unused)
{
    static const size_t sizes[] = { 1, 1500, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1, TIDE_ARENA_BYTES / 2,
                                    TIDE_ARENA_BYTES / 2 + 1 };

    (void)unused;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *zero = tide_calloc(1, sizes[n]), *all = allocate(sizes[n]);

        TIDE_REQUIRE(zero && is_zero(zero, sizes[n]));
        tide_free(memset(all, 1, sizes[n]));
        tide_free(zero);
    }
}

static void call_aligned_alloc(void *unused)
{
    (void)unused;
    another = tide_aligned_alloc(64, 128);
    TIDE_REQUIRE(another && is_aligned(another, 64));
}

static void call_realloc(void *unused)
{
    (void)unused;
    block = tide_realloc(block, 500);
    TIDE_REQUIRE(block && ((char *)block)[99] == 1);
}

static void call_free(void *address)
{
    tide_free(address);
}

static void call_idle(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(tide_thread_idle() == 0);
}

static void do_taken(struct sleeper *sleeper, void (*call)(void *), void *argument)
{
    peer_do(&sleeper->peer, call, argument);
    TIDE_REQUIRE(tide_heap_is_left(sleeper->heap));
    TIDE_REQUIRE(tide_relaxed(&sleeper->heap->door) == &tide_heap_none);
}

static void check_calls(void)
{
    static struct sleeper sleeper;
    void *foreign_block = allocate(100);
    uint32_t returned;

    let_use_all(&sleeper);
    wake_for(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(is_of(block, sleeper.heap));
    take(sleeper.heap);
    returned = returned_of(block);
    do_taken(&sleeper, call_free, block);
    TIDE_REQUIRE(returned_of(block) == returned + 1);
    TIDE_REQUIRE(tide_relaxed(&sleeper.heap->inbox) == tide_pool_of(block));
    do_taken(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(is_of_common_heap(block));
    do_taken(&sleeper, call_realloc, NULL);
    TIDE_REQUIRE(is_of_common_heap(block));
    do_taken(&sleeper, call_aligned_alloc, NULL);
    TIDE_REQUIRE(is_of_common_heap(another));
    returned = returned_of(block);
    do_taken(&sleeper, call_free, block);
    TIDE_REQUIRE(returned_of(block) == returned + 1);
    returned = returned_of(foreign_block);
    do_taken(&sleeper, call_free, foreign_block);
    TIDE_REQUIRE(returned_of(foreign_block) == returned + 1);
    do_taken(&sleeper, call_malloc_of_every_kind, NULL);
    do_taken(&sleeper, call_idle, NULL);
    tidy(sleeper.heap);
    TIDE_REQUIRE(keeps_nothing(sleeper.heap) && !tide_relaxed(&sleeper.heap->inbox));
    tide_heap_open(sleeper.heap);
    wake_for(&sleeper, check_kept, NULL);
    wake_for(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(is_of(block, sleeper.heap));
    wake_for(&sleeper, call_free, another);
    give_back_all();
    give_back_all();
    TIDE_REQUIRE(pools_of_size(100) == 1 && pools_of_size(128) == 0);
    tide_check_all();
}

SCENARIO(idle_taken, a_thread_whose_heap_is_taken_uses_the_common_one, NULL)
{
    check_calls();
}

SCENARIO(idle_taken, so_does_one_whose_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_calls();
}

/* The last block of a pool arrives, and it goes. */
SCENARIO(idle_taken, what_is_freed_meanwhile_arrives, NULL)
{
    static struct sleeper sleeper;
    struct pool *pool;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, call_malloc, NULL);
    pool = tide_pool_of(block);
    take(sleeper.heap);
    do_taken(&sleeper, call_free, block);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_USED);
    tide_heap_open(sleeper.heap);
    give_back_all();
    TIDE_REQUIRE(pools_of_size(100) == 0);
    wake_for(&sleeper, call_malloc, NULL);
    TIDE_REQUIRE(is_of(block, sleeper.heap));
    tide_check_all();
}

/* A taker that finds the heap taken goes by. */
SCENARIO(idle_taken, others_leave_it_alone, NULL)
{
    static struct sleeper sleeper;

    let_use_all(&sleeper);
    take(sleeper.heap);
    look_twice();
    give_back_all();
    tide_heap_visit_orphan(sleeper.heap);
    TIDE_REQUIRE(!is_bare(sleeper.heap) && list_of(sleeper.heap, 1));
    TIDE_REQUIRE(tide_relaxed(&sleeper.heap->door) == &tide_heap_none);
    tide_heap_open(sleeper.heap);
    give_back_all();
    TIDE_REQUIRE(keeps_nothing(sleeper.heap));
}

/* ---- Threads that end ------------------------------------------------------ */

SCENARIO(idle_taken, a_thread_that_ends_meanwhile_leaves_it_to_the_taker, NULL)
{
    static struct sleeper sleeper;
    struct heap *heap, *of_next;

    let_use_all(&sleeper);
    heap = sleeper.heap;
    take(heap);
    peer_end(&sleeper.peer);
    TIDE_REQUIRE(tide_relaxed(&heap->state) == HEAP_ORPHAN && !is_bare(heap) && heap->is_whole);
    TIDE_REQUIRE(heap->outbox.bytes > 0 && heap->surplus[tide_class_of(LENT)].first);
    TIDE_REQUIRE(tide_heap_is_left(heap) && tide_heap_count() == 1);
    run_thread(get_heap, &of_next);
    TIDE_REQUIRE(of_next != heap);
    tidy(heap);
    TIDE_REQUIRE(keeps_nothing(heap));
    tide_heap_note_bare(heap);
    TIDE_REQUIRE(!heap->is_whole);
    tide_heap_open(heap);
    tide_check_all();
    check_kept(NULL);
    tide_check_all();
}

/* And what came to it meanwhile is there for the next thread. */
SCENARIO(idle_taken, its_heap_is_adopted_once_it_is_free, NULL)
{
    static struct sleeper sleeper;
    struct heap *heap, *of_next;

    leave_maintenance_out();
    own_heap();
    start_sleeper(&sleeper);
    heap = sleeper.heap;
    wake_for(&sleeper, call_malloc, NULL);
    take(heap);
    peer_end(&sleeper.peer);
    free_home(block);
    TIDE_REQUIRE(returned_of(block) == 1 && tide_relaxed(&heap->inbox));
    tide_heap_open(heap);
    run_thread(get_heap, &of_next);
    TIDE_REQUIRE(of_next == heap && returned_of(block) == 0 && !tide_relaxed(&heap->inbox));
    tide_check_all();
}

/* ---- Sections -------------------------------------------------------------- */

IN_NEW_THREAD(idle_taken, a_section_finds_the_door, NULL)
{
    struct heap *heap = own_heap();

    TIDE_REQUIRE(tide_heap_is_left(heap));
    TIDE_REQUIRE(tide_heap_begin(heap) == heap && !tide_heap_is_left(heap));
    tide_heap_end(heap);
    TIDE_REQUIRE(tide_heap_is_left(heap) && tide_heap_close(heap));
    TIDE_REQUIRE(tide_heap_begin(heap) == &tide_heap_none && !tide_heap_is_left(heap));
    tide_heap_end(heap);
    TIDE_REQUIRE(tide_api_enter() == tide_common_heap());
    tide_heap_leave(tide_common_heap());
    tide_heap_open(heap);
    TIDE_REQUIRE(tide_api_enter() == heap && !tide_heap_is_left(heap));
    tide_heap_leave(heap);
    TIDE_REQUIRE(tide_heap_is_left(heap));
}

/* As if the fast path had found the door closed, and then it was opened. */
IN_NEW_THREAD(idle_taken, a_malloc_that_missed_finds_its_list_again, NULL)
{
    unsigned c = tide_class_of(100);
    struct heap *heap = own_heap();
    struct block *first, *next;

    tide_free(allocate(100));
    first = list_of(heap, c);
    next = first->next;
    TIDE_REQUIRE(tide_api_malloc_slow(100) == first && list_of(heap, c) == next);
    tide_heap_check(heap);
}

IN_NEW_THREAD(idle_taken, nothing_is_behind_a_closed_door, NULL)
{
    struct heap *heap = own_heap();

    tide_free(allocate(100));
    TIDE_REQUIRE(tide_heap_close(heap));
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!tide_heap_none.list[c].freed && !tide_heap_none.current[c]);
        TIDE_REQUIRE(!tide_heap_pop(2 * c));
    }
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        tide_free(allocate(tide_class_bytes[c]));
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        TIDE_REQUIRE(!tide_heap_none.list[c].freed && !tide_heap_none.foreign[c]);
    tide_heap_open(heap);
}
