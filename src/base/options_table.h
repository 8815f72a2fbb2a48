/* base/options_table.h - every setting, one row each
 *
 * ROW(field, kind, default, least, most, choices, help): the variable
 * TIDEPOOL_FIELD sets the field.  Kinds: CHOICE (an index into choices),
 * COUNT (a whole number), BYTES (a number with an optional K, M, G or T),
 * SHARE (that, or NN%, which is kept as -NN), TEXT (tide_options_text gives it;
 * least and most are its length).  The parser, the range check and the printed
 * table come from these rows.
 */
#ifndef TIDE_BASE_OPTIONS_TABLE_H
#define TIDE_BASE_OPTIONS_TABLE_H

#define TIDE_OPTIONS(ROW)                                                                    \
    ROW(help, CHOICE, 0, 0, 1, "0|1", "print this table to stderr at start")                 \
    ROW(stats, CHOICE, 0, 0, 1, "0|1", "print statistics to stderr at exit")                 \
    ROW(check, CHOICE, 0, 0, 1, "off|on",                                                    \
        "check every pointer that is handed back (slower)")                                  \
    ROW(arena_lock, CHOICE, 0, 0, 1, "arena|global",                                         \
        "a lock for each arena, or one lock for all")                                        \
    ROW(shards, COUNT, 0, 0, 64, "", "groups of arenas; 0: as many as usable CPUs")          \
    ROW(numa, CHOICE, 0, 0, 3, "auto|off|bind|interleave",                                   \
        "memory of the thread's own node: preferred, ignored, strict; or spread over all")   \
    ROW(plugin_dir, TEXT, 0, 1, 400, "", "the folder of libtidepool-hwloc.so; -: as installed") \
    ROW(pool_stock, COUNT, 4, 0, 1024, "", "empty pools that a thread keeps")                \
    ROW(decay_ms, COUNT, 1000, -1, 86400000, "",                                             \
        "milliseconds that free memory waits to be used again; -1: for good")                \
    ROW(maintenance, CHOICE, 0, 0, 2, "auto|off|on",                                         \
        "a thread that gives memory back when it has waited; auto: with several threads")    \
    ROW(pressure, CHOICE, 1, 0, 1, "off|on",                                                 \
        "that thread lets nothing wait while memory is short")                               \
    ROW(limit_soft, SHARE, 0, 0, INT64_C(1) << 50, "",                                       \
        "bytes in use above which free memory goes at once; 0: none")                        \
    ROW(limit_hard, SHARE, 0, 0, INT64_C(1) << 50, "",                                       \
        "bytes in use that are never exceeded; 0: no limit")                                 \
    ROW(rcu, CHOICE, 1, 0, 1, "off|on",                                                      \
        "read lists of arenas without their locks, by liburcu-bp, loaded when first needed")  \
    ROW(depot, BYTES, 8192, 0, 1 << 30, "",                                                  \
        "bytes of freed foreign blocks of a class for each heap that wait for other threads") \
    ROW(thp, CHOICE, 0, 0, 2, "auto|always|never",                                           \
        "transparent huge pages; auto: where memory stays full")                             \
    ROW(hugetlb, BYTES, 0, 0, INT64_C(1) << 40, "",                                          \
        "bytes of the system's huge pages (vm.nr_hugepages) to set aside for arenas")

#endif
