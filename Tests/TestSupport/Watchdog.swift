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
        CallStack.prepare()
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
            tell("✘ not over after \(limit): \(hung.joined(separator: ", "))")
            for pid in Marker.ofAnyTest.survivors.map(\.pid) { describe(pid) }
            describe(ThisProcess.id) { thread in
                CallStack.ask(thread)
                pause(.milliseconds(200))
            }
            tell("left: \(Leftovers(of: .ofAnyTest, before: []))")
            _exit(70)
        }
    }

    /// Tells what each thread of a process is called, and which system call it is in, with what arguments.
    private static func describe(_ pid: ProcessID, _ further: (ProcessID) -> Void = { _ in }) {
        for thread in Marker.entries(of: "/proc/\(pid)/task").compactMap({ ProcessID($0) }).sorted() {
            func word(_ file: String) -> Substring {
                (try? readTextFile("/proc/\(pid)/task/\(thread)/\(file)"))?.split(separator: "\n").first ?? "?"
            }
            let state = ProcessTable.field(0, of: "\(pid)/task/\(thread)") ?? "?"
            tell("\(pid)/\(thread) \(word("comm")): \(state) in \(word("wchan")), \(word("syscall"))")
            further(thread)
        }
    }

    private static func tell(_ line: String) {
        // Not by the C library's streams, which a thread that hangs may have locked.
        let bytes = Array("\(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// Where a thread is in the program. What this takes is in the C library, but not in Swift's module of it.
private enum CallStack {
    private typealias Collect = @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, CInt) -> CInt
    private typealias Write = @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, CInt, CInt) -> Void
    private typealias Kill = @convention(c) (pid_t, pid_t, CInt) -> CInt

    private static let collect = unsafeBitCast(dlsym(nil, "backtrace"), to: Collect.self)
    private static let write = unsafeBitCast(dlsym(nil, "backtrace_symbols_fd"), to: Write.self)
    private static let kill = unsafeBitCast(dlsym(nil, "tgkill"), to: Kill.self)

    /// Makes `show` fit for signal handlers: its first call loads a library.
    static func prepare() {
        _ = (kill, write)
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 1) {
            _ = collect($0.baseAddress!, 1)
        }
        // Unlike others, this signal is not blocked in the threads of the dispatch library.
        signal(SIGTRAP) { _ in CallStack.show() }
    }

    /// Has a thread of this process write where it is; `addr2line` makes lines of that.
    static func ask(_ thread: ProcessID) { _ = kill(ThisProcess.id, thread, SIGTRAP) }

    private static func show() {
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 64) {
            write($0.baseAddress!, collect($0.baseAddress!, 64), STDERR_FILENO)
        }
    }
}
