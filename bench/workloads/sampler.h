/* bench/workloads/sampler.h - memory over time
 *
 * A thread of its own notes seconds, resident bytes and live bytes in the
 * run's points, at even intervals.  It never allocates.  When the points are
 * full it drops every other one and doubles the interval, so a run of any
 * length ends with 50 to 100 of them.
 */
#ifndef BENCH_SAMPLER_H
#define BENCH_SAMPLER_H

#include "common.h"

void sampler_start(struct run *run);

/* Takes a last point; the run's points are then complete. */
void sampler_stop(struct run *run);

#endif
