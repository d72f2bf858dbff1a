// What a launcher tells the guard of its jobs, and a guard the finisher of one, over a SOCK_SEQPACKET pair that the
// one who is told has as descriptor 3. `guard_send` and `guard_receive` write and read a message on all three sides:
// one that does not have what its kind needs is an error, and nobody acts on it.
//
// To the guard, which SIGKILL disarms:
//
// GUARD_WATCH comes first, once, queued before the guard starts. It brings `launcher`.
//
// GUARD_JOB announces a job before its cgroups exist; numbers only ever rise. It brings the directories that the
// cgroups will be in (`parents`), and where they are wanted: `parent`; `executable` and `record`, for a report after a
// loss; `report` and `target`, where that goes.
//
// GUARD_ARM is sent once the cgroups exist, and before the job can run. It brings `kill_file` and the cgroups'
// `directories`, whose flock(2) marks the job as live.
//
// GUARD_DONE takes a job off: nothing of it is left.
//
// GUARD_SCOPE says that a manager is being asked to move the guard out of the cgroup with the hash `number` into a
// scope. A scope whose processes were dead before they came never gets empty, and stays: the guard waits for it.
//
// GUARD_HOLDER says what keeps the scope that the jobs are in: `holder`, `holder_socket` and, once there is one, its
// directory (`scope`), which is removed in the end if systemd does not. systemd removes the directory of a scope that
// is empty, and gives up if anybody else removes one inside meanwhile, or if a process is still on its way out: the
// guard lets the holder go when all jobs are removed, and ends after it. The last GUARD_HOLDER counts.
//
// GUARD_HOLD, in place of all these, makes the program a holder: it does nothing, and ends when nobody has the other
// end of its socket any more. GUARD_SCOPE may follow, and another GUARD_HOLD with a `kill_file`: what to kill then.
//
// From the guard or a holder:
//
// GUARD_READY is all that they ever say, once: that they are at their post, and have read what was queued before they
// started. No command is started before. A guard that cannot watch ends itself instead, and a program that is none
// never says it.
//
// To the finisher:
//
// GUARD_FINISH says whose loss ended a job, and brings `record`, `parents` and `directories`, and `report` and
// `target` where the report goes there.
//
// The guard's descriptors are the launcher's to count: one that does not fit is lost in the socket, the message is
// refused, and the guard ends itself rather than hold less than it was given.

#ifndef GUARD_PROTOCOL_H
#define GUARD_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GUARD_CONTROL = 3,
    GUARD_MAX_GROUPS = 6,
    GUARD_MAX_DESCRIPTORS = 16,
    GUARD_NAME_SIZE = 64,
};

enum guard_kind {
    GUARD_WATCH = 1,
    GUARD_JOB = 2,
    GUARD_ARM = 3,
    GUARD_DONE = 4,
    GUARD_SCOPE = 5,
    GUARD_HOLD = 6,
    GUARD_HOLDER = 7,
    GUARD_READY = 8,
    GUARD_FINISH = 9,
};

/// Whose loss ended a job.
enum guard_loss {
    GUARD_NOTHING_LOST = 0,
    GUARD_LAUNCHER_LOST = 1,
    GUARD_PARENT_LOST = 2,
};

/// A message, taken apart. Descriptors that it does not bring are -1.
struct guard_contents {
    enum guard_kind kind;
    enum guard_loss loss;
    /// The job's number, or what a kind says that it is.
    uint64_t number;
    /// pidfds
    int launcher, parent, holder;
    /// What to execute after a loss, what it reads, and what it writes to: `--report-fd`, and what `--report` meant.
    int executable, record, report, target;
    int kill_file, holder_socket, scope;
    /// How many cgroups there are, and one letter for each: `u`nified, or a v1 controller.
    unsigned groups;
    char tags[GUARD_MAX_GROUPS + 1];
    /// The cgroups' common name.
    char name[GUARD_NAME_SIZE];
    /// Of each cgroup: the directory that it is in, and its own. All of them are there, or none.
    bool has_parents, has_directories;
    int parents[GUARD_MAX_GROUPS], directories[GUARD_MAX_GROUPS];
};

/// A message of this kind that brings nothing yet.
struct guard_contents guard_message(enum guard_kind kind);
/// Never waits, and never raises SIGPIPE. -EINVAL: the contents are not what the kind needs.
int guard_send(int socket, const struct guard_contents *_Nonnull contents);
/// Never waits. 1: a message; 0: nobody has the other end any more; -EAGAIN: there is none yet; -EBADMSG: one that
/// does not decode, or whose descriptors did not arrive, all of which are closed; else another error.
int guard_receive(int socket, struct guard_contents *_Nonnull contents);
/// A socket for another program, in which this message is queued already. -errno: it could not be.
int guard_queue(const struct guard_contents *_Nonnull contents);

// What a guard does with all cgroups of a job.

/// Opens the directories that the cgroups are in, where that is not done.
void guard_open_parents(struct guard_contents *_Nonnull job);
void guard_close_parents(struct guard_contents *_Nonnull job);
void guard_close_directories(struct guard_contents *_Nonnull job);
/// Removes the cgroups, the unified one last: its lock marks the others as owned. -errno: of the first that stays.
int guard_remove_cgroups(const struct guard_contents *_Nonnull job);

#endif
