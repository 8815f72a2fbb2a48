/* test/unit/large/large_blocks.h - for the tests of large/: blocks, their contents, and
 * what of them is resident
 */
#ifndef TIDE_TEST_LARGE_BLOCKS_H
#define TIDE_TEST_LARGE_BLOCKS_H

#include <sys/syscall.h>

#include "../heap/heaps.h"
#include "large/cache.h"
#include "large/large.h"
#include "os/map.h"
#include "store/purge.h"
#include "store/store.h"

#define PAGE tide_os_page_bytes
#define MIB ((size_t)1 << 20)

/* A test in a program of its own, in which nothing is dirty and nobody else allocates. */
#define LARGE_SCENARIO(name)                                                                  \
    Test(large, name)                                                                         \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_RCU=off", "TIDEPOOL_THP=never"));      \
    }                                                                                         \
    static void scenario_##name(void);                                                        \
    PROGRAM(name)                                                                             \
    {                                                                                         \
        tide_free(allocate(1));                                                               \
        leave_maintenance_out();                                                              \
        tide_purge();                                                                         \
        scenario_##name();                                                                    \
        tide_check_all();                                                                     \
    }                                                                                         \
    static void scenario_##name(void)

MAY_BE_UNUSED static char *take(size_t size, size_t alignment)
{
    size_t fresh;
    char *block = tide_large_malloc(size, alignment, false, &fresh);

    TIDE_REQUIRE(block && fresh <= tide_large_good_size(size));
    return block;
}

MAY_BE_UNUSED static size_t bytes_of(const char *block)
{
    return tide_store_block(block)->bytes;
}

MAY_BE_UNUSED static void put(char *block)
{
    tide_large_free(tide_store_block(block));
}

/* Blocks that lie in a row: what is cut off one is what is taken next, unless something
 * else suits better. */
MAY_BE_UNUSED static void take_row(char **row, unsigned count, size_t size)
{
    unsigned have;

    do {
        row[0] = take(count * size, PAGE);
        TIDE_REQUIRE(bytes_of(row[0]) == count * size);
        TIDE_REQUIRE(tide_large_resize(tide_store_block(row[0]), size) == row[0]);
        for (have = 1; have < count; have++) {
            row[have] = take(size, PAGE);
            if (row[have] != row[have - 1] + size)
                break;
        }
    } while (have < count);
}

/* A touched stretch of so many bytes, with live blocks on both sides. */
MAY_BE_UNUSED static char *free_stretch(size_t bytes)
{
    char *row[3];

    take_row(row, 3, bytes);
    memset(row[1], 7, bytes);
    put(row[1]);
    return row[1];
}

/* So that what is dirty is little beside what is used. */
MAY_BE_UNUSED static void become_large(void)
{
    take(256 * MIB, PAGE);
}

MAY_BE_UNUSED static void fill(char *block, size_t bytes)
{
    for (size_t n = 0; n + sizeof n <= bytes; n += 64)
        *(size_t *)(block + n) = n * 31 + 7;
}

MAY_BE_UNUSED static bool is_filled(const char *block, size_t bytes)
{
    for (size_t n = 0; n + sizeof n <= bytes; n += 64)
        if (*(const size_t *)(block + n) != n * 31 + 7)
            return false;
    return true;
}

MAY_BE_UNUSED static size_t resident_pages(const char *block, size_t bytes)
{
    size_t count = 0;

    for (size_t n = 0; n < bytes; n += PAGE)
        count += is_resident(block + n);
    return count;
}

#endif
