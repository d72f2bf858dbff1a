#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

// Finds the cgroup that comes after `name` below `directory`; the first one if `name` is empty. Returns whether there is
// one; -errno if that cannot be found out.
static int next_child(int directory, char name[NAME_MAX + 1])
{
    // Opened anew: reading moves the offset, which a duplicate would share with `directory`.
    int listing = clinux_open_of_job(directory, ".", O_RDONLY | O_DIRECTORY);
    DIR *stream = listing < 0 ? NULL : fdopendir(listing);
    if (!stream) {
        int error = listing < 0 ? -listing : errno;
        if (listing >= 0)
            close(listing);
        return -error;
    }
    struct dirent *entry;
    bool is_behind = name[0] == 0;
    while ((entry = readdir(stream))) {
        if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (is_behind)
            break;
        is_behind = !strcmp(entry->d_name, name);
    }
    if (entry)
        strcpy(name, entry->d_name);
    closedir(stream);
    return entry != NULL;
}

static int first_child(int directory, char name[NAME_MAX + 1])
{
    name[0] = 0;
    return next_child(directory, name);
}

static int remove_directory(int parent, const char *name)
{
    int result = (int)or_errno(unlinkat(parent, name, AT_REMOVEDIR));
    // A job may have taken away the rights to the directories.
    if (result == -EACCES && grant_owner(parent, NULL) == 0)
        result = (int)or_errno(unlinkat(parent, name, AT_REMOVEDIR));
    return result == -ENOENT ? 0 : result;
}

// Removes all cgroups below `directory`, and closes it. A job may have nested them thousands of levels deep. So this
// function goes down and up again by way of `..`, and holds one directory open at a time.
static int remove_children(int directory)
{
    char name[NAME_MAX + 1];
    unsigned depth = 0;
    // Whether this function has just come down to `directory`, because it could not be removed.
    bool is_new = false;
    int result;
    while ((result = first_child(directory, name)) > 0 || (result == 0 && depth > 0)) {
        int next;
        if (result == 0) {
            // A cgroup that has no cgroup below it, and cannot be removed all the same, has a process.
            if (is_new) {
                result = -EBUSY;
                break;
            }
            next = (int)or_errno(openat(directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
            depth--;
        } else {
            result = remove_directory(directory, name);
            is_new = false;
            if (result == 0)
                continue;
            if (result != -EBUSY && result != -ENOTEMPTY)
                break;
            next = clinux_open_of_job(directory, name, O_RDONLY | O_DIRECTORY);
            if (next == -ENOENT)
                continue;
            depth++;
            is_new = true;
        }
        if (next < 0) {
            result = next;
            break;
        }
        close(directory);
        directory = next;
    }
    close(directory);
    return result;
}

int clinux_remove_cgroup(int parent, const char *name)
{
    int result = remove_directory(parent, name);
    if (result != -EBUSY && result != -ENOTEMPTY)
        return result;
    int directory = clinux_open_of_job(parent, name, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    result = remove_children(directory);
    return result < 0 ? result : remove_directory(parent, name);
}

static bool leader_has_ended(pid_t pid)
{
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? 0 : clinux_read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[size > 0 ? size : 0] = 0;
    // The name of the program may itself hold parentheses.
    const char *end = strrchr(text, ')');
    return end && end[1] && (end[2] == 'Z' || end[2] == 'X');
}

static FILE *open_members(int directory)
{
    int members = clinux_open_of_job(directory, "cgroup.procs", O_RDONLY);
    FILE *file = members < 0 ? NULL : fdopen(members, "re");
    if (!file && members >= 0)
        close(members);
    return file;
}

static bool is_member(int directory, int pid)
{
    FILE *members = open_members(directory);
    int found = 0;
    while (members && found != pid && fscanf(members, "%d", &found) == 1)
        continue;
    if (members)
        fclose(members);
    return found == pid;
}

static void kill_headless_members(int directory)
{
    FILE *members = open_members(directory);
    int pid;
    while (members && fscanf(members, "%d", &pid) == 1) {
        if (pid <= 0 || !leader_has_ended(pid))
            continue;
        int process = clinux_pidfd_open(pid);
        // Only a process that is a member once the pidfd is open: before, its pid might have passed to another.
        if (process >= 0 && is_member(directory, pid))
            clinux_pidfd_send_signal(process, SIGKILL);
        if (process >= 0)
            close(process);
    }
    if (members)
        fclose(members);
}

void clinux_kill_headless(int directory)
{
    // The way down from `directory`. A job may have nested its cgroups deeply, so that only one of them is held open.
    char(*way)[NAME_MAX + 1] = NULL, name[NAME_MAX + 1] = "";
    size_t depth = 0;
    int current = clinux_open_of_job(directory, ".", O_RDONLY | O_DIRECTORY);
    if (current >= 0)
        kill_headless_members(current);
    while (current >= 0) {
        int next;
        if (next_child(current, name) > 0) {
            next = clinux_open_of_job(current, name, O_RDONLY | O_DIRECTORY);
            if (next < 0)
                continue; // It has been removed, or nobody may look into it.
            char(*longer)[NAME_MAX + 1] = realloc(way, (depth + 1) * sizeof *way);
            if (!longer) {
                close(next);
                break;
            }
            way = longer;
            strcpy(way[depth++], name);
            name[0] = 0;
            kill_headless_members(next);
        } else {
            if (depth == 0)
                break;
            next = (int)or_errno(openat(current, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
            strcpy(name, way[--depth]);
        }
        close(current);
        current = next;
    }
    if (current >= 0)
        close(current);
    free(way);
}

// Puts the path of a directory into `path`; NULL: /proc does not tell.
static char *path_of(int directory, char path[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
    return size > 0 ? path : NULL;
}

int clinux_remove_job(int parent, const char *name, int directory)
{
    int result = clinux_remove_cgroup(parent, name);
    // Only groups of cgroup v1 have this file, and only while they are there.
    if (result < 0 || directory < 0 || faccessat(directory, "tasks", F_OK, 0) < 0)
        return result;
    char path[PATH_MAX], *slash = path_of(directory, path) ? strrchr(path, '/') : NULL;
    return slash ? clinux_remove_cgroup(parent, slash + 1) : -EBUSY;
}

void clinux_remove_scope(int directory)
{
    char path[PATH_MAX];
    for (int i = 0; i < 100 && faccessat(directory, "cgroup.procs", F_OK, 0) == 0; i++)
        clinux_poll(NULL, 0, 1000000);
    bool is_known = path_of(directory, path);
    int children = fcntl(directory, F_DUPFD_CLOEXEC, 3);
    if (children >= 0)
        remove_children(children);
    // The link of a directory that is gone is no path, and rmdir fails.
    if (is_known)
        rmdir(path);
}
