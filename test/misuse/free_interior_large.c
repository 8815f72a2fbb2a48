/* expect: tidepool: free(PTR): inside a block of 131072 bytes, 4096 bytes after its start */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(131072);
    tide_free(block + 4096);
    return 0;
}
