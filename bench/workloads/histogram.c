/* bench/workloads/histogram.c - see histogram.h */
#include "histogram.h"

_Static_assert(((HISTOGRAM_TOP - HISTOGRAM_BITS - 1) << HISTOGRAM_BITS) +
                       (1 << (HISTOGRAM_BITS + 1)) == HISTOGRAM_BUCKETS,
               "the last bucket is that of the highest value");

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->most > into->most)
        into->most = from->most;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

/* The highest value that is counted in a bucket. */
static uint64_t highest(unsigned bucket)
{
    unsigned shift = bucket >> HISTOGRAM_BITS;
    uint64_t lead;

    if (shift <= 1)
        return bucket;
    shift--; /* every shift but the first fills only the upper half of its range */
    lead = bucket - (shift << HISTOGRAM_BITS);
    return ((lead + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count + 0.5), seen = 0;

    if (wanted < 1)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted)
            return highest(i) < histogram->most ? highest(i) : histogram->most;
    }
    return histogram->most;
}
