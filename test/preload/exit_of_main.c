/* exit_of_main.c - a program whose main thread ends first, with pthread_exit
 *
 * It has enough memory for tidepool to have its maintenance thread, and must
 * end with its last own thread, running what atexit was given.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 256, BYTES = 256 << 10 };

static void say_goodbye(void)
{
    puts("goodbye");
}

static void *outlive_main(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    return NULL;
}

int main(void)
{
    static void *blocks[BLOCKS];
    static pthread_t main_thread;
    pthread_t thread;

    atexit(say_goodbye);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        if (blocks[i] == NULL)
            return 1;
        memset(blocks[i], 1, BYTES);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    main_thread = pthread_self();
    if (pthread_create(&thread, NULL, outlive_main, &main_thread) != 0)
        return 1;
    pthread_exit(NULL);
}
