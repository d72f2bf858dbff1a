public import SandboxValues

/// A service: model of a `.service` file.
public struct Service: Equatable, Sendable {
    public enum Restart: String, Sendable, CaseIterable {
        case no
        case onFailure = "on-failure"
        case always
    }

    public enum KillMode: String, Sendable, CaseIterable {
        /// The stop signal to every process, then SIGKILL.
        case controlGroup = "control-group"
        /// The stop signal to the main process alone, then SIGKILL to every process.
        case mixed
    }

    public enum OOMPolicy: String, Sendable {
        case kill, stop, `continue`
    }

    /// How often it may be started before systemd gives up.
    public struct StartLimit: Equatable, Sendable {
        public var burst: Int
        public var interval: Duration

        public init(burst: Int, interval: Duration) {
            self.burst = burst
            self.interval = interval
        }
    }

    public var name: UnitName
    public var header: [String] = []
    public var summary: String
    public var dependencies = Dependencies()
    /// `nil` never gives up.
    public var startLimit: StartLimit?

    public var command: Command
    /// Must still be running after this time, in whole seconds, for the start to succeed.
    public var settleTime = Duration.zero
    /// Sent by a reload; `nil` for a service that cannot reload.
    public var reloadSignal: Signal?
    public var restart = Restart.onFailure
    public var restartDelay = Duration.seconds(5)
    public var successExitStatuses: [String] = []
    public var restartPreventExitStatuses: [String] = []
    public var restartForceExitStatuses: [String] = []
    public var sockets: [String] = []
    public var oomPolicy = OOMPolicy.kill

    public var workingDirectory: String?
    public var user: String?
    public var group: String?
    public var umask: UInt16?
    /// `LimitNOFILE=`: the soft limit; the hard limit stays systemd's unless it is lower.
    public var openFiles: Int?
    public var environment: [EnvironmentVariable] = []
    public var environmentFiles: [String] = []
    public var readsSocket = false
    public var output = Output.journal
    public var errorOutput = Output.inherit
    public var syslogIdentifier: String?
    public var hardening = Hardening(.off)

    public var killMode = KillMode.controlGroup
    public var stopSignal = Signal.terminate
    public var stopTimeout = Duration.seconds(30)

    public var limits = Limits()
    public var slice: UnitName?
    public var delegatesCgroups = false
    public var wantedBy: [String] = []

    public init(name: UnitName, summary: String, command: Command) {
        self.name = name
        self.summary = summary
        self.command = command
    }

    /// The file.
    ///
    /// - Throws: for the first value that systemd would refuse or take for something else.
    public func file() throws(UnitError) -> UnitFile {
        UnitFile(
            path: name.description, header: header,
            sections: [try unitSection(), try serviceSection(), try .install(wantedBy: wantedBy)])
    }

    private func unitSection() throws(UnitError) -> UnitFile.Section {
        var section = UnitFile.Section("Unit")
        section.set(.description, try Quoting.line(summary, key: "Description"))
        try dependencies.write(to: &section)
        if let startLimit {
            section.set(.startLimitInterval, ValueText.span(startLimit.interval))
            section.set(
                .startLimitBurst, String(try Check.range(startLimit.burst, 1...Int(Int32.max), key: "StartLimitBurst")))
        } else if restart != .no {
            section.set(.startLimitInterval, "0", comment: "Never give up; RestartSec= keeps a crash loop slow.")
        }
        return section
    }

    private func serviceSection() throws(UnitError) -> UnitFile.Section {
        var section = UnitFile.Section("Service")
        section.set(.type, "exec")
        try section.set(command, environment: environment)
        if settleTime > .zero {
            // Where the program is gone by then, be it with success, the start has failed.
            let wait = "sleep \(settleTime.components.seconds) && kill -0 $MAINPID"
            section.set(.execStartPost, ":/bin/sh " + Quoting.word("-c") + " " + Quoting.word(wait))
        }
        section.set(.execReload, reloadSignal.map { "/bin/kill -\(Self.killName($0)) $MAINPID" })
        section.set(.restart, restart.rawValue)
        if restart != .no { section.set(.restartDelay, ValueText.span(restartDelay)) }
        section.set(.successExitStatus, words: successExitStatuses)
        section.set(.restartPreventExitStatus, words: restartPreventExitStatuses)
        section.set(.restartForceExitStatus, words: restartForceExitStatuses)
        for socket in sockets { section.set(.sockets, try UnitName.checkReference(socket, key: "Sockets")) }
        section.set(.oomPolicy, oomPolicy.rawValue)
        try setSurroundings(&section)
        section.set(.killMode, killMode.rawValue)
        section.set(.killSignal, ValueText.signal(stopSignal))
        section.set(.sendSIGKILL, "yes")
        section.set(.timeoutStop, ValueText.span(stopTimeout))
        section.setLimits(limits)
        section.set(.slice, slice.map(\.description))
        section.set(.delegate, delegatesCgroups ? "yes" : nil)
        return section
    }

    /// As kill(1) takes it: real-time signals by number, since its names for them differ.
    private static func killName(_ signal: Signal) -> String {
        signal.description.hasPrefix("SIGRT") ? String(signal.rawValue) : String(signal.description.dropFirst(3))
    }

    private func setSurroundings(_ section: inout UnitFile.Section) throws(UnitError) {
        if let workingDirectory {
            section.set(.workingDirectory, try Check.pathLine(workingDirectory, key: "WorkingDirectory"))
        }
        if let user { section.set(.user, try Check.account(user, key: "User")) }
        if let group { section.set(.group, try Check.account(group, key: "Group")) }
        if let umask { section.set(.umask, try Check.mode(umask, key: "UMask")) }
        if let openFiles {
            // What systemd itself gives as the hard limit.
            let hard = Swift.max(openFiles, 524_288)
            section.set(.limitNoFile, "\(try Check.range(openFiles, 1...Int(Int32.max), key: "LimitNOFILE")):\(hard)")
        }
        for file in environmentFiles {
            let isOptional = file.hasPrefix("-")
            let path = try Check.pathLine(isOptional ? String(file.dropFirst()) : file, key: "EnvironmentFile")
            section.set(.environmentFile, (isOptional ? "-" : "") + path)
        }
        section.set(.standardInput, readsSocket ? "socket" : nil)
        section.set(.standardOutput, try output.text(key: "StandardOutput"))
        section.set(.standardError, try errorOutput.text(key: "StandardError"))
        if let syslogIdentifier {
            section.set(.syslogIdentifier, try Quoting.line(syslogIdentifier, key: "SyslogIdentifier"))
        }
        var hardening = hardening
        // The later line would win: strict's own mask must not replace the one asked for.
        hardening.setsUMask = umask == nil
        try section.setHardening(hardening, user: user)
    }
}
