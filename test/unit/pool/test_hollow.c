/* test_hollow.c - pool/hollow.h, for every size class: what is given back, what
 * stays, that every free block comes again once, and what is used meanwhile */
#include "pool/hollow.h"

#include "os/map.h"
#include "pool/returned.h"
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

static uint32_t capacity_of_class(unsigned size_class)
{
    return (uint32_t)((tide_class_slots(size_class) << TIDE_SLOT_SHIFT) /
                      tide_class_bytes[size_class]);
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

static enum pool_change take_back(const struct tide_pages *aside)
{
    cr_assert(tide_pool_return_pages(aside->pool, aside->pages));
    return tide_pool_collect_pages(aside->pool);
}

/* All three steps.  Bytes that went. */
static size_t give_back(struct pool *pool)
{
    struct tide_pages aside;
    size_t bytes = 0;

    if (tide_pool_set_aside(pool, &aside)) {
        tide_pool_check(pool);
        bytes = tide_pool_purge(&aside);
        cr_assert_neq(take_back(&aside), POOL_IS_EMPTY);
        cr_assert_not(tide_pool_set_aside(pool, &aside), "nothing has changed");
    }
    tide_pool_check(pool);
    return bytes;
}

static void check_class(unsigned size_class, uint32_t one_stays_in)
{
    struct pool *pool = full_pool(size_class);
    size_t end = (size_t)pool->capacity * pool->block_bytes, page = tide_os_page_bytes;
    size_t never_used = (tide_pool_bytes(pool) - tide_round_up(end, page)) / page, returned, gone;

    for (uint32_t n = 1; n < pool->capacity; n++)
        if (!one_in(one_stays_in))
            free_one(pool, n);
    returned = give_back(pool);
    gone = check_pages(pool);
    cr_assert_leq(returned, gone * page); /* those that were never used may be among them */
    cr_assert_geq(returned, (gone - never_used) * page);
    for (uint32_t n = 0; n < pool->capacity; n++)
        if (!is_free[n])
            check_filled(blocks[n], pool->block_bytes, n);
    cr_assert_eq(give_back(pool), 0);
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
    cr_assert_eq(give_back(pool), 0);
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
        give_back(pool);
        for (uint32_t n = carved; n < pool->capacity; n++) {
            blocks[n] = (struct block *)((char *)blocks[0] + (size_t)n * pool->block_bytes);
            is_free[n] = true;
        }
        take_all(pool);
        for (uint32_t n = 1; n < pool->capacity; n++)
            free_one(pool, n);
        give_back(pool);
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
    first = give_back(pool);
    cr_assert_eq(first, tide_pool_bytes(pool) / 2);
    for (uint32_t n = 1; n < pool->capacity / 2; n++)
        free_one(pool, n);
    cr_assert_eq(give_back(pool), tide_pool_bytes(pool) / 2 - tide_os_page_bytes);
    tide_pool_check(pool);
    take_all(pool);
    drop_pool(pool);
}

/* ---- Slots that were used before ------------------------------------------ */

/* A pool of the class whose untouched blocks lie on resident pages. */
static struct pool *pool_of_used_slots(unsigned size_class)
{
    struct pool *pool = open_pool(size_class), *again;

    memset(tide_pool_start(pool), 0xff, tide_pool_bytes(pool));
    drop_pool(pool);
    again = open_pool(size_class);
    cr_assert_eq(again, pool);
    again->is_zero = false;
    for (uint32_t n = 0; n < again->capacity; n++) {
        blocks[n] = (struct block *)(tide_pool_start(again) + (size_t)n * again->block_bytes);
        is_free[n] = true;
    }
    return again;
}

/* Takes at least so many of the untouched blocks. */
static uint32_t carve_some(struct pool *pool, uint32_t least)
{
    uint32_t count = 0;
    struct block *block, *next;

    while (count < least && (block = tide_pool_carve(pool)))
        for (; block; block = next, count++) {
            next = block->next;
            cr_assert_eq(block, blocks[count]);
            is_free[count] = false;
            fill(block, pool->block_bytes, count);
        }
    return count;
}

static void check_used_slots(unsigned size_class, uint32_t least, uint32_t one_stays_in)
{
    struct pool *pool = pool_of_used_slots(size_class);
    uint32_t carved = carve_some(pool, least);

    for (uint32_t n = 1; n < carved; n++)
        if (!one_in(one_stays_in))
            free_one(pool, n);
    if (tide_pool_freed_count(pool) > 0) { /* or there was nothing to look for */
        give_back(pool);
        check_pages(pool);
    }
    take_all(pool);
    drop_pool(pool);
}

Test(hollow, untouched_pages_of_slots_that_were_used_before_go_too)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        for (uint32_t part = 1; part <= 4; part++)
            for (uint32_t one_stays_in = 2; one_stays_in <= 2000; one_stays_in *= 10)
                check_used_slots(c, capacity_of_class(c) / part, one_stays_in);
}

Test(hollow, a_pool_with_hollow_pages_is_worth_using)
{
    struct pool *pool = full_pool(TIDE_CLASSES - 1); /* each block is a page or more ... */

    if (pool->block_bytes < tide_os_page_bytes) /* ... but not in classic geometry */
        cr_skip("pools are one page");
    for (uint32_t n = 1; n < pool->capacity; n++)
        free_one(pool, n);
    give_back(pool);
    cr_assert_null(pool->freed);
    cr_assert_eq(tide_pool_freed_count(pool), 0);
    cr_assert(tide_pool_is_worth_using(pool));
    drop_pool(pool);
}

/* ---- Pages on their way ---------------------------------------------------- */

enum { POISON = 0xee, FLIGHTS = 4, STEPS = 400 };

/* Pages that were set aside and aren't back. */
static struct tide_pages flights[FLIGHTS];
static unsigned flying;

static char *page_of(const struct pool *pool, unsigned page)
{
    return tide_pool_start(pool) + page * tide_os_page_bytes;
}

static bool has_only(const char *page, int byte)
{
    return *page == (char)byte && memcmp(page, page + 1, tide_os_page_bytes - 1) == 0;
}

/* Those that were not hollow before, and that blocks lie on. */
static uint64_t new_pages(const struct tide_pages *aside)
{
    size_t bytes = (size_t)aside->pool->capacity * aside->pool->block_bytes;

    return aside->pages & ~aside->purged &
           tide_bit_run(0, (unsigned)((bytes + tide_os_page_bytes - 1) / tide_os_page_bytes));
}

/* Nobody may use them now: so whoever does is seen. */
static void set_aside(struct pool *pool)
{
    struct tide_pages *aside = &flights[flying];

    if (!tide_pool_set_aside(pool, aside))
        return;
    tide_pool_watch(pool, tide_pool_allocated(pool) / 4);
    cr_assert_eq(aside->pool, pool);
    cr_assert_neq(new_pages(aside), 0);
    for (unsigned n = 0; n < flying; n++)
        cr_assert_eq(flights[n].pages & new_pages(aside), 0, "set aside twice");
    for (uint64_t rest = new_pages(aside); rest != 0; rest &= rest - 1)
        memset(page_of(pool, tide_lowest_bit(rest)), POISON, tide_os_page_bytes);
    flying++;
}

static void purge(const struct tide_pages *aside)
{
    const struct pool *pool = aside->pool;

    for (uint64_t rest = aside->pages; rest != 0; rest &= rest - 1) {
        unsigned page = tide_lowest_bit(rest);

        cr_assert_not(has_use(pool, page), "class of %u bytes, page %u", pool->block_bytes, page);
        if (new_pages(aside) >> page & 1)
            cr_assert(has_only(page_of(pool, page), POISON), "class of %u bytes, page %u",
                      pool->block_bytes, page);
    }
    cr_assert_eq(tide_pool_purge(aside),
                 tide_bit_count(aside->pages & ~aside->purged) * tide_os_page_bytes);
    for (uint64_t rest = aside->pages; rest != 0; rest &= rest - 1)
        cr_assert_not(is_resident(page_of(pool, tide_lowest_bit(rest))));
}

static bool is_all_free(const struct pool *pool)
{
    for (uint32_t n = 0; n < pool->capacity; n++)
        if (!is_free[n])
            return false;
    return true;
}

/* As long as pages are on their way the pool can't go. */
static void check_change(const struct pool *pool, enum pool_change change)
{
    cr_assert_eq(change == POOL_IS_EMPTY, flying == 0 && is_all_free(pool),
                 "class of %u bytes, %u on their way", pool->block_bytes, flying);
}

/* Purges some, of which it may be that several come back at once. */
static void let_come_back(struct pool *pool)
{
    bool is_first = true;

    do {
        unsigned n = one_in(2) ? 0 : flying - 1;

        purge(&flights[n]);
        cr_assert_eq(tide_pool_return_pages(pool, flights[n].pages), is_first);
        is_first = false;
        flights[n] = flights[--flying];
    } while (flying > 0 && one_in(2));
    check_change(pool, tide_pool_collect_pages(pool));
}

static void take_list(struct pool *pool, struct block *block)
{
    struct block *next;

    for (; block; block = next) {
        uint32_t n = (uint32_t)((char *)block - tide_pool_start(pool)) / pool->block_bytes;

        next = block->next;
        cr_assert_eq(block, blocks[n]);
        cr_assert(is_free[n], "block %u of %u bytes", n, pool->block_bytes);
        is_free[n] = false;
        fill(block, pool->block_bytes, n);
    }
}

static void free_some(struct pool *pool, uint32_t one_stays_in)
{
    uint32_t n = pool->capacity;

    while (n-- > 0)
        if (!is_free[n] && !one_in(one_stays_in)) {
            enum pool_change change;

            check_filled(blocks[n], pool->block_bytes, n);
            is_free[n] = true;
            change = free_block(pool, blocks[n]);
            if (tide_relaxed(&pool->left) == 0 || change != POOL_UNCHANGED)
                check_change(pool, change);
        }
}

static void step(struct pool *pool)
{
    static const uint32_t stays[] = { 1000000, 50, 10, 2 };
    struct block *block;

    if (one_in(3) && flying < FLIGHTS)
        set_aside(pool);
    else if (one_in(3) && flying > 0)
        let_come_back(pool);
    else if (one_in(3))
        take_list(pool, tide_pool_take_freed(pool));
    else if (one_in(2) && (block = tide_pool_carve(pool)))
        take_list(pool, block);
    else
        free_some(pool, stays[one_in(2) + 2 * one_in(2)]);
    tide_pool_check(pool);
}

static void live(struct pool *pool)
{
    for (int n = 0; n < STEPS; n++)
        step(pool);
    while (flying > 0)
        let_come_back(pool);
    take_all(pool);
    drop_pool(pool);
}

Test(hollow, a_pool_is_used_while_its_pages_are_on_their_way)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        live(full_pool(c));
}

Test(hollow, so_is_one_of_slots_that_were_used_before)
{
    if (TIDE_GEOMETRY_CLASSIC)
        cr_skip_test("most pools are one page");
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        live(pool_of_used_slots(c));
}

static void free_the_rest(struct pool *pool)
{
    for (uint32_t n = 0; n < pool->capacity; n++)
        if (!is_free[n]) {
            enum pool_change change;

            is_free[n] = true;
            change = free_block(pool, blocks[n]);
            cr_assert_neq(change, POOL_IS_EMPTY, "class of %u bytes", pool->block_bytes);
        }
}

/* Whatever went, be it a page that no block lies on. */
Test(hollow, a_pool_stays_until_its_pages_are_back)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        for (uint32_t one_stays_in = 2; one_stays_in <= 2000; one_stays_in *= 10) {
            struct pool *pool = full_pool(c);
            struct tide_pages aside;

            for (uint32_t n = 1; n < pool->capacity; n++)
                if (n == pool->capacity / 2u || !one_in(one_stays_in))
                    free_one(pool, n);
            if (tide_pool_set_aside(pool, &aside)) {
                free_the_rest(pool);
                tide_pool_purge(&aside);
                cr_assert_eq(take_back(&aside), POOL_IS_EMPTY);
                tide_pool_close(pool);
            }
            drop_pool(pool);
        }
}

Test(hollow, one_block_makes_no_pages_go_that_no_block_lies_on)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = full_pool(c);
        struct tide_pages aside;

        if (pool->capacity > 1) {
            free_one(pool, pool->capacity / 2u);
            if (tide_pool_set_aside(pool, &aside)) {
                cr_assert_null(pool->freed);
                free_the_rest(pool);
            }
        }
        drop_pool(pool);
    }
}

Test(hollow, pages_can_come_back_to_a_full_pool)
{
    struct pool *pool = full_pool(tide_class_of(1024));
    struct tide_pages aside;

    for (uint32_t n = pool->capacity / 2; n < pool->capacity; n++)
        free_one(pool, n);
    cr_assert(tide_pool_set_aside(pool, &aside));
    cr_assert_null(pool->freed);
    cr_assert_null(tide_pool_carve(pool));
    cr_assert_not(tide_pool_is_worth_using(pool));
    tide_pool_fill(pool);
    tide_pool_purge(&aside);
    cr_assert_eq(take_back(&aside), POOL_IS_USABLE);
    cr_assert(tide_pool_is_worth_using(pool));
    take_all(pool);
    drop_pool(pool);
}

Test(hollow, nothing_is_set_aside_in_a_pool_of_one_page)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        struct pool *pool = open_pool(c);
        struct tide_pages aside;

        if (tide_pool_bytes(pool) == tide_os_page_bytes) {
            tide_pool_carve(pool);
            blocks[0] = (struct block *)tide_pool_start(pool);
            free_block(pool, blocks[0]);
            cr_assert_not(tide_pool_set_aside(pool, &aside));
        }
        drop_pool(pool);
    }
}
