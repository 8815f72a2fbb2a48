/* os/records.h - memory for the allocator's own records (heaps)
 *
 * Zeroed, aligned to a cache line, carved from mappings of its own and never
 * given back: a record stays readable for ever, so any thread may follow a
 * pointer to one.
 */
#ifndef TIDE_OS_RECORDS_H
#define TIDE_OS_RECORDS_H

#include <stddef.h>

/* NULL and ENOMEM when there is no memory.  Any thread. */
void *tide_os_record(size_t bytes);

/* Bytes handed out so far. */
size_t tide_os_record_bytes(void);

/* In a fork child that the lock was not taken for: what is left of the chunk is lost. */
void tide_os_forget_records(void);

/* For fork. */
struct tide_lock;
struct tide_lock *tide_os_records_lock(void);

#endif
