internal import CLinux
internal import Glibc
package import SandboxValues
internal import SystemPackage

/// Facts about this process.
package enum ThisProcess {
    package static var id: ProcessID { getpid() }
    /// 0 when the parent is outside the pid namespace, 1 when it is gone or is init.
    package static var parentID: ProcessID { getppid() }
    package static var effectiveUserID: UInt32 { geteuid() }

    package static var currentDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    /// Whether `parent` can be the process that forked this one: a child is in the session of its parent, unless it
    /// leads a session of its own.
    package static func sharesSession(with parent: ProcessID) -> Bool {
        let own = getsid(0)
        return own == getpid() || own == getsid(parent)
    }

    /// Whether a process is in the process group of this one.
    package static func sharesGroup(with pid: ProcessID) -> Bool { getpgid(pid) == getpgrp() }

    package static var leadsSession: Bool { getsid(0) == getpid() }

    /// The program that this process runs, free of symbolic links.
    package static var executablePath: String? { readLink("/proc/self/exe") }

    /// A hash of `/proc/self/cgroup`. It changes when somebody moves this process to another cgroup.
    package static var cgroupHash: UInt64 { clinux_own_cgroup() }

    /// The words of the command line, byte for byte; the first is what this program was called.
    package static var arguments: [ByteString] {
        (0..<clinux_argument_count()).map { ByteString(cString: clinux_argument($0)) }
    }

    /// Writes out what `print` has left of standard output.
    ///
    /// - Throws: when that, or anything before it, cannot be written.
    package static func flushOutput() throws(SystemError) {
        _ = try check(clinux_flush_output(), "write", path: "standard output")
    }

    /// Sets the name that ps(1) shows.
    package static func setName(_ name: String) { clinux_set_name(name) }

    /// Ends this process at once, as another process has ended, and leaves no core file.
    package static func end(as status: ExitStatus) -> Never {
        switch status {
        case .exited(let code): _exit(code)
        case .signaled(let signal, _): clinux_die_of(signal.rawValue)
        }
    }

    /// `NAME=value` each, byte for byte.
    package static var environment: [ByteString] {
        var result: [ByteString] = []
        var next = clinux_environment()
        while let entry = next.pointee {
            result.append(ByteString(cString: entry))
            next += 1
        }
        return result
    }

    package static func environmentVariable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// How many descriptors this process and its children may have at most (hard RLIMIT_NOFILE).
    package static var hardDescriptorLimit: Int {
        var limit = rlimit()
        getrlimit(CInt(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_max)
    }

    /// A limit of getrlimit(2), by its name without `RLIMIT_`. `UInt64.max` is none.
    package struct ResourceLimit: Sendable {
        package let name: String
        package let soft: UInt64
        package let hard: UInt64
    }

    /// All limits of resources that this process has.
    package static var resourceLimits: [ResourceLimit] {
        // In the order of their numbers, which are the same on all machines that cgrun runs on.
        let names = [
            "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
            "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
        ]
        return names.enumerated().compactMap { number, name in
            var limit = rlimit()
            guard getrlimit(CInt(number), &limit) == 0 else { return nil }
            return ResourceLimit(name: name, soft: UInt64(limit.rlim_cur), hard: UInt64(limit.rlim_max))
        }
    }

    /// The bits that files made by this process do not get (umask(2)).
    package static var fileModeMask: UInt32 {
        let lines = ((try? readTextFile("/proc/self/status")) ?? "").split(separator: "\n")
        let line = lines.first { $0.hasPrefix("Umask:") }
        return line.flatMap { UInt32($0.split(separator: "\t").last ?? "", radix: 8) } ?? 0o022
    }

    /// Executes a program in place of this process.
    ///
    /// - Parameter control: what the program gets as descriptor 3. It gets no descriptor that is close-on-exec.
    /// - Returns: why that cannot be.
    package static func execute(
        _ executable: borrowing Descriptor, _ arguments: [ByteString], _ environment: [ByteString],
        control: borrowing Descriptor
    ) -> SystemError {
        let memory = CMemory()
        let result = clinux_execute_in(
            executable.rawValue, memory.list(arguments.map(memory.string)),
            memory.list(environment.map(memory.string)), control.rawValue)
        return SystemError("execveat", errno: Errno(rawValue: -result))
    }

    /// What the kernel adds to the OOM score of this process and of its children: -1000 exempts from every OOM kill.
    package static var oomScoreAdjustment: Int? {
        (try? readTextFile("/proc/self/oom_score_adj")).flatMap { Int($0.dropLast()) }
    }
}
