/* test_address_map.c - arena/address_map.h
 *
 * Entries need no memory behind them, so most tests use a far part of the
 * address space in which nothing lies.
 */
#include "arena/address_map.h"

#include <errno.h>

#include "../unit.h"
#include "os/map.h"

#define PIECE TIDE_ARENA_BYTES
#define LIMIT ((uintptr_t)1 << TIDE_ADDRESS_BITS)

/* Far from everything, and the nth place is far from the others. */
static char *far_place(unsigned n)
{
    return (char *)(LIMIT / 4 + n * (LIMIT / 64));
}

/* Where the part of the table that must be made writable next to place begins:
 * found by what fails. */
static bool is_ready(const char *place)
{
    bool is_set;

    tide_os_fail_map_every(1);
    is_set = tide_address_map_set(place, 1, TIDE_FOREIGN, TIDE_FOREIGN);
    tide_os_fail_map_every(0);
    return is_set;
}

static void assert_entries(const char *start, size_t count, enum tide_memory expected)
{
    for (size_t n = 0; n < count; n++)
        cr_assert_eq(tide_memory_at(start + n * PIECE), expected, "piece %zu", n);
}

Test(address_map, has_an_entry_for_each_piece_of_the_address_space)
{
    cr_assert_eq(tide_address_pieces, LIMIT >> TIDE_ARENA_SHIFT);
}

Test(address_map, any_address_may_be_asked_about)
{
    static int variable;
    int local = 0;

    cr_assert_eq(tide_memory_at(NULL), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)1), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at(&variable), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at(&local), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)tide_address_map), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)(LIMIT - 1)), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)LIMIT), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)(LIMIT * 2 + PIECE)), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at((void *)UINTPTR_MAX), TIDE_FOREIGN);
}

Test(address_map, the_first_piece_and_the_rest_are_entered)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, 5 * PIECE, TIDE_HUGE, TIDE_HUGE_REST));
    assert_entries(place - PIECE, 1, TIDE_FOREIGN);
    assert_entries(place, 1, TIDE_HUGE);
    assert_entries(place + PIECE, 4, TIDE_HUGE_REST);
    assert_entries(place + 5 * PIECE, 1, TIDE_FOREIGN);
}

Test(address_map, an_entry_holds_for_every_byte_of_its_piece)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_FOREIGN));
    cr_assert_eq(tide_memory_at(place - 1), TIDE_FOREIGN);
    cr_assert_eq(tide_memory_at(place), TIDE_ARENA);
    cr_assert_eq(tide_memory_at(place + PIECE - 1), TIDE_ARENA);
    cr_assert_eq(tide_memory_at(place + PIECE), TIDE_FOREIGN);
}

Test(address_map, a_range_covers_the_pieces_it_touches)
{
    char *place = far_place(0);

    cr_assert(
        tide_address_map_set(place + PIECE - 1, PIECE + 2, TIDE_HUGE_ALIGNED, TIDE_HUGE_REST));
    assert_entries(place, 1, TIDE_HUGE_ALIGNED);
    assert_entries(place + PIECE, 2, TIDE_HUGE_REST);
    assert_entries(place + 3 * PIECE, 1, TIDE_FOREIGN);
    tide_address_map_clear(place + PIECE - 1, PIECE + 1);
    assert_entries(place, 2, TIDE_FOREIGN);
    assert_entries(place + 2 * PIECE, 1, TIDE_HUGE_REST);
}

Test(address_map, cleared_pieces_are_foreign_and_their_neighbours_stay)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_set(place, 5 * PIECE, TIDE_ARENA, TIDE_ARENA));
    tide_address_map_clear(place + PIECE, 3 * PIECE);
    assert_entries(place, 1, TIDE_ARENA);
    assert_entries(place + PIECE, 3, TIDE_FOREIGN);
    assert_entries(place + 4 * PIECE, 1, TIDE_ARENA);
}

Test(address_map, the_last_piece_of_the_address_space_has_an_entry)
{
    char *last = (char *)(LIMIT - PIECE);

    cr_assert(tide_address_map_set(last, PIECE, TIDE_ARENA, TIDE_ARENA));
    assert_entries(last, 1, TIDE_ARENA);
}

Test(address_map, without_memory_nothing_is_entered)
{
    char *place = far_place(1);

    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_not(tide_address_map_set(place, 2 * PIECE, TIDE_HUGE, TIDE_HUGE_REST));
    cr_assert_eq(errno, ENOMEM);
    assert_entries(place, 2, TIDE_FOREIGN);
    tide_os_fail_map_every(0);
    cr_assert(tide_address_map_set(place, 2 * PIECE, TIDE_HUGE, TIDE_HUGE_REST));
    assert_entries(place, 1, TIDE_HUGE);
}

Test(address_map, a_part_in_use_needs_no_more_memory)
{
    char *place = far_place(1);

    cr_assert(tide_address_map_set(place, PIECE, TIDE_ARENA, TIDE_ARENA));
    tide_os_fail_map_every(1);
    tide_address_map_clear(place, PIECE);
    assert_entries(place, 1, TIDE_FOREIGN);
    cr_assert(tide_address_map_set(place, PIECE, TIDE_HUGE, TIDE_HUGE));
    assert_entries(place, 1, TIDE_HUGE);
}

Test(address_map, a_range_that_can_be_entered_only_in_part_is_not_entered)
{
    char *place = far_place(2), *edge;

    /* The end of the part of the table that becomes writable with place's entry. */
    cr_assert_not(is_ready(place));
    cr_assert(tide_address_map_set(place, PIECE, TIDE_FOREIGN, TIDE_FOREIGN));
    for (edge = place; is_ready(edge); edge += PIECE)
        cr_assert_lt(edge, far_place(3));
    tide_os_fail_map_every(1);
    cr_assert_not(tide_address_map_set(edge - 3 * PIECE, 5 * PIECE, TIDE_HUGE, TIDE_HUGE_REST));
    assert_entries(edge - 3 * PIECE, 5, TIDE_FOREIGN);
    tide_os_fail_map_every(0);
    cr_assert(tide_address_map_set(edge - 3 * PIECE, 5 * PIECE, TIDE_HUGE, TIDE_HUGE_REST));
    assert_entries(edge - 2 * PIECE, 4, TIDE_HUGE_REST);
}
