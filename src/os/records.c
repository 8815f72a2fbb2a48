/* os/records.c - see records.h.  lock guards the rest of the current chunk. */
#include "os/records.h"

#include "base/bits.h"
#include "base/geometry.h"
#include "base/lock.h"
#include "os/map.h"

enum { CHUNK_BYTES = 64 * 1024 };

static struct tide_lock lock = TIDE_LOCK_INITIALIZER;
static char *rest;           /* under lock */
static size_t rest_bytes;    /* under lock */
static _Atomic size_t given; /* under lock, read by walkers */

void *tide_os_record(size_t bytes)
{
    void *record = NULL;

    bytes = tide_round_up(bytes, TIDE_CACHE_LINE);
    tide_lock(&lock);
    if (rest_bytes < bytes) {
        size_t chunk = tide_round_up(bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES, tide_os_page_bytes);
        char *start = tide_os_map(chunk, tide_os_page_bytes);

        rest = start ? start : rest;
        rest_bytes = start ? chunk : rest_bytes;
    }
    if (rest_bytes >= bytes) {
        record = rest;
        rest += bytes;
        rest_bytes -= bytes;
        tide_count(&given, bytes);
    }
    tide_unlock(&lock);
    return record;
}

size_t tide_os_record_bytes(void)
{
    return tide_relaxed(&given);
}

struct tide_lock *tide_os_records_lock(void)
{
    return &lock;
}

void tide_os_forget_records(void)
{
    rest = NULL;
    rest_bytes = 0;
}
