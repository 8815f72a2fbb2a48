/* api/enter.h - the allocator's start, and a thread's first call and end */
#ifndef TIDE_API_ENTER_H
#define TIDE_API_ENTER_H

#include "heap/birth.h"

/* Whether the allocator is ready; the first caller makes it so, with the
 * settings in environment.  NULL (it came before the C library was ready)
 * leaves the defaults, and a later caller that has one warns of settings that
 * came too late. */
bool tide_api_make_ready(char *const *environment);

/* As tide_heap_enter, for a thread that may be unborn; NULL and ENOMEM when there is no
 * memory.  Behind the gate (fork.h). */
struct heap *tide_api_enter(void);

#endif
