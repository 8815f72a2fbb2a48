/* expect: tidepool: free(PTR): not allocated: in a pool of blocks of 1024 bytes */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(1024);
    tide_free(block + 15 * 1024); /* in the same pool, whatever the geometry */
    return 0;
}
