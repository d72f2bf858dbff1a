// What a launcher tells its guard about jobs, and what a guard tells a finisher about one job. Messages travel over
// a SOCK_SEQPACKET pair, of which the guard, the holder and the finisher have their end as descriptor 3. Launcher,
// guard and finisher write messages with `guard_send` and read them with `guard_receive`. A message that lacks what
// its kind needs is an error, and nobody acts on it.
//
// From the launcher to the guard (SIGKILL of the guard ends no job):
//
// GUARD_WATCH is the first message. It is sent once, and is in the socket before the guard starts. It brings
// `launcher`, the process whose loss ends all jobs.
//
// GUARD_JOB announces a job before its cgroups exist. Each job has a higher number than the one before. The message
// brings `parents`, the directories that the cgroups will be in. It may bring `parent`, the process whose loss ends
// the job; `executable` and `record`, to have a report written after a loss; `report` and `target`, which say where
// this report goes.
//
// GUARD_ARM is sent once the cgroups exist, and before the job can run. It brings `kill_file` and the cgroups'
// `directories`, whose flock(2) marks the job as live.
//
// GUARD_DEADLINE brings the `deadline` until which the guard leaves a job that runs to the launcher. Then the launcher is
// stopped or stuck: the guard kills the job, and says so with GUARD_KILLED. A later deadline replaces an earlier one.
//
// GUARD_DONE says that nothing of a job is left: the guard forgets the job.
//
// GUARD_SCOPE says that a manager is being asked to move the guard out of the cgroups with the hash `number` into a
// scope. systemd never removes a scope whose processes were dead before they were moved there. So the guard does not
// end before it is moved.
//
// GUARD_HOLDER says which process keeps the scope that the jobs are in. It brings this process (`holder`), the socket
// that it waits at (`holder_socket`) and, once there is one, the scope's directory (`scope`). systemd removes the
// directory of an empty scope, but gives up if somebody else removes a directory inside it at the same time, or if a
// process in it is still ending. So the guard removes all jobs first, then closes `holder_socket` and waits for the
// holder's end, and removes the directory if systemd did not. A later GUARD_HOLDER replaces an earlier one.
//
// GUARD_SUCCESSOR says that the jobs outlive the launcher, which is a service's keeper: after a loss of the launcher the
// guard ends nothing, and becomes `executable`, the next keeper, which adopts the service. It also brings `state`, the
// service's directory, and `output`, the FIFO of the service's output, which must not lose what is in it meanwhile, and
// `notices`, the socket of sd_notify(3), if the service has one, for the same reason.
//
// GUARD_HOLD as the first message, instead of GUARD_WATCH, makes the program a holder: it does nothing, and ends when
// nobody has the other end of its socket any more. GUARD_SCOPE may follow, and another GUARD_HOLD that brings a
// `kill_file`: then the holder kills this cgroup before it ends.
//
// From the guard or a holder to the launcher:
//
// GUARD_READY is their first message, and is sent once: the guard watches, or the holder holds, and has read what was
// in its socket when it started. The launcher starts no command before it has this message. A guard that cannot watch
// ends without sending it, and a program that is no guard never sends it.
//
// GUARD_KILLED says that the guard has killed a job at its `deadline`.
//
// From the guard to the finisher:
//
// GUARD_FINISH says whose loss ended a job. It brings `record`, `parents` and `directories`, and `report` and `target`
// where the report goes there.
//
// From the guard, or from whoever starts a service, to a keeper:
//
// GUARD_SUCCESSOR brings `state`, and `output` and `notices` if the service had a keeper before.
//
// The launcher has to count the descriptors that the guard holds. If the guard has no room for a descriptor, the kernel
// drops it from the message. The guard refuses such a message and ends, rather than hold less than it was given.

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
    GUARD_KILLED = 10,
    GUARD_DEADLINE = 11,
    GUARD_SUCCESSOR = 12,
};

/// Whose loss ended a job.
enum guard_loss {
    GUARD_NOTHING_LOST = 0,
    GUARD_LAUNCHER_LOST = 1,
    GUARD_PARENT_LOST = 2,
};

/// A message with its descriptors; one that it does not bring is -1.
struct guard_contents {
    enum guard_kind kind;
    enum guard_loss loss;
    /// The job's number; in GUARD_SCOPE a hash of cgroups.
    uint64_t number;
    /// In nanoseconds on CLOCK_BOOTTIME; 0: none.
    int64_t deadline;
    /// Processes, as pidfds.
    int launcher, parent, holder;
    /// After a loss, the guard executes `executable`, which reads `record` and writes to `report` (the descriptor of
    /// `--report-fd`) and to `target` (what the path of `--report` led to).
    int executable, record, report, target;
    int kill_file, holder_socket, scope;
    int state, output, notices;
    /// How many cgroups the job has, and one letter for each: `u` for cgroup v2, others for v1 controllers.
    unsigned groups;
    char tags[GUARD_MAX_GROUPS + 1];
    /// The cgroups' common name.
    char name[GUARD_NAME_SIZE];
    /// For each cgroup, the directory that it is in, and its own directory. A list is sent whole or not at all.
    bool has_parents, has_directories;
    int parents[GUARD_MAX_GROUPS], directories[GUARD_MAX_GROUPS];
};

/// A message of this kind that brings nothing yet.
struct guard_contents guard_message(enum guard_kind kind);
/// Never waits, and never raises SIGPIPE. -EINVAL: the contents are not what the kind needs.
int guard_send(int socket, const struct guard_contents *_Nonnull contents);
/// Never waits. 1: a message; 0: nobody has the other end any more; -EAGAIN: there is no message yet; -EBADMSG: the
/// message does not decode, or not all of its descriptors arrived (those that did are closed); else another error.
int guard_receive(int socket, struct guard_contents *_Nonnull contents);
/// Makes a socket for another program, with this message in it, and returns its descriptor; else -errno.
int guard_queue(const struct guard_contents *_Nonnull contents);

// What a guard does with all cgroups of a job.

/// Opens `parents`, the directories that the cgroups are in, if they are not open.
void guard_open_parents(struct guard_contents *_Nonnull job);
void guard_close_parents(struct guard_contents *_Nonnull job);
void guard_close_directories(struct guard_contents *_Nonnull job);
/// Removes the cgroups, that of cgroup v2 last: while it is there, a sweep knows that v1 groups may be left. -errno: of
/// the first cgroup that cannot be removed.
int guard_remove_cgroups(const struct guard_contents *_Nonnull job);

#endif
