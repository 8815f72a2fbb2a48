/* test_lists.c - heap/lists.c: how many blocks a cached class's list has */
#include "heaps.h"

#define SIZE (TIDE_LOOKUP_MAX + 1)
enum { MANY = 1024 };

static void *blocks[MANY];

static unsigned size_class;

static uint32_t listed(void)
{
    return length_of(list_of(own_heap(), size_class));
}

static void take(size_t size, int count)
{
    size_class = tide_class_of(size);
    for (int n = 0; n < count; n++)
        blocks[n] = allocate(size);
}

IN_NEW_THREAD(lists, blocks_of_any_own_pool_are_cached, NULL)
{
    struct heap *heap = own_heap();

    take(TIDE_POOLED_MAX, 64);
    while (list_of(heap, size_class))
        allocate(TIDE_POOLED_MAX);
    free_all(blocks, 2);
    TIDE_REQUIRE(tide_pool_of(blocks[0]) != heap->current[size_class]);
    TIDE_REQUIRE(list_of(heap, size_class) == blocks[0]);
    TIDE_REQUIRE(list_of(heap, size_class)->next == blocks[1]);
    TIDE_REQUIRE(heap->foreign[size_class] == 0);
    tide_heap_check(heap);
    TIDE_REQUIRE(allocate(TIDE_POOLED_MAX) == blocks[0]);
}

IN_NEW_THREAD(lists, what_is_freed_once_goes_back_to_its_pools, NULL)
{
    struct heap *heap = own_heap();

    take(SIZE, MANY);
    free_all(blocks, MANY);
    TIDE_REQUIRE(heap->depth[size_class] <= 1);
    TIDE_REQUIRE(listed() <= 2 * TIDE_LIST_LEAST);
    tide_heap_check(heap);
    for (struct pool *pool = heap->used[size_class]; pool; pool = pool->next)
        TIDE_REQUIRE(tide_pool_allocated(pool) <= listed());
}

/* Until all of them wait in the list. */
static void use_over_and_over(size_t size, int count)
{
    for (int round = 0; round < 40; round++) {
        take(size, count);
        free_all(blocks, (uint32_t)count);
    }
}

IN_NEW_THREAD(lists, what_is_used_over_and_over_waits_in_the_list, NULL)
{
    struct heap *heap = own_heap();
    uint32_t length;

    use_over_and_over(TIDE_POOLED_MAX, 16);
    length = listed();
    TIDE_REQUIRE(length >= 16);
    use_over_and_over(TIDE_POOLED_MAX, 16);
    TIDE_REQUIRE(listed() == length && !heap->ran_dry[size_class]);
    tide_heap_check(heap);
}

/* Each may have one pool's blocks more, if so many were put back at once. */
IN_NEW_THREAD(lists, all_lists_of_a_heap_have_a_bound, NULL)
{
    struct heap *heap = own_heap();

    for (unsigned c = TIDE_CACHED_CLASS; c < TIDE_CLASSES; c++)
        use_over_and_over(tide_class_bytes[c], 200);
    for (unsigned c = TIDE_CACHED_CLASS; c < TIDE_CLASSES; c++)
        TIDE_REQUIRE(length_of(list_of(heap, c)) <=
                     tide_heap_list_most(heap, c) + capacity_of(tide_class_bytes[c]));
    TIDE_REQUIRE(heap->deepened > 0 && heap->deepened <= (size_t)512 << 10);
    tide_heap_check(heap);
}

IN_NEW_THREAD(lists, giving_back_makes_them_short_again, NULL)
{
    struct heap *heap = own_heap();

    use_over_and_over(SIZE, 100);
    TIDE_REQUIRE(heap->depth[size_class] > 0 && heap->deepened > 0);
    tide_idle_give_back_own();
    TIDE_REQUIRE(heap->depth[size_class] == 0 && heap->deepened == 0);
    TIDE_REQUIRE(listed() == 0 && !heap->used[size_class]);
    take(SIZE, MANY);
    free_all(blocks, MANY);
    TIDE_REQUIRE(listed() <= 2 * TIDE_LIST_LEAST);
}

IN_NEW_THREAD(lists, new_pools_send_what_waits_in_other_lists_back, NULL)
{
    struct heap *heap = own_heap();
    unsigned other = tide_class_of(TIDE_POOLED_MAX);

    use_over_and_over(TIDE_POOLED_MAX, 16);
    TIDE_REQUIRE(length_of(list_of(heap, other)) >= 16 && heap->depth[other] > 0);
    for (unsigned n = 0; n < 2 * TIDE_CLASSES; n++)
        fill_pool(SIZE, blocks);
    TIDE_REQUIRE(!list_of(heap, other) && heap->depth[other] == 0);
    tide_heap_check(heap);
}

IN_NEW_THREAD(lists, the_first_free_after_giving_back_is_noticed, NULL)
{
    struct heap *heap = own_heap();
    uint32_t moves;

    use_over_and_over(TIDE_POOLED_MAX, 16);
    take(TIDE_POOLED_MAX, 16);
    tide_idle_give_back_own();
    moves = tide_relaxed(&heap->moves);
    tide_free(blocks[0]);
    TIDE_REQUIRE(listed() == 1 && tide_relaxed(&heap->moves) != moves);
    tide_heap_check(heap);
}

IN_NEW_THREAD(lists, a_list_that_stays_short_is_seldom_measured, NULL)
{
    struct heap *heap = own_heap();

    take(SIZE, 2);
    for (int n = 0; n < 100; n++) {
        tide_free(blocks[0]);
        TIDE_REQUIRE(tide_relaxed(&heap->list[size_class].left) > 0);
        blocks[0] = allocate(SIZE);
    }
    TIDE_REQUIRE(heap->depth[size_class] <= 1);
    tide_heap_check(heap);
}

/* A pool that is met while more is freed than allocated has its own list until it is current. */
IN_NEW_THREAD(lists, what_is_only_freed_bypasses_the_list, NULL)
{
    unsigned bypassed = 0;
    struct heap *heap = own_heap();

    take(SIZE, MANY);
    for (int n = 0; n < MANY / 2; n++) {
        struct pool *pool = tide_pool_of(blocks[n]);

        tide_free(blocks[n]);
        if (tide_relaxed(&pool->owner) == heap && pool->frees_to == &pool->own) {
            TIDE_REQUIRE(pool->freed == blocks[n]);
            bypassed++;
        }
        tide_heap_check(heap);
    }
    TIDE_REQUIRE(bypassed > MANY / 8);
    for (int n = 0; n < MANY / 2; n++)
        blocks[n] = allocate(SIZE);
    TIDE_REQUIRE(heap->current[size_class]->frees_to == &heap->list[size_class]);
    free_all(blocks, MANY);
    tide_heap_check(heap);
}

static void free_two(void *unused)
{
    (void)unused;
    free_all(blocks, 2);
    tide_heap_check(own_heap());
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 2);
    send_foreign_home();
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 0 && listed() == 0);
    tide_heap_check(own_heap());
}

IN_NEW_THREAD(lists, foreign_blocks_in_them_are_told_apart, NULL)
{
    take(SIZE, 2);
    run_thread(free_two, NULL);
}
