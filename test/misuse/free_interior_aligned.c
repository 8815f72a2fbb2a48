/* expect: tidepool: free(PTR): inside a block of 4096 bytes, 64 bytes after its start */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_aligned_alloc(4096, 4096);
    tide_free(block + 64);
    return 0;
}
