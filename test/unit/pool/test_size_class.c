/* test_size_class.c - pool/size_class.h, for every size and class */
#include "pool/size_class.h"

#include "../unit.h"

Test(size_class, the_smallest_has_a_word_and_the_largest_half_a_slot)
{
    cr_assert_eq(tide_class_bytes[0], TIDE_WORD_BYTES);
    cr_assert_eq(tide_class_bytes[TIDE_SMALL_CLASSES - 1], TIDE_SMALL_MAX);
    cr_assert_eq(tide_class_bytes[TIDE_CLASSES - 1], TIDE_POOLED_MAX);
}

Test(size_class, each_is_larger_than_the_one_before)
{
    for (unsigned c = 1; c < TIDE_CLASSES; c++)
        cr_assert_gt(tide_class_bytes[c], tide_class_bytes[c - 1], "class %u", c);
}

Test(size_class, all_but_the_smallest_are_multiples_of_the_alignment)
{
    for (unsigned c = 1; c < TIDE_CLASSES; c++)
        cr_assert_eq(tide_class_bytes[c] % TIDE_ALIGNMENT, 0, "class %u", c);
}

Test(size_class, small_ones_are_spaced_by_the_alignment)
{
    for (unsigned c = 1; c < TIDE_SMALL_CLASSES; c++)
        cr_assert_eq(tide_class_bytes[c], c * TIDE_ALIGNMENT);
}

Test(size_class, larger_ones_are_spaced_eight_per_doubling)
{
    for (unsigned c = TIDE_SMALL_CLASSES; c < TIDE_CLASSES; c++) {
        uint32_t step = tide_class_bytes[c] - tide_class_bytes[c - 1];

        cr_assert_eq(step, ((size_t)1 << tide_log2(tide_class_bytes[c - 1])) / 8, "class %u", c);
    }
}

Test(size_class, every_size_has_the_smallest_class_that_holds_it)
{
    for (size_t size = 0; size <= TIDE_POOLED_MAX; size++) {
        unsigned c = tide_class_of(size);

        cr_assert_lt(c, TIDE_CLASSES);
        cr_assert_geq(tide_class_bytes[c], size);
        if (c > 0)
            cr_assert_lt(tide_class_bytes[c - 1], size, "%zu bytes", size);
    }
}

Test(size_class, looking_up_and_computing_agree)
{
    for (size_t size = TIDE_SMALL_MAX + 1; size <= TIDE_LOOKUP_MAX; size++)
        cr_assert_eq(tide_class_of_small(size), tide_class_of_medium(size), "%zu bytes", size);
}

Test(size_class, a_pool_has_eight_blocks_at_least)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        unsigned slots = tide_class_slots(c);

        cr_assert_eq(slots, tide_class_bytes[c] <= TIDE_NARROW_MAX ? 1 : TIDE_WIDE_SLOTS);
        cr_assert_geq(slots * TIDE_SLOT_BYTES / tide_class_bytes[c], 8, "class %u", c);
    }
}

/* The same by its definition. */
static unsigned class_of_aligned(size_t size, size_t alignment)
{
    for (unsigned c = 0; c < TIDE_CLASSES && alignment <= TIDE_SLOT_BYTES; c++)
        if (tide_class_bytes[c] >= size && tide_class_bytes[c] % alignment == 0)
            return c;
    return TIDE_CLASSES;
}

Test(size_class, an_aligned_size_has_the_smallest_class_that_is_all_aligned)
{
    for (size_t alignment = 1; alignment <= 4 * TIDE_SLOT_BYTES; alignment *= 2)
        for (size_t size = 0; size <= TIDE_POOLED_MAX + 100; size += size < 2000 ? 1 : 61)
            cr_assert_eq(tide_class_of_aligned(size, alignment), class_of_aligned(size, alignment),
                         "%zu bytes aligned to %zu", size, alignment);
    cr_assert_eq(tide_class_of_aligned(TIDE_POOLED_MAX, 1), TIDE_CLASSES - 1);
    cr_assert_eq(tide_class_of_aligned(TIDE_POOLED_MAX + 1, 1), TIDE_CLASSES);
    cr_assert_eq(tide_class_of_aligned(SIZE_MAX, 1), TIDE_CLASSES);
    cr_assert_eq(tide_class_of_aligned(1, (size_t)1 << 63), TIDE_CLASSES);
}
