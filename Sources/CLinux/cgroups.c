#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <stdio.h>
#include <string.h>

// Gives the owner all rights to `name` in `directory`, or to `directory` itself where `name` is NULL. -EACCES: the
// owner has them already.
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

int clinux_open_parent(int directory)
{
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int result = (int)or_errno(openat(directory, "..", flags));
    // A job may have taken away the right to search its directory.
    if (result == -EACCES && grant_owner(directory, NULL) == 0)
        result = (int)or_errno(openat(directory, "..", flags));
    return result;
}

uint64_t clinux_own_cgroup(void)
{
    char text[4096];
    uint64_t hash = 14695981039346656037ULL; // FNV-1a
    int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
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
    // The kernel notifies at most every 10 ms, and late for a cgroup that got its processes a moment ago. So at first
    // this function looks again by itself, after short pauses.
    int64_t pause = 20000, start = clinux_monotonic_time();
    while (is_populated(events)) {
        int64_t left = timeout - (clinux_monotonic_time() - start);
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
    // A job may have taken away the rights to `name`, or to a directory in it.
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
    int children = fcntl(directory, F_DUPFD_CLOEXEC, 3);
    if (children >= 0)
        remove_children(children);
    // The link of a directory that is gone is no path, and rmdir fails.
    path[size > 0 ? size : 0] = 0;
    rmdir(path);
}
