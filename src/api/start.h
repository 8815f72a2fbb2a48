/* api/start.h - what the library does when it is loaded and when the program
 * ends */
#ifndef TIDE_API_START_H
#define TIDE_API_START_H

/* Makes the allocator ready, if no allocation did so before, and registers the
 * fork handlers.  Runs as a constructor. */
__attribute__((constructor(101))) void tide_api_start(int argc, char **argv, char **environment);

#endif
