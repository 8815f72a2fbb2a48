/* expect: tidepool: realloc(PTR): inside a block of 112 bytes, 16 bytes after its start */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc(112);
    block = tide_realloc(block + 16, 200);
    tide_free(block);
    return 0;
}
