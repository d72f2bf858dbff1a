internal import CgroupSandbox
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

    package init(_ name: ServiceName, _ store: ServiceStore, _ coding: ServiceCoding) {
        self.name = name
        directory = store.directory(name)
        self.coding = coding
    }

    /// How long a guard may take to become the next keeper, before the service counts as orphaned.
    private static let patience = Duration.milliseconds(500)
    /// How long another keeper may take to listen.
    private static let longPatience = Duration.seconds(10)

    // MARK: Asking

    /// Connects with the keeper.
    ///
    /// - Returns: `nil` where there is none, and none is about to come.
    package func connect() throws(SystemError) -> ServiceConnection? { try connect(within: Self.patience) }

    private func connect(within bound: Duration) throws(SystemError) -> ServiceConnection? {
        let deadline = BootTime.now + bound
        var pause = Duration.milliseconds(1)
        while true {
            if let connection = try ServiceConnection(directory, coding) { return connection }
            // A service that was not left in peace may have lost its keeper just now.
            guard deadline > .now, let record, record.isOfThisBoot, !record.memory.state.isSettled,
                bound > Self.patience || mayBeKept(record)
            else { return nil }
            Poller.pause(pause)
            pause = min(pause * 2, .milliseconds(50))
        }
    }

    /// Whether somebody may be about to keep the service: it has processes, or its keeper or guard lives.
    private func mayBeKept(_ record: ServiceRecord) -> Bool {
        let keepers = [record.status.keeper, record.status.guard].compactMap { $0 }
        return keepers.contains { !["Z", "X", nil].contains(ProcessTable.state($0)) }
            || record.status.cgroup.map { !Self.members($0).isEmpty } == true
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
        let pids = record.isOfThisBoot ? status.cgroup.map(members) ?? [] : []
        status.pids = Array(pids.prefix(100))
        if !pids.isEmpty {
            status.state = .orphaned
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

    private static func members(_ path: String) -> [ProcessID] {
        (try? CgroupDirectory(openingService: path).allProcesses().filter { $0 > 0 }) ?? []
    }

    // MARK: Starting

    /// Starts a keeper, which finds out itself what there is to keep. To be called with the lock of starts.
    ///
    /// - Returns: the keeper's process.
    package func startKeeper(_ order: ServiceDirectory.Order) throws -> ProcessDescriptor {
        let control = try Succession.queue(state: directory.open())
        let null = try Descriptor(opening: "/dev/null", O_RDWR)
        var program = Program(
            candidates: ["/proc/self/exe"], arguments: ["cgrun-keeper"], environment: order.environment)
        // The keeper gets nothing that this process inherited: a pipe must end with this process.
        program.descriptors = [null.rawValue, null.rawValue, null.rawValue, control.rawValue]
        program.startsSession = true
        program.signalMask = .all
        program.workingDirectory = "/"
        return try program.start().takeProcess()
    }

    /// Starts a keeper and connects with it.
    ///
    /// - Returns: `nil` if the keeper had nothing to keep, or failed.
    package func keep(_ order: ServiceDirectory.Order) throws -> ServiceConnection? {
        let keeper = try startKeeper(order)
        while true {
            if let connection = try ServiceConnection(directory, coding) { return connection }
            if try keeper.waitForEnd(within: .milliseconds(2)) != nil {
                // The service may be over by now, as its record says; or another keeper was faster.
                return try connect(within: Self.longPatience)
            }
        }
    }

    /// Has the next keeper begin without what an earlier one has written down.
    package func forgetRecord() { directory.removeRecord() }
}

extension ServiceRecord {
    package var isOfThisBoot: Bool { bootID == Machine.bootID }
}
