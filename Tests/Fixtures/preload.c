// A library for LD_PRELOAD that does what libfaketime does: it sets variables before the program starts, which moves
// `environ`, and shows clocks that are two days ahead.

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void set_variables(void)
{
    char name[] = "PRELOADED_A";
    for (; name[10] <= 'Z'; name[10]++)
        setenv(name, "1", 1);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    time->tv_sec += 2 * 24 * 60 * 60;
    return result;
}
