/* expect: tidepool: malloc_usable_size(PTR): not a tidepool block: no memory of tidepool's is there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    long object[4] = {0};
    return (int)tide_usable_size(object);
}
