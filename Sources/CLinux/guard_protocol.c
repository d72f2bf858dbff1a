#define _GNU_SOURCE
#include "clinux.h"

#include <stddef.h>
#include <string.h>

/// A message as bytes in a socket. Its descriptors travel beside it.
struct wire {
    uint64_t number;
    int64_t deadline;
    /// Bit i is set where the message brings the descriptor in the field that `singles[i]` names.
    uint16_t present;
    uint8_t kind, loss, groups;
    /// 0 or 1: what arrives need not be a `bool`.
    uint8_t has_parents, has_directories;
    char tags[GUARD_MAX_GROUPS];
    char name[GUARD_NAME_SIZE];
};

/// The fields of `guard_contents` that hold one descriptor each, in the order in which descriptors are sent.
static const size_t singles[] = {
    offsetof(struct guard_contents, launcher),      offsetof(struct guard_contents, parent),
    offsetof(struct guard_contents, holder),        offsetof(struct guard_contents, executable),
    offsetof(struct guard_contents, record),        offsetof(struct guard_contents, report),
    offsetof(struct guard_contents, target),        offsetof(struct guard_contents, kill_file),
    offsetof(struct guard_contents, holder_socket), offsetof(struct guard_contents, scope),
    offsetof(struct guard_contents, state),         offsetof(struct guard_contents, output),
    offsetof(struct guard_contents, notices),
};
enum { SINGLES = sizeof singles / sizeof *singles };

static int *single(const struct guard_contents *contents, size_t index)
{
    return (int *)((char *)contents + singles[index]);
}

struct guard_contents guard_message(enum guard_kind kind)
{
    struct guard_contents contents = { .kind = kind };
    for (size_t i = 0; i < SINGLES; i++)
        *single(&contents, i) = -1;
    for (size_t i = 0; i < GUARD_MAX_GROUPS; i++)
        contents.parents[i] = contents.directories[i] = -1;
    return contents;
}

// Whether a message has what its kind needs.
static bool is_whole(const struct guard_contents *contents)
{
    if (contents->groups > GUARD_MAX_GROUPS || ((contents->has_parents || contents->has_directories) && !contents->groups))
        return false;
    switch (contents->kind) {
    case GUARD_WATCH: return contents->launcher >= 0;
    case GUARD_JOB:
        return contents->number > 0 && contents->has_parents && contents->name[0]
               && (contents->executable >= 0) == (contents->record >= 0);
    case GUARD_ARM: return contents->number > 0 && contents->kill_file >= 0 && contents->has_directories;
    case GUARD_DONE:
    case GUARD_KILLED: return contents->number > 0;
    case GUARD_DEADLINE: return contents->number > 0 && contents->deadline > 0;
    case GUARD_SUCCESSOR: return contents->state >= 0;
    case GUARD_HOLDER: return contents->holder >= 0 && contents->holder_socket >= 0;
    case GUARD_SCOPE:
    case GUARD_HOLD:
    case GUARD_READY: return true;
    case GUARD_FINISH:
        return (contents->loss == GUARD_LAUNCHER_LOST || contents->loss == GUARD_PARENT_LOST) && contents->record >= 0
               && contents->has_parents && contents->has_directories && contents->name[0];
    }
    return false;
}

int guard_send(int socket, const struct guard_contents *contents)
{
    if (!is_whole(contents))
        return -EINVAL;
    struct wire wire = {
        .number = contents->number, .deadline = contents->deadline, .kind = (uint8_t)contents->kind, .loss = (uint8_t)contents->loss,
        .groups = (uint8_t)contents->groups, .has_parents = contents->has_parents,
        .has_directories = contents->has_directories,
    };
    memcpy(wire.tags, contents->tags, sizeof wire.tags);
    memcpy(wire.name, contents->name, sizeof wire.name);
    int descriptors[SINGLES + 2 * GUARD_MAX_GROUPS];
    unsigned count = 0;
    for (size_t i = 0; i < SINGLES; i++)
        if (*single(contents, i) >= 0) {
            wire.present |= (uint16_t)(1 << i);
            descriptors[count++] = *single(contents, i);
        }
    for (unsigned i = 0; contents->has_parents && i < contents->groups; i++)
        descriptors[count++] = contents->parents[i];
    for (unsigned i = 0; contents->has_directories && i < contents->groups; i++)
        descriptors[count++] = contents->directories[i];
    return clinux_send(socket, &wire, sizeof wire, descriptors, count);
}

static bool decode(const struct wire *wire, const int *descriptors, unsigned count, struct guard_contents *contents)
{
    if (wire->has_parents > 1 || wire->has_directories > 1)
        return false;
    *contents = guard_message(wire->kind);
    contents->number = wire->number;
    contents->deadline = wire->deadline;
    contents->loss = wire->loss;
    contents->groups = wire->groups;
    contents->has_parents = wire->has_parents;
    contents->has_directories = wire->has_directories;
    memcpy(contents->tags, wire->tags, sizeof wire->tags);
    memcpy(contents->name, wire->name, sizeof wire->name);
    if (wire->groups > GUARD_MAX_GROUPS || wire->present >> SINGLES || !memchr(wire->name, 0, sizeof wire->name)
        || memchr(wire->name, '/', strlen(wire->name)))
        return false;
    unsigned expected = (unsigned)__builtin_popcount(wire->present)
                        + wire->groups * (unsigned)(wire->has_parents + wire->has_directories);
    if (count != expected)
        return false;
    for (size_t i = 0; i < SINGLES; i++)
        if (wire->present & 1 << i)
            *single(contents, i) = *descriptors++;
    for (unsigned i = 0; wire->has_parents && i < wire->groups; i++)
        contents->parents[i] = *descriptors++;
    for (unsigned i = 0; wire->has_directories && i < wire->groups; i++)
        contents->directories[i] = *descriptors++;
    return is_whole(contents);
}

int guard_receive(int socket, struct guard_contents *contents)
{
    struct wire wire;
    int descriptors[GUARD_MAX_DESCRIPTORS];
    unsigned count;
    ssize_t size = clinux_receive(socket, &wire, sizeof wire, descriptors, &count);
    if (size <= 0)
        return (int)size;
    if (size == sizeof wire && decode(&wire, descriptors, count, contents))
        return 1;
    for (unsigned i = 0; i < count; i++)
        close(descriptors[i]);
    return -EBADMSG;
}

int guard_queue(const struct guard_contents *contents)
{
    int ends[2], result = clinux_socketpair(ends);
    if (result < 0)
        return result;
    result = guard_send(ends[0], contents);
    close(ends[0]);
    if (result >= 0)
        return ends[1];
    close(ends[1]);
    return result;
}

// MARK: All cgroups of a job

void guard_open_parents(struct guard_contents *job)
{
    for (unsigned i = 0; job->has_directories && !job->has_parents && i < job->groups; i++)
        job->parents[i] = clinux_open_parent(job->directories[i]);
    job->has_parents = job->has_parents || job->has_directories;
}

static void close_list(const int descriptors[GUARD_MAX_GROUPS], bool *is_there)
{
    for (unsigned i = 0; *is_there && i < GUARD_MAX_GROUPS; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    *is_there = false;
}

void guard_close_parents(struct guard_contents *job) { close_list(job->parents, &job->has_parents); }
void guard_close_directories(struct guard_contents *job) { close_list(job->directories, &job->has_directories); }

int guard_remove_cgroups(const struct guard_contents *job)
{
    for (unsigned i = job->has_parents ? job->groups : 0; i-- > 0;) {
        int result = clinux_remove_job(job->parents[i], job->name, job->has_directories ? job->directories[i] : -1);
        if (result < 0)
            return result;
    }
    return 0;
}
