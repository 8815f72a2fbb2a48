/* bench/trace/writer.h - from a recorded program's calls to the file of the trace
 *
 * Every thread encodes its events into a buffer of its own, which is written as
 * a chunk when it is full, when the thread ends and when the recording ends.
 * Nothing here calls malloc; errno is kept.
 *
 * A thread is in one of three states: not known yet (no buffer), recording, and
 * ended: late calls, from destructors after ours, become chunks of one event.
 *
 * Locks: file_lock, around a chunk's write and the list of buffers.  A buffer
 * is changed by its owner alone, between busy = 1 and busy = 0; the end of the
 * recording waits until no one is busy and then writes all buffers.
 */
#ifndef TIDE_BENCH_WRITER_H
#define TIDE_BENCH_WRITER_H

#include "trace.h"

/* Opens the file and begins; the calling thread is thread 0. */
void writer_begin(void);

/* Writes what is buffered and the end record; nothing is recorded from then on. */
void writer_finish(void);

/* Leaves the recording to the parent, in the child of a fork. */
void writer_abandon(void);

/* False before writer_begin and after writer_finish or a failed write. */
bool writer_is_on(void);

/* The next order, of all threads. */
uint64_t writer_draw_order(void);

/* Records an event of the calling thread; sets its time. */
void writer_note(struct trace_event *event);

/* A number for a thread to be created; the new thread takes it by becoming it. */
uint32_t writer_number_thread(void);
void writer_become_thread(uint32_t number);

#endif
