/* expect: tidepool: free(PTR): inside a block of 112 bytes, 16 bytes after its start */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(112);
    tide_free(block + 16);
    return 0;
}
