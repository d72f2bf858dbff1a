#define _GNU_SOURCE
#include "clinux.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static long or_errno(long result) { return result < 0 ? -errno : result; }

int clinux_open_beneath(int directory, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    return (int)or_errno(syscall(SYS_openat2, directory, path, &how, sizeof how));
}

// Gives the owner of `name` in `directory`, or without a name of `directory` itself, what rights are lacking.
// -EACCES: there was nothing to give.
static int grant_owner(int directory, const char *name)
{
    struct stat facts;
    if ((name ? fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) : fstat(directory, &facts)) < 0)
        return -errno;
    mode_t mode = (facts.st_mode | (S_ISDIR(facts.st_mode) ? 0700 : 0600)) & 07777;
    if (mode == (facts.st_mode & 07777))
        return -EACCES;
    return (int)or_errno(name ? fchmodat(directory, name, mode, 0) : fchmod(directory, mode));
}

int clinux_open_of_job(int directory, const char *path, int flags)
{
    int result = clinux_open_beneath(directory, path, flags);
    if (result != -EACCES)
        return result;
    // The directory first: without the right to search it, nothing in it can be changed.
    int granted = grant_owner(directory, NULL);
    if (grant_owner(directory, path) < 0 && granted < 0)
        return result;
    return clinux_open_beneath(directory, path, flags);
}

int clinux_open(const char *path, int flags, unsigned mode)
{
    return (int)or_errno(open(path, flags | O_CLOEXEC, mode));
}

int clinux_open_at(int directory, const char *path, int flags, unsigned mode)
{
    return (int)or_errno(openat(directory, path, flags | O_CLOEXEC, mode));
}

int clinux_open_handle(int directory, const char *name, int flags)
{
    return clinux_open_at(directory, name, O_PATH | O_NOFOLLOW | flags, 0);
}

ssize_t clinux_read(int descriptor, void *buffer, size_t size)
{
    ssize_t n;
    do n = read(descriptor, buffer, size); while (n < 0 && errno == EINTR);
    return or_errno(n);
}

ssize_t clinux_write(int descriptor, const void *buffer, size_t size)
{
    ssize_t n;
    do n = write(descriptor, buffer, size); while (n < 0 && errno == EINTR);
    return or_errno(n);
}

int64_t clinux_filesystem_type(int descriptor)
{
    struct statfs facts;
    return fstatfs(descriptor, &facts) < 0 ? -errno : (int64_t)facts.f_type;
}

int64_t clinux_mount_id(int descriptor)
{
    struct statx facts;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_MNT_ID, &facts) < 0)
        return -errno;
    return facts.stx_mask & STATX_MNT_ID ? (int64_t)facts.stx_mnt_id : -ENODATA;
}

int clinux_set_close_on_exec(int descriptor)
{
    return (int)or_errno(fcntl(descriptor, F_SETFD, FD_CLOEXEC));
}

int clinux_duplicate(int descriptor)
{
    return (int)or_errno(fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
}

int clinux_memfd(const char *name)
{
    return (int)or_errno(memfd_create(name, MFD_CLOEXEC));
}

int clinux_pipe(int ends[2])
{
    return (int)or_errno(pipe2(ends, O_CLOEXEC));
}

int clinux_set_nonblocking(int descriptor)
{
    return (int)or_errno(fcntl(descriptor, F_SETFL, O_NONBLOCK));
}

int clinux_socketpair(int ends[2])
{
    return (int)or_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

int clinux_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return (int)or_errno(descriptor);
    int error = errno;
    close(descriptor);
    return -error;
}

int clinux_send(int socket, const void *data, size_t size, const int *descriptors, unsigned count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * GUARD_MAX_DESCRIPTORS)];
    struct iovec part = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count > GUARD_MAX_DESCRIPTORS)
        return -EINVAL;
    if (count > 0) {
        memset(control, 0, sizeof control);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
    }
    return (int)or_errno(sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static ssize_t receive(int socket, void *data, size_t size, int *descriptors, unsigned *count, int flags)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * GUARD_MAX_DESCRIPTORS)];
    struct iovec part = { .iov_base = data, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control,
    };
    *count = 0;
    ssize_t n;
    // Whoever died with something unread is told of once, before what it had sent: that counts, and its end
    // is the end of file after it.
    do n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(descriptors, CMSG_DATA(header), sizeof(int) * *count);
    }
    return n;
}

ssize_t clinux_receive(int socket, void *data, size_t size, int *descriptors, unsigned *count)
{
    return receive(socket, data, size, descriptors, count, MSG_DONTWAIT);
}

int clinux_receive_descriptor(int socket, int *descriptor)
{
    int received[GUARD_MAX_DESCRIPTORS];
    unsigned count;
    char byte;
    if (receive(socket, &byte, 1, received, &count, 0) != 1 || count != 1)
        return -EPIPE;
    *descriptor = received[0];
    return 0;
}

int clinux_pseudo_terminal(int *master, int *peer)
{
    int unlocked = 0, error;
    if ((*master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) < 0)
        return -errno;
    // Not by path: what is mounted on /dev/pts may be another one.
    if (ioctl(*master, TIOCSPTLCK, &unlocked) == 0
        && (*peer = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0)
        return 0;
    error = errno;
    close(*master);
    return -error;
}

int clinux_terminal_signal(int master, int signal)
{
    return (int)or_errno(ioctl(master, TIOCSIG, signal));
}

char *const *clinux_environment(void) { return environ; }

int clinux_pidfd_open(pid_t pid)
{
    return (int)or_errno(syscall(SYS_pidfd_open, pid, 0));
}

int clinux_pidfd_send_signal(int pidfd, int signal)
{
    return (int)or_errno(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

// A host that ignores SIGCHLD, or waits for any child, leaves nothing to wait for; but the pidfd
// remembers (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15).
static int status_after_reaping(int pidfd, struct clinux_wait_status *result)
{
    struct {
        uint64_t mask, cgroup;
        uint32_t ids[11];
        int32_t exit_code;
    } info;
    bool is_gone = false;
    for (int attempt = 0; attempt < 100; attempt++) {
        memset(&info, 0, sizeof info);
        info.mask = 1 << 3;
        if (ioctl(pidfd, _IOWR(0xFF, 11, info), &info) < 0) {
            // The kernel looks for the status before it looks for the process. If another thread reaps the process
            // in between, neither is found. The status is there by then: the second time tells.
            if (errno != ESRCH || is_gone)
                return -ECHILD;
            is_gone = true;
            continue;
        }
        if (info.mask & 1 << 3) {
            int status = info.exit_code;
            result->code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
            result->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
            return 0;
        }
        // It has ended, but is not quite gone.
        clinux_poll(NULL, 0, 1000000);
    }
    return -ECHILD;
}

int clinux_wait(int pidfd, int options, struct clinux_wait_status *result)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int r;
    do r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, options); while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ECHILD && options & WEXITED ? status_after_reaping(pidfd, result) : -errno;
    result->code = info.si_pid ? info.si_code : 0;
    result->status = info.si_status;
    return 0;
}

int clinux_execute(int executable, char *const *argv, int control)
{
    if (dup2(control, GUARD_CONTROL) < 0)
        return -errno;
    syscall(SYS_execveat, executable, "", argv, environ, AT_EMPTY_PATH);
    return -errno;
}

int clinux_poll(struct pollfd *polls, unsigned count, int64_t timeout)
{
    struct timespec time = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    return (int)or_errno(ppoll(polls, count, timeout < 0 ? NULL : &time, NULL));
}

pid_t clinux_execute_child(int executable, char *const *argv, int control)
{
    pid_t pid = fork();
    if (pid == 0) {
        clinux_execute(executable, argv, control);
        _exit(127);
    }
    return (pid_t)or_errno(pid);
}

int clinux_open_parent(int directory)
{
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int result = (int)or_errno(openat(directory, "..", flags));
    // A job may have taken the right to search its directory away.
    if (result == -EACCES && grant_owner(directory, NULL) == 0)
        result = (int)or_errno(openat(directory, "..", flags));
    return result;
}

int clinux_epoll(void) { return (int)or_errno(epoll_create1(EPOLL_CLOEXEC)); }

int clinux_epoll_watch(int epoll, int descriptor, uint32_t events, uint64_t token)
{
    struct epoll_event event = { .events = events, .data.u64 = token };
    if (events == 0)
        return (int)or_errno(epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0)
        return 0;
    return errno == EEXIST ? (int)or_errno(epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event)) : -errno;
}

int clinux_epoll_wait(int epoll, struct clinux_ready *ready, unsigned count, int64_t timeout)
{
    struct epoll_event events[64];
    struct timespec time = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    if (count > 64)
        count = 64;
    // Milliseconds, rounded up, where epoll_pwait2(2) (5.11) is not to be had.
    int n = (int)syscall(SYS_epoll_pwait2, epoll, events, (int)count, timeout < 0 ? NULL : &time, NULL, 0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM))
        n = epoll_wait(epoll, events, (int)count, timeout < 0 ? -1 : (int)((timeout + 999999) / 1000000));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++)
        ready[i] = (struct clinux_ready){ .token = events[i].data.u64, .events = events[i].events };
    return n;
}

uint64_t clinux_own_cgroup(void)
{
    char text[4096];
    uint64_t hash = 14695981039346656037ULL; // FNV-1a
    int file = clinux_open("/proc/self/cgroup", O_RDONLY, 0);
    ssize_t size = file < 0 ? 0 : clinux_read(file, text, sizeof text);
    if (file >= 0)
        close(file);
    for (ssize_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211ULL;
    return hash;
}

void clinux_await_scope(uint64_t before)
{
    for (int i = 0; i < 300 && clinux_own_cgroup() == before; i++)
        clinux_poll(NULL, 0, i < 100 ? 1000000 : 10000000);
}

void clinux_set_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

void clinux_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

uint64_t clinux_hard_descriptor_limit(void)
{
    struct rlimit limit = { 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

static int64_t monotonic_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int is_populated(int events)
{
    char text[64];
    ssize_t size = pread(events, text, sizeof text - 1, 0);
    if (size < 0)
        return 0;
    text[size] = 0;
    return strstr(text, "populated 1") != NULL;
}

int clinux_wait_until_empty(int events, int64_t timeout)
{
    // The kernel notifies at most every 10 ms, and late for a group that was
    // populated a moment ago; so the first looks come of their own accord.
    int64_t pause = 20000, start = monotonic_time();
    while (is_populated(events)) {
        int64_t left = timeout - (monotonic_time() - start);
        if (left <= 0)
            return 0;
        struct pollfd change = { .fd = events, .events = POLLPRI };
        clinux_poll(&change, 1, pause < left ? pause : left);
        if (pause < 100000000)
            pause *= 2;
    }
    return 1;
}

static int remove_children(int directory)
{
    DIR *stream = fdopendir(directory);
    if (!stream) {
        int error = errno;
        close(directory);
        return -error;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(stream)) != NULL)
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            result = clinux_remove_cgroup(dirfd(stream), entry->d_name);
    closedir(stream);
    return result;
}

static int remove_cgroup(int parent, const char *name)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    int directory = clinux_open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    int result = remove_children(directory);
    if (result < 0)
        return result;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int clinux_remove_cgroup(int parent, const char *name)
{
    int result = remove_cgroup(parent, name);
    // For want of a right to `name`, or to a directory in it.
    if (result == -EACCES && grant_owner(parent, name) == 0)
        result = remove_cgroup(parent, name);
    return result;
}

void clinux_remove_scope(int directory)
{
    char link[32], path[4096];
    for (int i = 0; i < 100 && faccessat(directory, "cgroup.procs", F_OK, 0) == 0; i++)
        clinux_poll(NULL, 0, 1000000);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t size = readlink(link, path, sizeof path - 1);
    int children = clinux_duplicate(directory);
    if (children >= 0)
        remove_children(children);
    // Of one that is gone, this is no path.
    path[size > 0 ? size : 0] = 0;
    rmdir(path);
}
