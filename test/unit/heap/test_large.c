/* test_large.c - heap/large.h: blocks of runs of slots */
#include "heap/large.h"

#include <errno.h>

#include "heaps.h"
#include "os/map.h"

static void *take(size_t size, size_t alignment)
{
    void *block = tide_large_malloc(&own_heap()->tenant, size, alignment, NULL);

    cr_assert(block, "%zu bytes aligned to %zu", size, alignment);
    return block;
}

Test(large, slots_are_those_a_size_needs)
{
    cr_assert_eq(tide_large_slots(1), 1);
    for (unsigned slots = 1; slots <= TIDE_RUN_MAX / TIDE_SLOT_BYTES; slots++) {
        cr_assert_eq(tide_large_slots(slots * TIDE_SLOT_BYTES), slots);
        cr_assert_eq(tide_large_slots(slots * TIDE_SLOT_BYTES - 1), slots);
        cr_assert_eq(tide_large_slots(slots * TIDE_SLOT_BYTES + 1), slots + 1);
    }
}

Test(large, a_block_is_a_run_of_its_own)
{
    static const size_t sizes[] = {
        0,
        1,
        TIDE_POOLED_MAX + 1,
        TIDE_SLOT_BYTES,
        TIDE_SLOT_BYTES + 1,
        TIDE_RUN_MAX - 1,
        TIDE_RUN_MAX,
    };

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        char *block = take(sizes[n], TIDE_ALIGNMENT);
        struct pool *run = tide_pool_of(block);

        cr_assert_eq(tide_relaxed(&run->state), POOL_RUN);
        cr_assert_eq(tide_pool_start(run), block);
        cr_assert_eq(tide_pool_bytes(run), tide_round_up(sizes[n] ? sizes[n] : 1, TIDE_SLOT_BYTES));
        memset(block, 0xa5, tide_pool_bytes(run));
        tide_free(block);
    }
    tide_api_check();
}

Test(large, a_block_can_be_aligned_up_to_the_largest_run)
{
    for (size_t alignment = TIDE_ALIGNMENT; alignment <= TIDE_RUN_MAX; alignment *= 2) {
        char *first = take(TIDE_POOLED_MAX + 1, alignment);
        char *second = take(TIDE_RUN_MAX, alignment);

        cr_assert(is_aligned(first, alignment));
        cr_assert(is_aligned(second, alignment));
        tide_free(first);
        tide_free(second);
    }
    tide_api_check();
}

IN_NEW_THREAD(large, a_block_is_zero_until_its_slots_were_used, NULL)
{
    bool said_zero;
    char *block = tide_large_malloc(&own_heap()->tenant, TIDE_RUN_MAX, TIDE_ALIGNMENT, &said_zero);

    TIDE_REQUIRE(block && is_zero(block, TIDE_RUN_MAX) == said_zero);
    memset(block, 1, TIDE_RUN_MAX);
    tide_free(block);
    TIDE_REQUIRE(tide_large_malloc(&own_heap()->tenant, TIDE_RUN_MAX, TIDE_ALIGNMENT, &said_zero) == block);
    TIDE_REQUIRE(!said_zero && !is_zero(block, TIDE_RUN_MAX));
    tide_free(block);
    tide_malloc_trim(0);
    block = tide_large_malloc(&own_heap()->tenant, TIDE_RUN_MAX, TIDE_ALIGNMENT, &said_zero);
    TIDE_REQUIRE(block && said_zero && is_zero(block, TIDE_RUN_MAX));
}

Test(large, a_block_shrinks_and_grows_where_it_is)
{
    unsigned char *block = take(TIDE_RUN_MAX, TIDE_ALIGNMENT);
    struct pool *run = tide_pool_of(block);

    memset(block, 0xa5, TIDE_RUN_MAX);
    cr_assert(tide_large_resize(run, TIDE_SLOT_BYTES + 1));
    cr_assert_eq(run->slots, 2);
    cr_assert(tide_large_resize(run, 2 * TIDE_SLOT_BYTES));
    cr_assert_eq(run->slots, 2);
    cr_assert(tide_large_resize(run, TIDE_RUN_MAX), "the slots it gave back are still free");
    cr_assert_eq(tide_pool_bytes(run), TIDE_RUN_MAX);
    for (size_t n = 0; n < 2 * TIDE_SLOT_BYTES; n++)
        cr_assert_eq(block[n], 0xa5);
    memset(block, 0x5a, TIDE_RUN_MAX);
    tide_free(block);
    tide_api_check();
}

/* Blocks until one starts where the block before it ends. */
static char *take_neighbours(char **first)
{
    char *block = take(TIDE_SLOT_BYTES, TIDE_ALIGNMENT), *next;

    for (;; block = next) {
        next = take(TIDE_SLOT_BYTES, TIDE_ALIGNMENT);
        if (next == block + TIDE_SLOT_BYTES) {
            *first = block;
            return next;
        }
    }
}

Test(large, a_block_does_not_grow_into_its_neighbour)
{
    char *first, *second = take_neighbours(&first);

    memset(second, 0xa5, TIDE_SLOT_BYTES);
    cr_assert_not(tide_large_resize(tide_pool_of(first), TIDE_SLOT_BYTES + 1));
    cr_assert_eq(tide_pool_bytes(tide_pool_of(first)), TIDE_SLOT_BYTES);
    tide_free(second);
    cr_assert(tide_large_resize(tide_pool_of(first), TIDE_SLOT_BYTES + 1));
    tide_api_check();
}

static void take_until_nothing_is_left(void)
{
    tide_os_fail_map_every(1);
    errno = 0;
    while (tide_large_malloc(&own_heap()->tenant, TIDE_SLOT_BYTES, TIDE_ALIGNMENT, NULL))
        ;
    TIDE_REQUIRE(errno == ENOMEM);
    errno = 0;
    TIDE_REQUIRE(!tide_malloc(TIDE_RUN_MAX) && errno == ENOMEM);
    tide_api_check();
    tide_os_fail_map_every(0);
    allocate(TIDE_RUN_MAX);
    tide_api_check();
}

Test(large, without_memory_there_is_no_block)
{
    own_heap();
    assert_ended_well(run_apart(take_until_nothing_is_left));
}

static void put_back(void *block)
{
    tide_free(block);
}

Test(large, any_thread_frees_a_block)
{
    char *block = take(TIDE_RUN_MAX, TIDE_ALIGNMENT);
    struct pool *run = tide_pool_of(block);

    run_thread(put_back, block);
    cr_assert_eq(tide_relaxed(&run->state), POOL_FREE);
    tide_api_check();
}
