/* expect: tidepool: free(PTR): inside a block of 8388608 bytes, 4096 bytes after its start */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(8388608);
    tide_free(block + 4096);
    return 0;
}
