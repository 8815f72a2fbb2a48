/* bench/workloads/output.c - see output.h
 *
 * No text of ours holds a character that JSON would want escaped.
 */
#include "output.h"

#include <stdio.h>
#include <string.h>

static void print_number(double value)
{
    if (value == (double)(int64_t)value)
        printf("%lld", (long long)value);
    else
        printf("%.6g", value);
}

static uint64_t all_operations(const struct run *run)
{
    uint64_t sum = 0;

    if (run->operations)
        return run->operations;
    for (unsigned i = 0; i < run->threads; i++)
        sum += run->workers[i].operations;
    return sum;
}

static void print_thread_operations(const struct run *run)
{
    printf(", \"thread_operations\": [");
    for (unsigned i = 0; i < run->threads; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)run->workers[i].operations);
    printf("]");
}

/* ---- Latency -------------------------------------------------------------------- */

static const struct { const char *name; double share; } quantiles[] = {
    { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "p99.99", 0.9999 },
};

static void print_histogram(const struct run *run, const char *name, bool of_free)
{
    struct histogram *all = area(sizeof *all);

    for (unsigned i = 0; i < run->threads; i++)
        histogram_merge(all, of_free ? run->workers[i].free_ticks : run->workers[i].malloc_ticks);
    printf("\"%s\": {", name);
    for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        printf("\"%s\": %.1f, ", quantiles[i].name,
               (double)histogram_quantile(all, quantiles[i].share) / run->ticks_per_ns);
    printf("\"max\": %.1f, \"mean\": %.2f, \"count\": %llu}",
           (double)all->most / run->ticks_per_ns,
           all->count ? (double)all->sum / (double)all->count / run->ticks_per_ns : 0,
           (unsigned long long)all->count);
}

static void print_latency(const struct run *run)
{
    printf(", \"latency_ns\": {");
    print_histogram(run, "malloc", false);
    printf(", ");
    print_histogram(run, "free", true);
    printf("}");
}

/* ---- The rest -------------------------------------------------------------------- */

static void print_series(const struct run *run)
{
    printf(", \"series\": [");
    for (unsigned i = 0; i < run->point_count; i++)
        printf("%s[%.4f, %.0f, %.0f]", i ? ", " : "", run->points[i].seconds,
               run->points[i].resident, run->points[i].live);
    printf("]");
}

static void print_metrics(const struct run *run)
{
    printf(", \"metrics\": {");
    for (unsigned i = 0; i < run->metric_count; i++) {
        printf("%s\"%s\": ", i ? ", " : "", run->metrics[i].name);
        print_number(run->metrics[i].value);
    }
    printf("}");
}

void print_result(const struct run *run)
{
    printf("{\"workload\": \"%s\", \"threads\": %u, \"operations\": %llu, \"seconds\": %.6f, "
           "\"final_bytes\": %zu",
           run->workload->name, run->threads, (unsigned long long)all_operations(run),
           run->seconds, run->final_bytes);
    if (run->peak_bytes)
        printf(", \"peak_bytes\": %zu", run->peak_bytes);
    if (run->settled_bytes)
        printf(", \"settled_bytes\": %zu", run->settled_bytes);
    if (strcmp(run->workload->group, "contention") == 0)
        print_thread_operations(run);
    if (run->timed)
        print_latency(run);
    if (run->point_count)
        print_series(run);
    print_metrics(run);
    printf("}\n");
}

void print_list(const struct workload *workloads, unsigned count)
{
    printf("[\n");
    for (const struct workload *w = workloads; w < workloads + count; w++)
        printf("{\"workload\": \"%s\", \"group\": \"%s\", \"threads\": [%s], \"quick\": %s, "
               "\"about\": \"%s\", \"unit\": \"%s\"}%s\n",
               w->name, w->group, w->threads, w->quick ? "true" : "false", w->about, w->unit,
               w + 1 < workloads + count ? "," : "");
    printf("]\n");
}
