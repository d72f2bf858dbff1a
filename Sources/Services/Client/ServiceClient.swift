package import CgroupSandbox
internal import Cgroups
internal import Glibc
package import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// One service, as those see it who want something of it.
package struct ServiceClient: Sendable {
    package let name: ServiceName
    package let directory: ServiceDirectory
    package let coding: ServiceCoding
    private let patience: Patience

    /// How long a client that finds no keeper waits for one.
    package struct Patience: Sendable {
        /// Since when guards have had time to become keepers; `nil`: since the client looks.
        package var since: BootTime?
        /// Whether a keeper that systemd is to start is waited for.
        package var waitsForManager: Bool

        package init(since: BootTime? = nil, waitsForManager: Bool = true) {
            self.since = since
            self.waitsForManager = waitsForManager
        }
    }

    package init(_ name: ServiceName, _ store: ServiceStore, _ coding: ServiceCoding, _ patience: Patience) {
        self.name = name
        directory = store.directory(name)
        self.coding = coding
        self.patience = patience
    }

    /// How long a guard may take to become the next keeper, before a service that runs counts as orphaned.
    private static let shortPatience = Duration.milliseconds(500)
    /// How long a keeper may take to listen that is there by all that is known.
    private static let longPatience = Duration.seconds(10)

    // MARK: Asking

    /// Connects with the keeper.
    ///
    /// - Returns: `nil` where there is none, and none is about to come.
    package func connect() throws(SystemError) -> ServiceConnection? { try connect(mustCome: false) }

    /// Connects with a keeper that is there, without waiting for one.
    package func ask() -> ServiceConnection? { try? ServiceConnection(directory, coding) }

    /// - Parameter mustCome: whether another keeper is known to be there.
    private func connect(mustCome: Bool) throws(SystemError) -> ServiceConnection? {
        let begun = BootTime.now
        var pause = Duration.milliseconds(1)
        while true {
            if let connection = try ServiceConnection(directory, coding) { return connection }
            // A service that was not left in peace may have lost its keeper just now.
            guard let record, record.isOfThisBoot, !record.memory.state.isSettled else { return nil }
            // Whoever has the output open is a process of the service, its keeper or its guard.
            let runs = !Self.members(of: record).isEmpty
            // Where all is lost at once, systemd starts another keeper.
            guard mustCome || runs || directory.isOutputHeld || comesBack(record) else { return nil }
            let limit = runs && !mustCome ? (patience.since ?? begun) + Self.shortPatience : begun + Self.longPatience
            guard limit > .now else { return nil }
            Poller.pause(pause)
            pause = min(pause * 2, .milliseconds(50))
        }
    }

    /// Whether keeper and guard were lost before anything ran, or together with all that did: nobody goes on with the
    /// service.
    package var isLost: Bool {
        guard let record else { return true }
        return record.isOfThisBoot && !record.memory.state.isSettled && Self.members(of: record).isEmpty
    }

    package var record: ServiceRecord? {
        guard let bytes = try? directory.readRecord() else { return nil }
        return try? coding.decodeRecord(bytes)
    }

    /// How the service stands; `nil` for a service that was never started.
    package func status() throws(SystemError) -> ServiceStatus? {
        if let connection = try connect(), let status = try connection.first() { return status }
        guard directory.hasOrder else { return nil }
        guard let record else {
            return ServiceStatus(name: name.description, log: directory.log)
        }
        return Self.unkept(record)
    }

    /// How a service without a keeper stands.
    static func unkept(_ record: ServiceRecord) -> ServiceStatus {
        var status = record.status
        status.keeper = nil
        status.guard = nil
        if status.state.isSettled { return status }
        (status.ready, status.nextStart, status.pid) = (false, nil, nil)
        let pids = members(of: record)
        status.pids = Array(pids.prefix(100))
        if !pids.isEmpty {
            (status.state, status.cgroup) = (.orphaned, record.cgroup)
            status.reason = record.memory.reason ?? "keeper and guard are gone; cgrun service adopt takes it over"
            status.pid = record.status.pid.flatMap { pids.contains($0) ? $0 : nil }
        } else {
            status.cgroup = nil
            status.state = record.isOfThisBoot ? .failed : .stopped
            status.reason =
                record.isOfThisBoot
                ? "its keeper, its guard and its processes are gone" : "the machine was started anew since"
        }
        return status
    }

    private func comesBack(_ record: ServiceRecord) -> Bool {
        patience.waitsForManager && record.places.map { KeptJobs.comesBack(record.status.name, recorded: $0) } ?? false
    }

    private static func members(of record: ServiceRecord) -> [ProcessID] {
        guard record.isOfThisBoot, let path = record.cgroup else { return [] }
        return (try? CgroupDirectory(openingService: path).allProcesses().filter { $0 > 0 }) ?? []
    }

    // MARK: Starting

    /// Starts a keeper, which finds out itself what there is to keep. To be called with the lock of starts.
    ///
    /// - Returns: the keeper's process.
    private func startKeeper(_ order: ServiceDirectory.Order) throws -> ProcessDescriptor {
        let control = try Succession.queue(state: directory.open())
        let null = try Descriptor(opening: "/dev/null", O_RDWR)
        var program = Program(
            candidates: ["/proc/self/exe"], arguments: KeeperWords.own, environment: order.environment)
        // The keeper gets nothing that this process inherited: a pipe must end with this process.
        program.descriptors = [null.rawValue, null.rawValue, null.rawValue, control.rawValue]
        program.startsSession = true
        program.signalMask = .all
        program.workingDirectory = "/"
        return try program.start().takeProcess()
    }

    /// Has a keeper started, and connects with it.
    ///
    /// - Parameter launch: how the command is to be started; it says who makes the cgroup.
    /// - Returns: `nil` if the keeper had nothing to keep, or failed.
    package func keep(_ order: ServiceDirectory.Order, _ launch: LaunchSpec) throws -> ServiceConnection? {
        // What runs is taken over where it is, by a keeper that goes there itself.
        if !runs, let unit = try ServiceUnit.wanted(by: launch, of: name.description) {
            return try keep(order, in: unit)
        }
        return try keepAsChild(order)
    }

    /// Whether something of the service runs.
    private var runs: Bool { record.map { !Self.members(of: $0).isEmpty } ?? false }

    private func keepAsChild(_ order: ServiceDirectory.Order) throws -> ServiceConnection? {
        for _ in 0..<Self.mostKeepers {
            let keeper = try startKeeper(order)
            while true {
                if let connection = try ServiceConnection(directory, coding) { return connection }
                let end = try keeper.waitForEnd(within: .milliseconds(2))
                // One that was killed may have left nobody behind.
                if case .signaled = end { break }
                // The service may be over by now, as its record says; or another keeper was faster.
                if end != nil { return try connect(mustCome: true) }
            }
        }
        return nil
    }

    /// Has systemd start the keeper, and start it again if that is lost.
    private func keep(
        _ order: ServiceDirectory.Order, in unit: borrowing ServiceUnit
    ) throws -> ServiceConnection? {
        let token = directory.token ?? ""
        let commands = ServiceUnit.Commands(
            start: KeeperWords.start(directory.path, token), stop: KeeperWords.stop(directory.path, token))
        let begun = BootTime.now
        var isStarted = false
        var orphanedSince: BootTime?
        var pause = Duration.milliseconds(2)
        while true {
            if let connection = try ServiceConnection(directory, coding) { return connection }
            // Keeper and guard may be lost as soon as the command runs: then systemd has no reason to start another.
            orphanedSince = runs ? orphanedSince ?? .now : nil
            if let orphanedSince, orphanedSince + Self.shortPatience < .now { return try keepAsChild(order) }
            if isStarted {
                // The service may be over by now, as its record says.
                if try !unit.isLoaded() { return try connect(mustCome: true) }
                guard begun + Self.unitPatience > .now else { throw unit.stopUnanswered() }
            } else {
                isStarted = try unit.start(commands)
                // A unit of this name may be about to end, or about to have its keeper; or it is another's.
                let patience = unit.isActive ? .seconds(5) : Self.unitPatience
                guard isStarted || begun + patience > .now else { throw unit.isTaken }
            }
            Poller.pause(pause)
            pause = min(pause * 2, .milliseconds(50))
        }
    }

    /// How long a unit may take to have a keeper that answers.
    private static let unitPatience = Duration.seconds(60)

    /// How many keepers are started if each is killed before it has done anything.
    private static let mostKeepers = 10

    /// Removes the cgroups of a service of which nothing is left, where its keeper could not: it was lost together with
    /// the guard and all that ran. To be called with the lock of starts.
    package func clearAway() {
        // The lock of keepers, too: one may be about to start.
        guard isLost, let lock = directory.lockIfUnkept() else { return }
        defer { withExtendedLifetime(lock) {} }
        guard isLost, let record, let places = record.places else { return }
        KeptJobs.clearAway(record.status.name, recorded: places)
    }

    /// Has the next keeper begin without what an earlier one has written down. To be called with the lock of starts.
    package func forgetRecord() throws { try directory.forgetRecord() }
}

extension ServiceRecord {
    /// Where the service's processes are, if there are any: a keeper may have been lost before it could write down that
    /// the command runs.
    fileprivate var cgroup: String? {
        status.cgroup ?? places.map { "\($0.unified)/\(JobName.service(status.name))" }
    }

    package var isOfThisBoot: Bool { bootID == Machine.bootID }
}
