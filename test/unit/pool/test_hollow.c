/* test_hollow.c - pool/hollow.h, for every size class: what is given back, what
 * stays, and that every free block comes again once */
#include "pool/hollow.h"

#include "os/map.h"
#include "pools.h"

static struct block *blocks[MOST_BLOCKS];
static bool is_free[MOST_BLOCKS];
static struct rng {
    uint64_t state;
} rng = { 88172645463325252u };

static bool one_in(uint32_t n)
{
    rng.state ^= rng.state << 13;
    rng.state ^= rng.state >> 7;
    rng.state ^= rng.state << 17;
    return rng.state % n == 0;
}

/* What an allocated block holds. */
static void fill(struct block *block, uint32_t bytes, uint32_t n)
{
    memset(block, (int)(n % 255 + 1), bytes);
}

static void check_filled(const struct block *block, uint32_t bytes, uint32_t n)
{
    for (uint32_t k = 0; k < bytes; k++)
        cr_assert_eq(((const unsigned char *)block)[k], n % 255 + 1, "block %u, byte %u", n, k);
}

/* A pool of the class, all carved and filled. */
static struct pool *full_pool(unsigned size_class)
{
    struct pool *pool = open_pool(size_class);

    carve_all(pool, blocks);
    for (uint32_t n = 0; n < pool->capacity; n++) {
        fill(blocks[n], pool->block_bytes, n);
        is_free[n] = false;
    }
    return pool;
}

static void free_one(struct pool *pool, uint32_t n)
{
    is_free[n] = true;
    cr_assert_eq(free_block(pool, blocks[n]), POOL_UNCHANGED);
}

/* Whether a block that is in use lies on the page. */
static bool has_use(const struct pool *pool, size_t page)
{
    size_t from = page * tide_os_page_bytes, to = from + tide_os_page_bytes;

    for (uint32_t n = 0; n < pool->capacity; n++) {
        size_t start = (size_t)n * pool->block_bytes;

        if (!is_free[n] && start < to && start + pool->block_bytes > from)
            return true;
    }
    return false;
}

static size_t check_pages(const struct pool *pool)
{
    size_t gone = 0;

    for (size_t page = 0; page < tide_pool_bytes(pool) / tide_os_page_bytes; page++) {
        const char *start = tide_pool_start(pool) + page * tide_os_page_bytes;
        bool is_used = has_use(pool, page);

        cr_assert_eq(is_resident(start), is_used, "class of %u bytes, page %zu", pool->block_bytes,
                     page);
        gone += !is_used;
    }
    return gone;
}

/* Every free block comes again, once, and no other. */
static void take_all(struct pool *pool)
{
    struct block *block, *next;

    for (;;) {
        block = tide_pool_take_freed(pool);
        if (!block && !(block = tide_pool_carve(pool)))
            break;
        for (; block; block = next) {
            uint32_t n = (uint32_t)((char *)block - tide_pool_start(pool)) / pool->block_bytes;

            next = block->next;
            cr_assert_eq(block, blocks[n]);
            cr_assert(is_free[n], "block %u of %u bytes", n, pool->block_bytes);
            is_free[n] = false;
            fill(block, pool->block_bytes, n);
        }
        tide_pool_check(pool);
    }
    for (uint32_t n = 0; n < pool->capacity; n++) {
        cr_assert_not(is_free[n], "block %u of %u bytes is lost", n, pool->block_bytes);
        check_filled(blocks[n], pool->block_bytes, n);
    }
    cr_assert_eq(tide_relaxed(&pool->left), pool->capacity);
}

static void check_class(unsigned size_class, uint32_t one_stays_in)
{
    struct pool *pool = full_pool(size_class);
    size_t end = (size_t)pool->capacity * pool->block_bytes, page = tide_os_page_bytes;
    size_t never_used = (tide_pool_bytes(pool) - tide_round_up(end, page)) / page, returned, gone;

    for (uint32_t n = 1; n < pool->capacity; n++)
        if (!one_in(one_stays_in))
            free_one(pool, n);
    returned = tide_pool_hollow(pool);
    tide_pool_check(pool);
    gone = check_pages(pool);
    cr_assert_eq(returned, (gone - never_used) * page);
    for (uint32_t n = 0; n < pool->capacity; n++)
        if (!is_free[n])
            check_filled(blocks[n], pool->block_bytes, n);
    cr_assert_eq(tide_pool_hollow(pool), 0, "nothing has changed");
    take_all(pool);
    drop_pool(pool);
}

Test(hollow, pages_without_a_used_block_go_and_their_blocks_come_again)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        for (uint32_t one_stays_in = 2; one_stays_in <= 2000; one_stays_in *= 10)
            check_class(c, one_stays_in);
}

Test(hollow, nothing_goes_from_a_pool_with_a_used_block_on_each_page)
{
    struct pool *pool = full_pool(tide_class_of(64));
    uint32_t per_page = (uint32_t)tide_os_page_bytes / 64;

    for (uint32_t n = 0; n < pool->capacity; n++)
        if (n % per_page != n / per_page % per_page)
            free_one(pool, n);
    cr_assert_eq(tide_pool_hollow(pool), 0);
    cr_assert_eq(tide_relaxed(&pool->hollow), 0);
    take_all(pool);
    drop_pool(pool);
}

/* Carved up to a page of its middle, half free, then carved on. */
Test(hollow, a_pool_is_carved_on_behind_hollow_pages)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        uint32_t carved = 0;

        for (uint32_t n = 0; n < pool->capacity; n++)
            is_free[n] = true;
        while (carved < pool->capacity / 2)
            for (struct block *b = tide_pool_carve(pool); b; b = b->next)
                blocks[carved++] = b;
        for (uint32_t n = 0; n < carved; n++) {
            is_free[n] = false;
            fill(blocks[n], pool->block_bytes, n);
        }
        for (uint32_t n = 1; n < carved; n++)
            free_one(pool, n);
        tide_pool_hollow(pool);
        tide_pool_check(pool);
        for (uint32_t n = carved; n < pool->capacity; n++) {
            blocks[n] = (struct block *)((char *)blocks[0] + (size_t)n * pool->block_bytes);
            is_free[n] = true;
        }
        take_all(pool);
        for (uint32_t n = 1; n < pool->capacity; n++)
            free_one(pool, n);
        tide_pool_hollow(pool);
        check_pages(pool);
        take_all(pool);
        drop_pool(pool);
    }
}

Test(hollow, blocks_freed_later_go_at_the_next_look)
{
    struct pool *pool = full_pool(tide_class_of(1024));
    size_t first;

    for (uint32_t n = pool->capacity / 2; n < pool->capacity; n++)
        free_one(pool, n);
    first = tide_pool_hollow(pool);
    cr_assert_eq(first, tide_pool_bytes(pool) / 2);
    for (uint32_t n = 1; n < pool->capacity / 2; n++)
        free_one(pool, n);
    cr_assert_eq(tide_pool_hollow(pool), tide_pool_bytes(pool) / 2 - tide_os_page_bytes);
    tide_pool_check(pool);
    take_all(pool);
    drop_pool(pool);
}

Test(hollow, untouched_pages_of_a_slot_that_was_used_before_go_too)
{
    struct pool *pool = full_pool(tide_class_of(1024)), *again;
    char *last = tide_pool_start(pool) + tide_pool_bytes(pool) - 1;

    drop_pool(pool);
    again = open_pool(tide_class_of(1024));
    cr_assert_eq(again, pool);
    again->is_zero = false;
    cr_assert_not_null(tide_pool_carve(again));
    blocks[0] = (struct block *)tide_pool_start(again);
    cr_assert_eq(free_block(again, blocks[0]), POOL_UNCHANGED);
    cr_assert(is_resident(last));
    tide_pool_hollow(again);
    cr_assert_not(is_resident(last));
    drop_pool(again);
}

Test(hollow, a_pool_with_hollow_pages_is_worth_using)
{
    struct pool *pool = full_pool(TIDE_CLASSES - 1); /* each block is a page or more ... */

    if (pool->block_bytes < tide_os_page_bytes) /* ... but not in classic geometry */
        cr_skip("pools are one page");
    for (uint32_t n = 1; n < pool->capacity; n++)
        free_one(pool, n);
    tide_pool_hollow(pool);
    cr_assert_null(pool->freed);
    cr_assert_eq(tide_pool_freed_count(pool), 0);
    cr_assert(tide_pool_is_worth_using(pool));
    drop_pool(pool);
}
