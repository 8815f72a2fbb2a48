/* pool/size_class.c - the tables of size_class.h; constant data */
#include "pool/size_class.h"

/* Words (2c - 1) and 2c are in class c: sizes 16c - 15 to 16c. */
#define WORDS(c) [2 * (c) - 1 ... 2 * (c)] = (c)
#define EIGHT_CLASSES_OF_WORDS(c)                                                            \
    WORDS(c), WORDS((c) + 1), WORDS((c) + 2), WORDS((c) + 3), WORDS((c) + 4), WORDS((c) + 5), \
        WORDS((c) + 6), WORDS((c) + 7)

/* The nth eighth of the doubling from 512 on: 8 words a class. */
#define EIGHTH_WORDS(n) [64 + 8 * (n) + 1 ... 64 + 8 * (n) + 8] = TIDE_SMALL_CLASSES + (n)

const uint8_t tide_class_of_words[] = {
    [0] = 0, [1] = 0, [2] = 1,
    WORDS(2), WORDS(3), WORDS(4), WORDS(5), WORDS(6), WORDS(7), WORDS(8),
    EIGHT_CLASSES_OF_WORDS(9), EIGHT_CLASSES_OF_WORDS(17), EIGHT_CLASSES_OF_WORDS(25),
    EIGHTH_WORDS(0), EIGHTH_WORDS(1), EIGHTH_WORDS(2), EIGHTH_WORDS(3),
    EIGHTH_WORDS(4), EIGHTH_WORDS(5), EIGHTH_WORDS(6), EIGHTH_WORDS(7),
};

#define FOUR_SIZES(first, step) \
    (first), (first) + (step), (first) + 2 * (step), (first) + 3 * (step)
#define EIGHT_SIZES(first, step) FOUR_SIZES(first, step), FOUR_SIZES((first) + 4 * (step), step)
#define DOUBLING(from) EIGHT_SIZES((from) + (from) / 8, (from) / 8)

const uint32_t tide_class_bytes[] = {
    8,
    EIGHT_SIZES(16, 16), EIGHT_SIZES(144, 16), EIGHT_SIZES(272, 16), EIGHT_SIZES(400, 16),
    DOUBLING(512), DOUBLING(1024),
#if !TIDE_GEOMETRY_CLASSIC
    DOUBLING(2048), DOUBLING(4096), DOUBLING(8192), DOUBLING(16384),
#endif
};
_Static_assert(sizeof tide_class_bytes / sizeof *tide_class_bytes == TIDE_CLASSES,
               "the table has a size for each class");

unsigned tide_class_of_aligned(size_t size, size_t alignment)
{
    unsigned size_class;

    if (size > TIDE_POOLED_MAX || alignment > TIDE_SLOT_BYTES)
        return TIDE_CLASSES;
    for (size_class = tide_class_of(size); size_class < TIDE_CLASSES; size_class++)
        if (tide_class_bytes[size_class] % alignment == 0)
            break;
    return size_class;
}
