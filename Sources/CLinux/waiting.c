#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <sys/syscall.h>

static int64_t time_on(clockid_t clock)
{
    struct timespec time = { 0 };
    syscall(SYS_clock_gettime, clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int64_t clinux_monotonic_time(void) { return time_on(CLOCK_MONOTONIC); }
int64_t clinux_boot_time(void) { return time_on(CLOCK_BOOTTIME); }

void clinux_set_timer(int timer, int64_t at)
{
    // The kernel takes no negative time, as of a deadline before the boot, and for zero it stops the timer.
    int64_t time = at < 0 ? 0 : at == 0 ? 1 : at;
    struct itimerspec value = { .it_value = { .tv_sec = time / 1000000000, .tv_nsec = time % 1000000000 } };
    syscall(SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME, &value, NULL);
}

int clinux_poll(struct pollfd *polls, unsigned count, int64_t timeout)
{
    struct timespec time = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    return (int)or_errno(syscall(SYS_ppoll, polls, count, timeout < 0 ? NULL : &time, NULL, (size_t)0));
}

int clinux_epoll_watch(int epoll, int descriptor, uint32_t events, uint64_t token)
{
    struct epoll_event event = { .events = events, .data.u64 = token };
    if (events == 0)
        return (int)or_errno(epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0)
        return 0;
    return errno == EEXIST ? (int)or_errno(epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event)) : -errno;
}

int clinux_epoll_wait(int epoll, uint64_t *ready, unsigned count, int64_t timeout)
{
    struct epoll_event events[64];
    struct timespec time = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    if (count > 64)
        count = 64;
    // Where there is no epoll_pwait2(2) (Linux 5.11), the timeout is rounded up to milliseconds.
    int n = (int)syscall(SYS_epoll_pwait2, epoll, events, (int)count, timeout < 0 ? NULL : &time, NULL, 0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM))
        n = epoll_wait(epoll, events, (int)count, timeout < 0 ? -1 : (int)((timeout + 999999) / 1000000));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++)
        ready[i] = events[i].data.u64;
    return n;
}
