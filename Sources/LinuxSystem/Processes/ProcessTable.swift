internal import CLinux
internal import Glibc
package import SandboxValues

/// What /proc says about other processes; `nil` when they are gone.
package enum ProcessTable {
    package static func commandName(_ pid: ProcessID) -> String? {
        (try? readTextFile("/proc/\(pid)/comm")).map { String($0.dropLast()) }
    }

    /// The words of the command; none for a kernel thread, or once the process is gone.
    package static func commandLine(_ pid: ProcessID) -> [String] {
        guard let text = try? readTextFile("/proc/\(pid)/cmdline") else { return [] }
        return text.split(separator: "\0", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    /// The letter of proc(5) for the state of the process: `R`, `S`, `D`, `Z`…
    package static func state(_ pid: ProcessID) -> Character? {
        field(0, of: "\(pid)").flatMap(\.first)
    }

    /// When the process started, in clock ticks since boot.
    package static func startTime(_ pid: ProcessID) -> UInt64? { field(19, of: "\(pid)").flatMap { UInt64($0) } }

    /// A field of /proc/PID/stat by its number, with the state as 0.
    package static func field(_ number: Int, of process: String) -> Substring? {
        guard let line = try? readTextFile("/proc/\(process)/stat") else { return nil }
        // The command name may itself hold parentheses and blanks.
        let fields = line.lastIndex(of: ")").map { line[$0...].dropFirst(2).split(separator: " ") } ?? []
        return fields.indices.contains(number) ? fields[number] : nil
    }

    /// Whether the process ignores the signal.
    package static func ignores(_ signal: Signal, _ pid: ProcessID) -> Bool { has(signal, in: "SigIgn:\t", pid) }

    /// Whether the process was sent the signal, and has blocked it.
    package static func hasPending(_ signal: Signal, _ pid: ProcessID) -> Bool { has(signal, in: "ShdPnd:\t", pid) }

    private static func has(_ signal: Signal, in key: String, _ pid: ProcessID) -> Bool {
        let lines = ((try? readTextFile("/proc/\(pid)/status")) ?? "").split(separator: "\n")
        let mask = lines.first { $0.hasPrefix(key) }.flatMap { UInt64($0.dropFirst(8), radix: 16) } ?? 0
        return mask & 1 << (signal.rawValue - 1) != 0
    }

    /// How much CPU time a process has used, of the time at which the kernel sends it SIGKILL (hard RLIMIT_CPU), in
    /// words; `nil` where it has not come near that limit. The process may have ended, but must not be reaped.
    package static func cpuTimeAtLimit(_ pid: ProcessID) -> String? {
        let limit = clinux_cpu_time_limit(pid)
        guard limit != .max, let user = field(11, of: "\(pid)"), let kernel = field(12, of: "\(pid)"),
            let used = UInt64(user), let more = UInt64(kernel)
        else { return nil }
        // For the limit the kernel counts clock ticks, and tells a finer figure here. Where processes compete for a
        // processor, a limit of 1 s was met at 0.72 s by that figure.
        let ticks = UInt64(sysconf(CInt(_SC_CLK_TCK)))
        guard limit <= UInt64.max / ticks, (used + more) * 2 >= limit * ticks else { return nil }
        return "\(Double(used + more) / Double(ticks))s of \(limit)s"
    }

    package static func owner(_ pid: ProcessID) -> UInt32? {
        (try? Descriptor(opening: "/proc/\(pid)", O_RDONLY | O_DIRECTORY))?.owner
    }
}
