import Glibc
import LinuxSystem

/// Ends this run of tests when a test hangs, and says on standard error where everybody is: a run that only stops
/// after its time limit would not even say what to look for.
package enum Watchdog {
    /// More than any test takes, on an emulated machine as well.
    private static let limit = Duration.seconds(300)
    private static let watched = Locked<[String: BootTime]>([:])
    private static let thread: Void = startThread()

    /// Watches a test for as long as the body runs.
    package static func watch<Result>(_ test: String, _ body: () async throws -> Result) async rethrows -> Result {
        _ = thread
        watched.withLock { $0[test] = .now + limit }
        defer { _ = watched.withLock { $0.removeValue(forKey: test) } }
        return try await body()
    }

    private static func startThread() {
        signal(SIGUSR2) { _ in
            // By the C library alone, since this thread may have been interrupted anywhere.
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 64) { frames in
                backtrace_symbols_fd(frames.baseAddress, backtrace(frames.baseAddress, 64), STDERR_FILENO)
            }
        }
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { _ in Watchdog.keepWatching() }, nil)
        precondition(error == 0, "no thread for the watchdog: \(error)")
        pthread_detach(thread)
    }

    private static func keepWatching() -> Never {
        while true {
            pause(.seconds(1))
            let hung = watched.withLock { $0.filter { $0.value <= .now }.keys.sorted() }
            guard !hung.isEmpty else { continue }
            tell("✘ still not over after \(limit): \(hung.joined(separator: ", "))")
            tell("left: \(Leftovers(of: .ofAnyTest, before: []))")
            for pid in Marker.ofAnyTest.survivors.map(\.pid) { describe(pid) }
            describe(ThisProcess.id) { thread in
                // Where the thread is in the program; `addr2line` makes lines of it.
                syscall(Int(SYS_tgkill), ThisProcess.id, thread, SIGUSR2)
                pause(.milliseconds(200))
            }
            _exit(70)
        }
    }

    /// Tells what each thread of a process is called, and which system call it is in, with what arguments.
    private static func describe(_ pid: ProcessID, _ further: (ProcessID) -> Void = { _ in }) {
        for thread in Marker.entries(of: "/proc/\(pid)/task").compactMap({ ProcessID($0) }) {
            let words = ["stat", "wchan", "syscall"].map { file in
                (try? readTextFile("/proc/\(pid)/task/\(thread)/\(file)"))?.split(separator: "\n").first ?? "?"
            }
            tell("\(pid)/\(thread): \(words.joined(separator: " | "))")
            further(thread)
        }
    }

    private static func tell(_ line: String) { fputs("\(line)\n", stderr) }
}
