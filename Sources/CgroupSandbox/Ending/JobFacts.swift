internal import Cgroups
internal import LinuxSystem
internal import SandboxValues

/// What is known of a job while it runs. From these facts the launcher makes the report once the job has ended, or the
/// finisher if the launcher was lost: the guard hands them over as JSON.
package struct JobFacts: Codable, Sendable {
    private(set) var id: String
    /// Bytes that are not UTF-8 are U+FFFD in these texts.
    let arguments: [String]
    /// The directory that was asked for, or the launcher's own; `nil` if that was removed.
    let workingDirectory: String?
    let uid: UInt32
    let hostName: String
    let bootID: String?
    private(set) var startedAt: String
    /// Whether a process of the tree that was killed for want of memory makes the job a failure.
    let failsOnOOM: Bool
    /// The limits in force, and the time limits that were asked for.
    var limits: Report.LimitValues
    let hierarchy: Hierarchies.Mode?
    var home: Home
    /// The job's cgroup as an absolute path; `nil` before it is known.
    var cgroup: String?
    /// Whether the command entered its cgroup by itself, just before exec.
    var joinedLate = false
    var guardsReplaced = 0
    /// Whether the process whose loss was to end the job is where nobody notices that.
    var parentIsHidden = false
    /// Whether the report calls limits by the library's names or by options.
    let wording: Wording

    /// What holds the job's cgroup, and who ends the job when others cannot.
    struct Home: Codable, Sendable {
        var manager: ManagerChoice
        /// Why this manager was chosen.
        var reason: String
        /// Who ends the job when those before them in the list are lost.
        var layers: [Report.Layer]
        /// The name of the job's scope, with `.scope`.
        var unit: String?
        var systemdVersion: String?
        /// Properties that this systemd does not know.
        var unknownProperties: [String] = []
        /// Whether the cgroup above the job's is there for this job alone, with the same limits.
        var sharesLimits = false

        /// For a job that did not start.
        static func undecided(_ manager: ManagerChoice) -> Home {
            Home(manager: manager, reason: "not started", layers: [])
        }
    }

    init(
        _ id: String, _ spec: JobSpec, _ limits: ResolvedLimits, _ hierarchy: Hierarchies.Mode?, _ home: Home,
        _ wording: Wording
    ) {
        self.wording = wording
        self.id = id
        arguments = spec.arguments.map(\.description)
        workingDirectory = spec.workingDirectory?.description ?? ThisProcess.currentDirectory
        uid = spec.credentials?.uid ?? ThisProcess.effectiveUserID
        hostName = Machine.hostName
        bootID = Machine.bootID
        startedAt = Timestamp.now.text
        failsOnOOM = spec.failsOnOOM
        self.limits = Report.LimitValues(
            resources: limits.values, wallTimeoutSeconds: spec.timeout?.seconds,
            cpuTimeoutSeconds: spec.cpuTimeout?.seconds)
        self.hierarchy = hierarchy
        self.home = home
    }

    /// Takes over what an earlier keeper has noted of its job.
    mutating func adopt(_ note: JobNote) {
        id = note.id
        let age = BootTime.now - note.startedAt
        startedAt = Timestamp(sinceEpoch: Timestamp.now.sinceEpoch - age).text
    }

    /// `systemd (asked for)`, for people.
    package var manager: String { "\(home.manager.rawValue) (\(home.reason))" }
}

extension Report.Layer {
    static let launcher = Report.Layer(
        name: "launcher", detail: "ends the job with the command, at a timeout and when its parent is lost")
    static let guardian = Report.Layer(name: "guard", detail: "kills the job when the launcher or its parent is lost")
}
