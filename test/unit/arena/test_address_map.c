/* test_address_map.c - arena/address_map.h
 *
 * Entries need no memory behind them, so most tests use a far part of the
 * address space in which nothing lies.
 */
#include "arena/address_map.h"

#include <errno.h>
#include <sys/syscall.h>

#include "../unit.h"
#include "os/map.h"

#define PIECE TIDE_ARENA_BYTES
#define LIMIT ((uintptr_t)1 << TIDE_ADDRESS_BITS)

/* In place of the C library's: puts the home window's table where HOME_TABLE says;
 * and what another thread does meanwhile. */
static void (*meanwhile)(void);
static char *last_mapped;

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    const char *place = getenv("HOME_TABLE");
    void (*now)(void) = meanwhile;

    meanwhile = NULL;
    if (now)
        now();
    if (place && protection == PROT_READ && bytes == 2 * TIDE_MAP_PART_BYTES)
        start = (void *)strtoul(place, NULL, 16);
    last_mapped = (char *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
    return last_mapped;
}

/* Far from everything, and the nth place is far from the others. */
static char *far_place(unsigned n)
{
    return (char *)(LIMIT / 4 + n * (LIMIT / 64));
}

static void assert_entries(const char *start, size_t count, bool expected)
{
    for (size_t n = 0; n < count; n++)
        cr_assert_eq(tide_is_in_arena(start + n * PIECE), expected, "piece %zu", n);
}

/* ---- The home window ---------------------------------------------------- */

#define PART (TIDE_MAP_PART_BYTES << TIDE_ARENA_SHIFT) /* bytes of address space */

static char *home(size_t offset)
{
    return (char *)tide_map_base + offset;
}

/* Within it a free sees no more than whether an arena is there. */
static void assert_home(const char *address)
{
    cr_assert(tide_address_map_enter(address));
    cr_assert(tide_is_in_arena(address));
    cr_assert(tide_is_in_home_arena(address));
    tide_address_map_leave(address);
    cr_assert_not(tide_is_in_arena(address));
    cr_assert_not(tide_is_in_home_arena(address));
}

Test(address_map, the_home_window_is_two_parts)
{
    cr_assert_eq(tide_map_pieces, 2 * TIDE_MAP_PART_BYTES);
    cr_assert_eq(tide_map_base % PART, 0);
    cr_assert_leq(tide_map_base + 2 * PART, LIMIT);
}

Test(address_map, the_first_mappings_are_not_near_the_windows_edges)
{
    uintptr_t first = (uintptr_t)tide_map_home - tide_map_base;

    cr_assert_geq(first, PART / 2);
    cr_assert(first < 3 * PART / 2 || tide_map_base + 2 * PART == LIMIT);
}

PROGRAM(home)
{
    uintptr_t place = strtoul(getenv("HOME_TABLE"), NULL, 16);

    if ((uintptr_t)tide_map_home != place) { /* a sanitizer has something there */
        TIDE_REQUIRE(is_mapped((void *)place));
        return;
    }
    TIDE_REQUIRE(tide_map_base == strtoul(getenv("HOME_BASE"), NULL, 16));
    TIDE_REQUIRE(tide_address_map_enter((void *)place));
    TIDE_REQUIRE(tide_is_in_home_arena((void *)place));
}

static void assert_home_for(uintptr_t place, uintptr_t base)
{
    char table[40], wanted[40];

    snprintf(table, sizeof table, "HOME_TABLE=%zx", (size_t)place);
    snprintf(wanted, sizeof wanted, "HOME_BASE=%zx", (size_t)base);
    assert_ended_well(run_program("home", table, wanted));
}

Test(address_map, home_is_the_first_mappings_part_and_the_one_that_is_nearer)
{
    assert_home_for(LIMIT / 4 + PART / 4, LIMIT / 4 - PART);
    assert_home_for(LIMIT / 4 + PART / 4 * 3, LIMIT / 4);
    assert_home_for(PART / 4, 0);
    assert_home_for(PART / 4 * 3, 0);
    assert_home_for(LIMIT - PART / 4 * 3, LIMIT - 2 * PART);
    assert_home_for(LIMIT - PART / 4, LIMIT - 2 * PART);
}

Test(address_map, in_the_window_arenas_are_seen_at_once)
{
    assert_home(home(0));
    assert_home(home(PART - 1));
    assert_home(home(PART));
    assert_home(home(2 * PART - PIECE));
}

Test(address_map, an_arena_away_from_home_is_found_all_the_same)
{
    char *places[] = { far_place(0), home(0) - PIECE, home(2 * PART) };

    for (size_t n = 0; n < 3; n++) {
        if ((uintptr_t)places[n] >= LIMIT)
            continue;
        cr_assert(tide_address_map_enter(places[n]));
        cr_assert_not(tide_is_in_home_arena(places[n]));
        cr_assert(tide_is_in_arena(places[n] + PIECE - 1));
    }
    cr_assert_not(tide_is_in_arena(home(0)));
}

static void assert_foreign(uintptr_t address)
{
    cr_assert_not(tide_is_in_arena((void *)address), "%#zx", (size_t)address);
    cr_assert_not(tide_is_in_home_arena((void *)address), "%#zx", (size_t)address);
}

/* With an arena at either end of the window and of the address space: whatever
 * wraps around or is cut off would find these. */
Test(address_map, addresses_that_no_program_has_are_foreign)
{
    char *ends[] = { home(0), home(2 * PART - PIECE), (char *)(LIMIT - PIECE) };

    for (size_t n = 0; n < 3; n++)
        cr_assert(tide_address_map_enter(ends[n]));
    for (unsigned bit = TIDE_ADDRESS_BITS; bit < 64; bit++)
        for (size_t n = 0; n < 3; n++) {
            assert_foreign((uintptr_t)ends[n] + ((uintptr_t)1 << bit));
            assert_foreign((uintptr_t)ends[n] | ~UINT64_C(0) << bit);
        }
    assert_foreign(LIMIT);
    assert_foreign(UINTPTR_MAX);
    assert_foreign(~(LIMIT - 1)); /* the kernel's first */
}

/* ---- Any address --------------------------------------------------------- */

Test(address_map, any_address_may_be_asked_about)
{
    static int variable;
    int local = 0;

    cr_assert_not(tide_is_in_arena(NULL));
    cr_assert_not(tide_is_in_arena((void *)1));
    cr_assert_not(tide_is_in_arena(&variable));
    cr_assert_not(tide_is_in_arena(&local));
    cr_assert_not(tide_is_in_arena((void *)tide_map_home));
    cr_assert_not(tide_is_in_arena((void *)(LIMIT - 1)));
    cr_assert_not(tide_is_in_arena((void *)LIMIT));
    cr_assert_not(tide_is_in_arena((void *)(LIMIT * 2 + PIECE)));
    cr_assert_not(tide_is_in_arena((void *)UINTPTR_MAX));
}

/* ---- Entries ------------------------------------------------------------- */

Test(address_map, an_entry_holds_for_every_byte_of_its_piece)
{
    char *place = far_place(0);

    cr_assert(tide_address_map_enter(place));
    cr_assert_not(tide_is_in_arena(place - 1));
    cr_assert(tide_is_in_arena(place));
    cr_assert(tide_is_in_arena(place + PIECE - 1));
    cr_assert_not(tide_is_in_arena(place + PIECE));
}

Test(address_map, a_cleared_piece_is_foreign_and_its_neighbours_stay)
{
    char *place = far_place(0);

    for (unsigned n = 0; n < 3; n++)
        cr_assert(tide_address_map_enter(place + n * PIECE));
    tide_address_map_leave(place + PIECE);
    assert_entries(place, 1, true);
    assert_entries(place + PIECE, 1, false);
    assert_entries(place + 2 * PIECE, 1, true);
}

Test(address_map, the_last_piece_of_the_address_space_has_an_entry)
{
    char *last = (char *)(LIMIT - PIECE);

    cr_assert(tide_address_map_enter(last));
    assert_entries(last, 1, true);
}

/* A table takes one request to be made and one to be written. */
Test(address_map, without_memory_nothing_is_entered)
{
    for (unsigned n = 1; n <= 2; n++) {
        char *place = far_place(n);

        tide_os_fail_map_every(n);
        errno = 0;
        cr_assert_not(tide_address_map_enter(place));
        cr_assert_eq(errno, ENOMEM);
        assert_entries(place, 1, false);
        tide_os_fail_map_every(0);
        cr_assert(tide_address_map_enter(place));
        assert_entries(place, 1, true);
    }
}

Test(address_map, a_part_in_use_needs_no_more_memory)
{
    char *place = far_place(1);

    cr_assert(tide_address_map_enter(place));
    tide_os_fail_map_every(1);
    tide_address_map_leave(place);
    assert_entries(place, 1, false);
    cr_assert(tide_address_map_enter(place));
    assert_entries(place, 1, true);
}

/* ---- Parts --------------------------------------------------------------- */

Test(address_map, a_piece_on_either_side_of_a_border_is_entered)
{
    char *border = (char *)tide_round_down((uintptr_t)far_place(3), PART);

    cr_assert(tide_address_map_enter(border - PIECE));
    cr_assert(tide_address_map_enter(border));
    assert_entries(border - 2 * PIECE, 1, false);
    assert_entries(border - PIECE, 2, true);
    assert_entries(border + PIECE, 1, false);
}

Test(address_map, the_next_arena_is_found_across_parts)
{
    char *places[] = { far_place(4), far_place(4) + PIECE, far_place(4) + PART, far_place(6) };

    for (size_t n = 0; n < 4; n++)
        cr_assert(tide_address_map_enter(places[n]));
    for (size_t n = 1; n < 4; n++)
        cr_assert_eq(tide_address_map_next(places[n - 1]), places[n]);
    cr_assert_eq(tide_address_map_next(far_place(3)), places[0]);
    tide_address_map_leave(places[1]);
    cr_assert_eq(tide_address_map_next(places[0]), places[2]);
}

/* ---- Threads ------------------------------------------------------------- */

enum { ROUNDS = 40, THREADS = 3 };

static _Atomic unsigned ready;

/* All enter into the same new stretches, each pieces of its own. */
static void enter_pieces(void *argument)
{
    uintptr_t mine = *(unsigned *)argument;

    for (unsigned n = 0; n < ROUNDS; n++) {
        char *place = far_place(0) + n * (PART / 2) + mine * PIECE;

        atomic_fetch_add(&ready, 1);
        while (tide_relaxed(&ready) < THREADS * (n + 1))
            ;
        TIDE_REQUIRE(tide_address_map_enter(place));
        TIDE_REQUIRE(tide_is_in_arena(place));
    }
}

static char *others_mapped;

static void enter_other(void *place)
{
    TIDE_REQUIRE(tide_address_map_enter(place));
    others_mapped = last_mapped;
}

static void enter_meanwhile(void)
{
    run_thread(enter_other, far_place(1) + PIECE);
}

/* Between this thread's look for the table and its making one. */
Test(address_map, the_table_that_is_made_first_stays)
{
    meanwhile = enter_meanwhile;
    cr_assert(tide_address_map_enter(far_place(1)));
    assert_entries(far_place(1), 1, true);
    assert_entries(far_place(1) + PIECE, 1, true);
    cr_assert(is_mapped(others_mapped) && last_mapped != others_mapped);
    cr_assert_not(is_mapped(last_mapped), "this thread's was given back");
}

Test(address_map, threads_may_make_the_same_table_at_the_same_time)
{
    struct peer peers[THREADS];
    unsigned numbers[THREADS];

    for (unsigned n = 0; n < THREADS; n++) {
        numbers[n] = n;
        peer_start(&peers[n]);
        peer_ask(&peers[n], enter_pieces, &numbers[n]);
    }
    for (int n = 0; n < THREADS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    for (unsigned n = 0; n < ROUNDS; n++)
        assert_entries(far_place(0) + n * (PART / 2), THREADS, true);
}
