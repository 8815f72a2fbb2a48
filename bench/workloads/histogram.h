/* bench/workloads/histogram.h - how often each duration occurred
 *
 * Log-linear as HdrHistogram: every power of two is cut into 64 buckets of one
 * width, so a figure is right to 1/64, and values below 128 are exact.  One
 * thread adds to a histogram; merging is done when the threads have ended.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    6                      /* 1/64 */
#define HISTOGRAM_TOP     44                     /* values are cut to 2^44 - 1 */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_TOP - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
    uint64_t count, sum, most;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* How far the value's leading HISTOGRAM_BITS + 1 bits are from the right. */
static inline unsigned histogram_shift(uint64_t value)
{
    unsigned width = 64 - (unsigned)__builtin_clzll(value | 1);

    return width > HISTOGRAM_BITS + 1 ? width - HISTOGRAM_BITS - 1 : 0;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned shift;

    if (value >> HISTOGRAM_TOP)
        value = (UINT64_C(1) << HISTOGRAM_TOP) - 1;
    shift = histogram_shift(value);
    histogram->buckets[((uint64_t)shift << HISTOGRAM_BITS) + (value >> shift)]++;
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->most)
        histogram->most = value;
}

/* Adds all that is in from. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that the share (0 to 1) of all values doesn't exceed: the highest
 * of its bucket, and never above the highest of all.  0 if empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
