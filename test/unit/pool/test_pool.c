/* test_pool.c - pool/pool.h, for every size class */
#include "pool/pool.h"

#include "pools.h"
#include "os/map.h"

static struct block *blocks[MOST_BLOCKS];

/* ---- Opening, carving, closing ------------------------------------------ */

Test(pool, an_open_pool_is_used_and_untouched)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);

        cr_assert_eq(tide_relaxed(&pool->owner), OWNER);
        cr_assert_eq(tide_relaxed(&pool->state), POOL_USED);
        cr_assert_eq(tide_relaxed(&pool->size_class), c);
        cr_assert_eq(pool->block_bytes, tide_class_bytes[c]);
        cr_assert_eq(pool->capacity, tide_pool_bytes(pool) / tide_class_bytes[c]);
        cr_assert_eq(tide_relaxed(&pool->carved), 0);
        cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), 0);
        cr_assert(tide_pool_is_worth_using(pool));
        cr_assert_not(tide_pool_has_block(pool, tide_pool_start(pool)));
        tide_pool_check(pool);
        drop_pool(pool);
    }
}

static void check_carving(struct pool *pool)
{
    uint32_t bytes = pool->block_bytes, carved = 0;
    char *expected = tide_pool_start(pool);

    for (struct block *first = tide_pool_carve(pool); first; first = tide_pool_carve(pool)) {
        char *page = (char *)tide_round_down((uintptr_t)first, tide_os_page_bytes);

        for (struct block *block = first; block; block = block->next, carved++) {
            cr_assert_eq((char *)block, expected, "in order of address");
            cr_assert(block == first || expected < page + tide_os_page_bytes, "beyond the page");
            expected += bytes;
        }
        cr_assert(carved == pool->capacity || expected >= page + tide_os_page_bytes,
                  "the page has room for more");
        cr_assert_eq(tide_relaxed(&pool->carved), carved);
        cr_assert_eq(tide_relaxed(&pool->left), carved, "they count as allocated");
        tide_pool_check(pool);
    }
    cr_assert_eq(carved, pool->capacity);
    cr_assert_leq(expected, tide_pool_start(pool) + tide_pool_bytes(pool));
    cr_assert_null(tide_pool_carve(pool));
}

Test(pool, blocks_are_carved_a_page_at_a_time)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);

        check_carving(pool);
        drop_pool(pool);
    }
}

Test(pool, pages_not_yet_carved_are_not_touched)
{
    struct pool *pool = open_pool(tide_class_of(64));
    char *start = tide_pool_start(pool);

    tide_pool_carve(pool);
    cr_assert(is_resident(start));
    for (size_t at = tide_os_page_bytes; at < tide_pool_bytes(pool); at += tide_os_page_bytes)
        cr_assert_not(is_resident(start + at));
}

Test(pool, a_closed_pool_is_nobodys)
{
    struct pool *pool = open_pool(3);

    carve_all(pool, blocks);
    for (uint32_t n = 0; n < pool->capacity; n++)
        cr_assert_eq(free_block(pool, blocks[n]),
                     n == pool->capacity - 1u ? POOL_IS_EMPTY : POOL_UNCHANGED);
    tide_pool_close(pool);
    cr_assert_null(tide_relaxed(&pool->owner));
    cr_assert_eq(tide_relaxed(&pool->state), POOL_EMPTY);
    cr_assert_not(pool->is_zero);
}

Test(pool, a_pool_can_be_opened_for_another_class)
{
    struct pool *pool = open_pool(3);

    carve_all(pool, blocks);
    for (uint32_t n = 0; n < pool->capacity; n++)
        free_block(pool, blocks[n]);
    tide_pool_close(pool);
    tide_pool_open(pool, 7, OWNER);
    check_carving(pool);
}

/* ---- Which addresses are blocks ----------------------------------------- */

Test(pool, carved_blocks_are_its_blocks_by_their_first_byte)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        char *start = tide_pool_start(pool), *end;

        tide_pool_carve(pool);
        end = start + (size_t)tide_relaxed(&pool->carved) * pool->block_bytes;
        for (char *address = start - 64; address < end + 64; address++)
            cr_assert_eq(tide_pool_has_block(pool, address),
                         address >= start && address < end &&
                             (size_t)(address - start) % pool->block_bytes == 0,
                         "class %u, %td bytes after the start", c, address - start);
        drop_pool(pool);
    }
}

/* ---- Freed blocks ------------------------------------------------------- */

Test(pool, freed_blocks_are_taken_all_at_once)
{
    struct pool *pool = open_pool(5);
    struct block *freed;

    carve_all(pool, blocks);
    cr_assert_null(tide_pool_take_freed(pool));
    for (int n = 0; n < 10; n++)
        cr_assert_eq(free_block(pool, blocks[n * 3]), POOL_UNCHANGED);
    cr_assert_eq(tide_pool_freed_count(pool), 10);
    tide_pool_check(pool);
    freed = tide_pool_take_freed(pool);
    cr_assert_eq(list_length(freed), 10);
    for (int n = 9; n >= 0; n--, freed = freed->next)
        cr_assert_eq(freed, blocks[n * 3], "the last freed comes first");
    cr_assert_eq(tide_pool_freed_count(pool), 0);
    cr_assert_eq(tide_relaxed(&pool->left), pool->capacity);
    tide_pool_check(pool);
}

Test(pool, is_worth_using_with_a_sixteenth_free_or_a_block_untouched)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        uint32_t enough = blocks_to_wait_for(pool);

        cr_assert_leq(enough, pool->capacity);
        while (tide_relaxed(&pool->carved) < pool->capacity) {
            cr_assert(tide_pool_is_worth_using(pool));
            tide_pool_carve(pool);
        }
        for (uint32_t n = 0; n < enough; n++) {
            cr_assert_not(tide_pool_is_worth_using(pool), "class %u, %u free", c, n);
            free_block(pool,
                       (struct block *)(tide_pool_start(pool) + (size_t)n * pool->block_bytes));
        }
        cr_assert(tide_pool_is_worth_using(pool), "class %u, %u free", c, enough);
        drop_pool(pool);
    }
}

/* ---- Changes of state --------------------------------------------------- */

static void assert_full(const struct pool *pool, uint32_t to_wait_for)
{
    cr_assert_eq(tide_relaxed(&pool->state), POOL_FULL);
    cr_assert_eq(tide_relaxed(&pool->left), to_wait_for);
    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held) +
                     tide_pool_freed_count(pool),
                 tide_relaxed(&pool->carved));
    tide_pool_check(pool);
}

static void check_full_to_empty(struct pool *pool)
{
    uint32_t enough = blocks_to_wait_for(pool), last = pool->capacity - 1;

    carve_all(pool, blocks);
    tide_pool_fill(pool);
    assert_full(pool, enough);
    for (uint32_t n = 0; n < pool->capacity; n++) {
        enum pool_change change = free_block(pool, blocks[n]);

        cr_assert_eq(change, n == last         ? POOL_IS_EMPTY
                             : n == enough - 1 ? POOL_IS_USABLE
                                               : POOL_UNCHANGED,
                     "class %u, block %u", pool->size_class, n);
        cr_assert_eq(tide_relaxed(&pool->state), n < enough - 1 ? POOL_FULL : POOL_USED);
        cr_assert_eq(tide_pool_freed_count(pool), n + 1);
    }
    tide_pool_check(pool);
}

Test(pool, a_full_pool_is_usable_after_a_sixteenth_and_empty_after_all)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);

        check_full_to_empty(pool);
        drop_pool(pool);
    }
}

Test(pool, blocks_freed_before_it_was_full_count_towards_the_sixteenth)
{
    struct pool *pool = open_pool(1);
    uint32_t enough = blocks_to_wait_for(pool);

    cr_assert_gt(enough, 2);
    carve_all(pool, blocks);
    for (uint32_t n = 0; n < enough - 1; n++)
        free_block(pool, blocks[n]);
    tide_pool_fill(pool);
    assert_full(pool, 1);
    cr_assert_eq(free_block(pool, blocks[enough]), POOL_IS_USABLE);
    cr_assert_eq(tide_relaxed(&pool->state), POOL_USED);
}

/* Settles count frees in a full pool of the class and puts everything back. */
static void assert_settles(unsigned c, uint32_t count, enum pool_change expected)
{
    struct pool *pool = open_pool(c);

    carve_all(pool, blocks);
    tide_pool_fill(pool);
    for (uint32_t n = 0; n < count; n++) {
        blocks[n]->next = pool->freed;
        pool->freed = blocks[n];
    }
    cr_assert_eq(tide_pool_settle(pool, count), expected, "class %u, %u frees", c, count);
    cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held), pool->capacity - count);
    cr_assert_eq(tide_pool_freed_count(pool), count);
    tide_pool_check(pool);
    drop_pool(pool);
}

Test(pool, frees_can_be_settled_in_bulk)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        uint32_t capacity = pool->capacity, enough = blocks_to_wait_for(pool);

        drop_pool(pool);
        if (enough > 1)
            assert_settles(c, enough - 1, POOL_UNCHANGED);
        assert_settles(c, enough, POOL_IS_USABLE);
        assert_settles(c, capacity - 1, POOL_IS_USABLE);
        assert_settles(c, capacity, POOL_IS_EMPTY);
    }
}

Test(pool, bulk_in_a_used_pool_empties_it_or_changes_nothing)
{
    struct pool *pool = open_pool(2);
    struct block *list = tide_pool_carve(pool);
    uint32_t count = list_length(list);

    cr_assert_gt(count, 2);
    pool->freed = list->next;
    cr_assert_eq(tide_pool_settle(pool, count - 1), POOL_UNCHANGED);
    tide_pool_check(pool);
    list->next = pool->freed;
    pool->freed = list;
    cr_assert_eq(tide_pool_settle(pool, 1), POOL_IS_EMPTY);
    tide_pool_check(pool);
}

/* ---- Watching ----------------------------------------------------------- */

Test(pool, a_watched_pool_tells_once_when_a_quarter_came_back)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        uint32_t capacity = pool->capacity, told = 0;

        carve_all(pool, blocks);
        tide_pool_watch(pool, tide_pool_allocated(pool) / 4);
        tide_pool_check(pool);
        for (uint32_t n = 0; n < capacity - 1u; n++) {
            enum pool_change change = free_block(pool, blocks[n]);

            if (change == POOL_IS_EMPTIER && told == 0)
                told = n + 1;
            else
                cr_assert_eq(change, POOL_UNCHANGED, "class %u, free %u", c, n);
            tide_pool_check(pool);
        }
        cr_assert(capacity / 4 <= told && told <= capacity / 4 + 3, "class %u: %u", c, told);
        cr_assert_eq(free_block(pool, blocks[capacity - 1]), POOL_IS_EMPTY);
        drop_pool(pool);
    }
}

Test(pool, a_watched_pool_can_be_filled_again)
{
    struct pool *pool = open_pool(1);
    uint32_t enough = blocks_to_wait_for(pool);

    carve_all(pool, blocks);
    free_block(pool, blocks[0]);
    tide_pool_watch(pool, tide_pool_allocated(pool) / 4);
    tide_pool_take_freed(pool);
    tide_pool_fill(pool);
    assert_full(pool, enough);
    for (uint32_t n = 0; n < enough - 1; n++)
        cr_assert_eq(free_block(pool, blocks[n]), POOL_UNCHANGED);
    cr_assert_eq(free_block(pool, blocks[enough]), POOL_IS_USABLE);
}

/* ---- Everything at random ----------------------------------------------- */

Test(pool, its_counts_agree_with_a_model)
{
    struct pool *pool = open_pool(tide_class_of(200));
    uint32_t have = 0, random = 1;
    struct block *list = NULL; /* as a heap's: counts as allocated */

    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        if (!list && tide_relaxed(&pool->state) == POOL_USED) {
            if (!tide_pool_is_worth_using(pool)) {
                tide_pool_fill(pool);
            } else {
                list = tide_pool_take_freed(pool);
                list = list ? list : tide_pool_carve(pool);
            }
        }
        if (list && random >> 16 & 1) {
            blocks[have++] = list;
            list = list->next;
        } else if (have > 0) {
            uint32_t n = random % have;

            free_block(pool, blocks[n]);
            blocks[n] = blocks[--have];
        }
        cr_assert_eq(tide_relaxed(&pool->carved) - list_length(pool->freed),
                     tide_relaxed(&pool->left) + tide_relaxed(&pool->held));
        cr_assert_eq(tide_relaxed(&pool->left) + tide_relaxed(&pool->held),
                     have + list_length(list));
        tide_pool_check(pool);
    }
}

/* ---- The check itself --------------------------------------------------- */

static struct pool *broken;

static void check_wrong_count(void)
{
    tide_count(&broken->left, 1);
    tide_pool_check(broken);
}

static void check_lost_block(void)
{
    broken->freed = ((struct block *)broken->freed)->next;
    tide_pool_check(broken);
}

static void check_stray_block(void)
{
    broken->freed = (struct block *)((char *)broken->freed + 8);
    tide_pool_check(broken);
}

static void check_circle(void)
{
    ((struct block *)broken->freed)->next = broken->freed;
    tide_pool_check(broken);
}

static void check_held_with_nothing_left(void)
{
    tide_count(&broken->held, tide_relaxed(&broken->left));
    tide_set_relaxed(&broken->left, 0);
    tide_pool_check(broken);
}

static void check_wrong_size(void)
{
    broken->block_bytes += 16;
    tide_pool_check(broken);
}

Test(pool, check_sees_what_is_broken)
{
    broken = open_pool(4);
    carve_all(broken, blocks);
    free_block(broken, blocks[1]);
    free_block(broken, blocks[0]);
    assert_broken(run_apart(check_wrong_count));
    assert_broken(run_apart(check_lost_block));
    assert_broken(run_apart(check_stray_block));
    assert_broken(run_apart(check_circle));
    assert_broken(run_apart(check_held_with_nothing_left));
    assert_broken(run_apart(check_wrong_size));
}
