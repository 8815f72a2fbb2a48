/* heap/inspect.h - what a pointer that was handed back really is */
#ifndef TIDE_HEAP_INSPECT_H
#define TIDE_HEAP_INSPECT_H

#include "heap/heap.h"

enum found_kind { FOUND_POOLED, FOUND_LARGE };

struct found {
    enum found_kind kind;
    struct pool *pool;        /* of a pooled block */
    struct tide_range *range; /* of a large one */
    size_t bytes;      /* usable */
};

/* The live block that starts at address.  When there is none, says so in one
 * line that names call, and aborts.  That a pooled block is free is seen only
 * with TIDEPOOL_CHECK=on.  Any thread that has the block. */
struct found tide_heap_find(const void *address, const char *call);

/* Reports that the block, whose size is known, was freed before. */
_Noreturn void tide_heap_report_free(const void *address, size_t bytes, const char *call);

#endif
