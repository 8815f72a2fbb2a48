/* bench/workloads/output.h - results and the list of workloads as JSON on stdout */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include "common.h"

/* One object on one line. */
void print_result(const struct run *run);

/* An array with a line for each workload. */
void print_list(const struct workload *workloads, unsigned count);

#endif
