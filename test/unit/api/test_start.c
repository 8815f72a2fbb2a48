/* test_start.c - api/start.h: the start comes first, and fork keeps everything
 * usable on both sides */
#include "../heap/heaps.h"
#include "arena/address_map.h"

/* ---- Start -------------------------------------------------------------- */

static bool had_started;

__attribute__((constructor(102))) static void look_early(void)
{
    had_started = tide_map_pieces != 0;
}

Test(start, the_allocator_starts_before_other_constructors)
{
    cr_assert(had_started);
}

PROGRAM(first_calls)
{
    tide_free(NULL);
    TIDE_REQUIRE(!tide_owns(&had_started));
    TIDE_REQUIRE(tide_mallinfo2().smblks == 0 && tide_malloc_trim(0) >= 0);
    TIDE_REQUIRE(tide_realloc(NULL, 100));
}

Test(start, any_function_can_be_the_first)
{
    assert_ended_well(run_program("first_calls", NULL, NULL));
}

/* ---- Fork --------------------------------------------------------------- */

#define SIZE ((size_t)336)

static void use_everything(void)
{
    static const size_t sizes[] = { 1, 100, SIZE, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1,
                                    TIDE_ARENA_BYTES + 1 };

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *block = allocate(sizes[n]);

        memset(block, 1, sizes[n]);
        tide_free(block);
    }
    tide_malloc_trim(0);
    tide_check_all();
}

static void use_everything_there(void *unused)
{
    (void)unused;
    use_everything();
}

static struct heap *parents_heap, *others_heap;
static char *mine, *others;
static struct peer other;

static void take_block(void *unused)
{
    (void)unused;
    others = memset(allocate(SIZE), 2, SIZE);
    others_heap = own_heap();
}

/* A thread with a heap and a block, and a block of this one. */
static void prepare(void)
{
    peer_start(&other);
    peer_do(&other, take_block, NULL);
    mine = memset(allocate(SIZE), 1, SIZE);
    parents_heap = own_heap();
}

static void assert_both_work(void (*in_child)(void))
{
    assert_ended_well(run_apart(in_child));
    use_everything();
    peer_do(&other, use_everything_there, NULL);
    cr_assert_eq(own_heap(), parents_heap);
    cr_assert_eq(tide_relaxed(&others_heap->state), HEAP_OWNED);
    cr_assert_eq(mine[SIZE - 1] + others[SIZE - 1], 3);
    peer_end(&other);
    use_everything();
}

static void use_in_child(void)
{
    TIDE_REQUIRE(own_heap() == parents_heap);
    TIDE_REQUIRE(tide_relaxed(&parents_heap->state) == HEAP_OWNED);
    TIDE_REQUIRE(mine[SIZE - 1] + others[SIZE - 1] == 3);
    use_everything();
    tide_free(mine);
    use_everything();
    run_thread(use_everything_there, NULL);
    use_everything();
}

Test(start, parent_and_child_go_on_after_fork)
{
    prepare();
    assert_both_work(use_in_child);
}

static void free_others_in_child(void)
{
    struct pool *pool = tide_pool_of(others);

    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED);
    free_home(others);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 1);
    run_thread(use_everything_there, NULL);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED);
}

Test(start, in_the_child_heaps_of_lost_threads_are_never_used_again)
{
    prepare();
    assert_both_work(free_others_in_child);
}

static struct heap *orphan;

static void note_heap(void *heap)
{
    *(struct heap **)heap = own_heap();
}

static void adopt_in_child(void)
{
    struct heap *adopted;

    TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_ORPHAN);
    run_thread(note_heap, &adopted);
    TIDE_REQUIRE(adopted == orphan);
    use_everything();
}

Test(start, in_the_child_orphans_are_adopted_as_before)
{
    run_thread(note_heap, &orphan);
    assert_ended_well(run_apart(adopt_in_child));
}

static void fork_again(void)
{
    for (int n = 0; n < 3; n++) {
        pid_t child = fork();
        int status;

        TIDE_REQUIRE(child >= 0);
        if (child == 0) {
            use_in_child();
            mine = memset(allocate(SIZE), 1, SIZE);
            continue;
        }
        use_everything();
        TIDE_REQUIRE(waitpid(child, &status, 0) == child && status == 0);
        return;
    }
}

Test(start, a_child_can_fork)
{
    prepare();
    assert_both_work(fork_again);
}

/* ---- Fork and the depot -------------------------------------------------- */

enum { LENT = 8 };

static void *lent[LENT];

/* A batch of this thread's blocks waits in the depot. */
static void lend(void *unused)
{
    (void)unused;
    for (int n = 0; n < LENT; n++)
        lent[n] = allocate(SIZE);
    TIDE_REQUIRE(tide_depot_put(0, tide_class_of(SIZE), batch_from(lent, LENT)));
}

static void take_lent(void)
{
    while (list_of(own_heap(), tide_class_of(SIZE)))
        allocate(SIZE);
    for (int n = 0; n < LENT; n++)
        TIDE_REQUIRE(memset(allocate(SIZE), 3, SIZE) == lent[n]);
    TIDE_REQUIRE(stored_of(SIZE) == 0);
    free_all(lent, LENT);
    use_everything();
}

static void trim_lent(void)
{
    TIDE_REQUIRE(stored_of(SIZE) == 1);
    use_everything();
    TIDE_REQUIRE(stored_of(SIZE) == 0);
    TIDE_REQUIRE(tide_pool_returned_count(tide_pool_of(lent[0])) == LENT);
}

Test(start, parent_and_child_can_use_the_depots_blocks)
{
    prepare();
    peer_do(&other, lend, NULL);
    assert_ended_well(run_apart(take_lent));
    assert_ended_well(run_apart(trim_lent));
    take_lent();
    peer_end(&other);
    use_everything();
}

/* ---- Fork handlers of others -------------------------------------------- */

static bool do_handlers_run;
static unsigned handler_calls;

static void use_in_handler(void)
{
    unsigned c = tide_class_of(SIZE);
    void *blocks[3];

    if (!do_handlers_run)
        return;
    handler_calls++;
    TIDE_REQUIRE(tide_depot_put(0, c, (struct batch){ tide_depot_take(0, c), LENT }));
    tide_common_enter();
    tide_common_leave();
    blocks[0] = allocate(SIZE);
    blocks[1] = allocate(TIDE_SLOT_BYTES);
    blocks[2] = allocate(TIDE_ARENA_BYTES + 1);
    free_all(blocks, 3);
}

static void register_handlers(void)
{
    TIDE_REQUIRE(pthread_atfork(use_in_handler, use_in_handler, use_in_handler) == 0);
}

/* Before all constructors: fork runs these handlers between the allocator's
 * own, while it holds all its locks. */
__attribute__((section(".preinit_array"), used)) static void (*const register_first)(void) =
    register_handlers;

PROGRAM(handlers)
{
    pid_t child;
    int status;

    prepare();
    peer_do(&other, lend, NULL);
    register_handlers();
    do_handlers_run = true;
    child = fork();
    do_handlers_run = false;
    TIDE_REQUIRE(child >= 0 && handler_calls == 4);
    use_everything();
    if (child == 0)
        _exit(0);
    TIDE_REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    peer_do(&other, use_everything_there, NULL);
    peer_end(&other);
    use_everything();
}

Test(start, fork_handlers_may_allocate_even_between_the_allocators_own)
{
    assert_ended_well(run_program("handlers", "TIDEPOOL_ARENA_LOCK=arena", NULL));
    assert_ended_well(run_program("handlers", "TIDEPOOL_ARENA_LOCK=global", NULL));
}

/* ---- Fork while others are at work -------------------------------------- */

static _Atomic bool is_over;

static void work(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over)) {
        void *blocks[40];

        for (size_t n = 0; n < 40; n++)
            blocks[n] = allocate(n * n * 40);
        free_all(blocks, 40);
        tide_free(allocate(TIDE_ARENA_BYTES + 1));
    }
}

static void work_in_child(void)
{
    void *blocks[40];

    for (size_t n = 0; n < 40; n++)
        blocks[n] = allocate(n * n * 40);
    free_all(blocks, 40);
    tide_free(allocate(TIDE_ARENA_BYTES + 1));
}

static void fork_often(void)
{
    struct peer workers[2];

    for (int n = 0; n < 2; n++) {
        peer_start(&workers[n]);
        peer_ask(&workers[n], work, NULL);
    }
    for (int n = 0; n < 50; n++)
        assert_ended_well(run_apart(work_in_child));
    atomic_store(&is_over, true);
    for (int n = 0; n < 2; n++) {
        peer_wait(&workers[n]);
        peer_end(&workers[n]);
    }
    use_everything();
}

Test(start, a_fork_while_others_allocate_leaves_a_child_that_can)
{
    fork_often();
}
