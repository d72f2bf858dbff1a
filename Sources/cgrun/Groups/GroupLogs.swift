internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemPackage

/// Shows the logs of several services, line by line, each with the name of its service in front. It never waits for
/// whoever reads: what cannot be shown yet stays in the logs.
final class GroupLogs {
    private var sources: [ServiceName: LogSource] = [:]
    private var followed: [LogSource] = []
    private let output: Descriptor
    /// What was read from the logs, and is not written yet.
    private var pending: ArraySlice<UInt8> = []

    /// Colours that can be read on dark and light backgrounds.
    private static let colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94]
    /// How much may be written at a time: a pipe that has room has room for so much.
    private static let portion = 4096
    /// How long a reader may take to go on, at the end.
    private static let patience = Duration.seconds(2)

    /// - Parameter services: with their logs, as statuses name them.
    init(_ services: [(client: ServiceClient, log: String)]) throws(SystemError) {
        output = try InheritedDescriptor.duplicate(1)
        let width = services.map(\.client.name.description.count).max() ?? 0
        let isColoured = Console.isColoured(1)
        for (index, (client, log)) in services.enumerated() {
            let name = client.name
            let text = name.description + String(repeating: " ", count: width - name.description.count) + " |"
            let colour = Self.colours[index % Self.colours.count]
            sources[name] = LogSource(
                prefix: isColoured ? "\u{1B}[\(colour)m\(text)\u{1B}[0m " : text + " ", client, log: log)
        }
    }

    /// Shows what is added to a service's log from now on.
    func follow(_ name: ServiceName) throws {
        guard let source = sources[name] else { return }
        try source.follow()
        followed.append(source)
    }

    /// What has room once there is more to be shown; -1: nothing waits for that.
    var awaited: CInt { pending.isEmpty ? -1 : output.rawValue }

    /// Shows what there is, as far as that can be written at once.
    func show() throws(SystemError) {
        if pending.isEmpty { pending = followed.flatMap { $0.more() }[...] }
        while !pending.isEmpty, canWrite(within: .zero) { try writePortion() }
    }

    /// Shows all that is left. A reader that does not go on for some time is left.
    func finish() throws(SystemError) {
        pending += followed.flatMap { $0.rest() }
        while !pending.isEmpty, canWrite(within: Self.patience) { try writePortion() }
    }

    private func canWrite(within bound: Duration) -> Bool {
        var poller = Poller()
        poller.add(output.rawValue, for: .writing)
        return poller.wait(bound)[0]
    }

    private func writePortion() throws(SystemError) {
        pending = pending.dropFirst(try output.writeSome(pending.prefix(Self.portion)))
    }
}
