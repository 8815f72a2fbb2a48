/* base/bits.h - arithmetic on sizes, addresses and slot words */
#ifndef TIDE_BASE_BITS_H
#define TIDE_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On the declaration of data the fast paths read: found without the global
 * offset table. */
#define TIDE_HIDDEN __attribute__((visibility("hidden")))
#define TIDE_NOINLINE __attribute__((noinline))

#define TIDE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define TIDE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

static inline bool tide_is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* n up to the next multiple of unit, a power of two.  The caller knows that
 * it does not overflow. */
static inline size_t tide_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) & ~(unit - 1);
}

static inline size_t tide_round_down(size_t n, size_t unit)
{
    return n & ~(unit - 1);
}

static inline unsigned tide_log2(size_t n)
{
    return 63u - (unsigned)__builtin_clzl(n);
}

static inline unsigned tide_lowest_bit(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

static inline unsigned tide_bit_count(uint64_t word)
{
    return (unsigned)__builtin_popcountll(word);
}

/* count ones from bit first up; count from 1 to 64 - first. */
static inline uint64_t tide_bit_run(unsigned first, unsigned count)
{
    return (~UINT64_C(0) >> (64 - count)) << first;
}

/* The bits of word that start a run of at least count ones. */
static inline uint64_t tide_run_starts(uint64_t word, unsigned count)
{
    unsigned have = 1;

    while (have < count) {
        unsigned step = count - have < have ? count - have : have;

        word &= word >> step;
        have += step;
    }
    return word;
}

#endif
