/* pool/guess.h - whether it is worth while to look for a pool's free pages (hollow.h) */
#ifndef TIDE_POOL_GUESS_H
#define TIDE_POOL_GUESS_H

#include <stdint.h>

struct pool;

/* How many pages, in sixteenths, are likely to have become free since a used pool's were
 * last looked for: by how many blocks have, and whether these lie side by side or
 * anywhere.  The owner. */
uint32_t tide_pool_guess(const struct pool *pool);

#endif
