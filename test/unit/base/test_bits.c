/* test_bits.c - base/bits.h against the plainest way to say the same */
#include "base/bits.h"

#include "../unit.h"

Test(bits, only_powers_of_two_are_powers_of_two)
{
    cr_assert_not(tide_is_power_of_two(0));
    for (unsigned shift = 0; shift < 64; shift++) {
        cr_assert(tide_is_power_of_two((size_t)1 << shift));
        if (shift > 0)
            cr_assert_not(tide_is_power_of_two(((size_t)1 << shift) + 1));
        if (shift > 1)
            cr_assert_not(tide_is_power_of_two(((size_t)1 << shift) - 1));
    }
}

Test(bits, rounding_gives_the_nearest_multiples)
{
    for (size_t unit = 1; unit <= 1 << 22; unit *= 2)
        for (size_t n = 0; n <= 4 * unit; n += unit / 8 + 1) {
            size_t up = tide_round_up(n, unit), down = tide_round_down(n, unit);

            cr_assert(up % unit == 0 && up >= n && up - n < unit, "%zu up to %zu", n, unit);
            cr_assert(down % unit == 0 && down <= n && n - down < unit, "%zu down to %zu", n, unit);
        }
}

Test(bits, rounding_reaches_the_ends_of_the_range)
{
    cr_assert_eq(tide_round_up(SIZE_MAX - 4095, 4096), SIZE_MAX - 4095);
    cr_assert_eq(tide_round_down(SIZE_MAX, 4096), SIZE_MAX - 4095);
    cr_assert_eq(tide_round_up(SIZE_MAX, 1), SIZE_MAX);
}

Test(bits, log2_is_the_highest_bit)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        cr_assert_eq(tide_log2((size_t)1 << shift), shift);
        cr_assert_eq(tide_log2(((size_t)1 << shift) | (((size_t)1 << shift) - 1)), shift);
    }
}

Test(bits, lowest_bit_and_bit_count)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        uint64_t from_there = ~UINT64_C(0) << shift;

        cr_assert_eq(tide_lowest_bit(from_there), shift);
        cr_assert_eq(tide_bit_count(from_there), 64 - shift);
    }
    cr_assert_eq(tide_bit_count(0), 0);
}

Test(bits, a_bit_run_has_just_its_bits)
{
    for (unsigned first = 0; first < 64; first++)
        for (unsigned count = 1; count <= 64 - first; count++) {
            uint64_t run = tide_bit_run(first, count);

            for (unsigned bit = 0; bit < 64; bit++)
                cr_assert_eq(run >> bit & 1, bit >= first && bit < first + count,
                             "bit %u of (%u, %u)", bit, first, count);
        }
}

static bool has_run(uint64_t word, unsigned first, unsigned count)
{
    for (unsigned bit = first; bit < first + count; bit++)
        if (bit >= 64 || !(word >> bit & 1))
            return false;
    return true;
}

static void check_run_starts(uint64_t word)
{
    for (unsigned count = 1; count <= 64; count++) {
        uint64_t starts = tide_run_starts(word, count);

        for (unsigned bit = 0; bit < 64; bit++)
            cr_assert_eq(starts >> bit & 1, has_run(word, bit, count),
                         "a run of %u from bit %u of %#lx", count, bit, (unsigned long)word);
    }
}

Test(bits, run_starts_are_where_runs_start)
{
    uint64_t random = 20240229;

    check_run_starts(0);
    check_run_starts(~UINT64_C(0));
    for (unsigned shift = 1; shift < 64; shift++) {
        check_run_starts(~UINT64_C(0) << shift);
        check_run_starts(~UINT64_C(0) >> shift);
        check_run_starts(~(UINT64_C(1) << shift));
    }
    for (int n = 0; n < 100; n++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        check_run_starts(random | random >> 31 | random << 17); /* mostly ones: long runs */
    }
}
