/* check/inspect.h - what a pointer that was handed back really is */
#ifndef TIDE_CHECK_INSPECT_H
#define TIDE_CHECK_INSPECT_H

#include <stddef.h>

struct block;
struct pool;
struct tide_range;

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
struct found tide_check_find(const void *address, const char *call);

/* With TIDEPOOL_CHECK=on: a block of the class was taken from a free list, and is marked
 * as allocated.  Its first word is to link it to another free one; aborts if not. */
void tide_check_taken(const struct block *block, unsigned size_class);

/* Reports that the block, whose size is known, was freed before. */
_Noreturn void tide_check_report_free(const void *address, size_t bytes, const char *call);

#endif
