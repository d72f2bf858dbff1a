internal import Cgroups
internal import Glibc
public import LinuxSystem

/// Something that happened to a running job. Totals count from the job's start.
public enum JobEvent: Sendable, Equatable {
    /// The job was slowed down at its `memory.high`.
    case memoryHigh(total: UInt64)
    /// The job met its `memory.max`, and the kernel reclaimed memory.
    case memoryMax(total: UInt64)
    /// Reclaiming did not free enough memory: an allocation of the job was about to fail.
    case outOfMemory(total: UInt64)
    /// The kernel killed a process of the job for want of memory.
    case oomKill(total: UInt64)
    /// The job was refused new processes or threads at its `pids.max`.
    case processesRefused(total: UInt64)
    /// Whether a process is left in the tree, at first and at each change.
    case populated(Bool)
    /// Waiting for a resource took longer than this threshold allows.
    case pressure(PressureThreshold)
}

/// How long processes of a job may wait for a resource within a window of time, before an event tells of it.
public struct PressureThreshold: Sendable, Hashable {
    /// A resource that processes wait for.
    public enum Resource: String, Sendable, CaseIterable {
        /// `memory.pressure`.
        case memory
        /// `cpu.pressure`.
        case cpu
        /// `io.pressure`.
        case io
    }

    /// The resource that processes wait for.
    public var resource: Resource
    /// How long at least one process, or with `isFull` all of them at once, must have waited within the window.
    public var stall: Duration
    /// The window of time: from 500 ms to 10 s; without root a multiple of 2 s.
    public var window: Duration
    /// Whether all processes must wait at the same time.
    public var isFull: Bool

    /// A threshold. The kernel checks it in `Job.events(pressure:)`, and nobody does before.
    public init(_ resource: Resource, stall: Duration, window: Duration = .seconds(2), isFull: Bool = false) {
        self.resource = resource
        self.stall = stall
        self.window = window
        self.isFull = isFull
    }

    var file: String { "\(resource.rawValue).pressure" }

    /// What is written to the pressure file, with times in microseconds.
    var kernelText: String {
        func microseconds(_ duration: Duration) -> Int64 { max(duration, .zero).nanoseconds / 1_000 }
        return "\(isFull ? "full" : "some") \(microseconds(stall)) \(microseconds(window))"
    }
}

/// The events of a job, until it is over. Of events that nobody fetches, the newest 256 are kept.
public struct JobEvents: AsyncSequence, Sendable {
    public typealias Element = JobEvent

    let stream: AsyncStream<JobEvent>

    public struct AsyncIterator: AsyncIteratorProtocol {
        var base: AsyncStream<JobEvent>.AsyncIterator

        /// The next event; `nil` once the job is over, or the task was cancelled.
        public mutating func next() async -> JobEvent? { await base.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: stream.makeAsyncIterator()) }
}

extension Job {
    /// The events of the job from now on, after those that tell what happened before.
    ///
    /// The kernel announces changes (`memory.events`, `pids.events`, `cgroup.events`). cgroup v1 does not, so on hybrid
    /// machines this program looks ten times a second. What the machine does not count causes no events.
    public var events: JobEvents { subscribe([]) }

    /// What `events` has, and an event whenever processes wait longer than a threshold allows (PSI, Linux 5.2).
    ///
    /// - Throws: `EINVAL` for a threshold that the kernel does not take, `ENOENT` or `EOPNOTSUPP`
    ///   without PSI. A job that is over has no events, and is no error.
    public func events(pressure thresholds: [PressureThreshold]) throws(SystemError) -> JobEvents {
        var triggers: [(PressureThreshold, SharedDescriptor)] = []
        for threshold in thresholds {
            let opened = try live.driver.withCgroup { cgroup, _ throws(SystemError) in
                let file = try cgroup.directory.open(threshold.file, O_RDWR | O_NONBLOCK)
                try file.write(threshold.kernelText, path: "\(cgroup.path)/\(threshold.file)")
                return SharedDescriptor(file)
            }
            if let opened { triggers.append((threshold, opened)) }
        }
        return subscribe(triggers)
    }

    private func subscribe(_ triggers: [(PressureThreshold, SharedDescriptor)]) -> JobEvents {
        let (stream, continuation) = AsyncStream.makeStream(of: JobEvent.self, bufferingPolicy: .bufferingNewest(256))
        let subscription = EventSubscription(live, continuation)
        continuation.onTermination = { _ in subscription.end() }
        subscription.begin(triggers)
        return JobEvents(stream: stream)
    }
}

/// One reader of a job's events.
private final class EventSubscription: Sendable {
    private let live: LiveJob
    private let continuation: AsyncStream<JobEvent>.Continuation
    private let state = Locked(State())

    private struct State {
        /// Each with what keeps its descriptor open.
        var watches: [(watch: EventLoop.Watch, descriptor: SharedDescriptor)] = []
        var timer: UInt64?
        var subscriber: UInt64?
        var last = JobStatistics()
        var isPopulated: Bool?
        var isOver = false
    }

    private static let pause = Duration.milliseconds(100)

    init(_ live: LiveJob, _ continuation: AsyncStream<JobEvent>.Continuation) {
        self.live = live
        self.continuation = continuation
    }

    func begin(_ triggers: [(PressureThreshold, SharedDescriptor)]) {
        // On hybrid machines, v1 groups count memory and pids, and the kernel announces no change of their files.
        let isHybrid = live.driver.withCgroup { _, facts in facts.hierarchy == .hybrid } == true
        let names = ["cgroup.events", "memory.events", "pids.events"].prefix(isHybrid ? 1 : 3)
        let files = live.driver.withCgroup { cgroup, _ in
            names.compactMap { name in try? SharedDescriptor(cgroup.directory.open(name, O_RDONLY)) }
        }
        for (threshold, file) in triggers {
            watch(file) { [continuation] in _ = continuation.yield(.pressure(threshold)) }
        }
        for file in files ?? [] {
            watch(file) { [weak self] in
                // Until the file is read, the kernel announces the same change again and again.
                _ = try? file.descriptor.readAll(path: "")
                self?.look()
            }
        }
        look()
        if isHybrid { lookAgain() }
        let subscriber = live.whenOver { _ in self.jobIsOver() }
        state.withLock { $0.subscriber = subscriber }
    }

    private func watch(_ file: SharedDescriptor, _ handler: @escaping @Sendable () -> Void) {
        guard let watch = try? live.loop.watch(file.descriptor.rawValue, for: .change, handler) else { return }
        let isOver = state.withLock { state in
            if !state.isOver { state.watches.append((watch, file)) }
            return state.isOver
        }
        if isOver { live.loop.unwatch(watch) }
    }

    private func lookAgain() {
        state.withLock { state in
            guard !state.isOver else { return }
            state.timer = live.loop.call(at: .now + Self.pause) { [weak self] in
                self?.look()
                self?.lookAgain()
            }
        }
    }

    private func look() {
        let now = live.driver.withCgroup { cgroup, _ in
            (cgroup.statistics(.death), (try? cgroup.isPopulated()) ?? true)
        }
        if let now { tell(now.0, isPopulated: now.1) }
    }

    private func tell(_ now: JobStatistics, isPopulated: Bool) {
        state.withLock { state in
            func tell(_ key: String, _ event: (UInt64) -> JobEvent) {
                guard let count = now.memoryEvents?[key], count > state.last.memoryEvents?[key] ?? 0 else { return }
                continuation.yield(event(count))
            }
            defer {
                state.last = now
                state.isPopulated = isPopulated
            }
            if isPopulated, state.isPopulated != true { continuation.yield(.populated(true)) }
            tell("high") { .memoryHigh(total: $0) }
            tell("max") { .memoryMax(total: $0) }
            tell("oom") { .outOfMemory(total: $0) }
            tell("oom_kill") { .oomKill(total: $0) }
            if let refused = now.pidsRefusedForks, refused > state.last.pidsRefusedForks ?? 0 {
                continuation.yield(.processesRefused(total: refused))
            }
            if !isPopulated, state.isPopulated != false { continuation.yield(.populated(false)) }
        }
    }

    private func jobIsOver() {
        tell(live.driver.statistics, isPopulated: false)
        continuation.finish()
    }

    /// To be called when nobody reads the events any more, or the job is over.
    func end() {
        let (watches, timer, subscriber) = state.withLock { state in
            state.isOver = true
            defer { (state.watches, state.timer, state.subscriber) = ([], nil, nil) }
            return (state.watches, state.timer, state.subscriber)
        }
        for (watch, _) in watches { live.loop.unwatch(watch) }
        if let timer { live.loop.cancel(timer) }
        if let subscriber { live.forgetSubscriber(subscriber) }
    }
}
