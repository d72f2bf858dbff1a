import LinuxSystem
import Cgroups
import Glibc

/// Finds what descends from a test, wherever it fled: by a variable in the environment, and by cgroup.
package struct Marker: Sendable {
    package static let variable = "CGRUN_TEST_MARKER"
    /// What the markers of this test run, and of no other, begin with.
    private static let run = Machine.randomHexadecimal()
    package let text: String

    package init() { text = Self.run + Machine.randomHexadecimal() }
    private init(text: String) { self.text = text }

    /// The marker of all tests of this run.
    package static let ofAnyTest = Marker(text: run)

    package struct Survivor: Sendable, CustomStringConvertible {
        package var pid: ProcessID
        package var command: String
        package var description: String { "\(pid) \(command)" }
    }

    /// The living processes with this marker; zombies are dead.
    package var survivors: [Survivor] {
        Self.allProcesses.filter(isAlive).map { Survivor(pid: $0, command: ProcessTable.commandName($0) ?? "?") }
    }

    /// Whether the process lives and has this marker.
    func isAlive(_ pid: ProcessID) -> Bool {
        guard pid != ThisProcess.id, let environment = try? readTextFile("/proc/\(pid)/environ"),
            environment.contains(text: "\(Self.variable)=\(text)") || environment.isEmpty && isExecuting(pid),
            let state = ProcessTable.state(pid)
        else { return false }
        return state != "Z" && state != "X"
    }

    /// A guard that is just becoming `cgrun-finish` has no environment for a moment.
    private func isExecuting(_ pid: ProcessID) -> Bool {
        ProcessTable.commandName(pid)?.hasPrefix("cgrun") == true
    }

    package var guards: [Survivor] { survivors.filter { $0.command == "cgrun-guard" } }

    package static var allProcesses: [ProcessID] { entries(of: "/proc").compactMap { ProcessID($0) } }

    static func entries(of path: String, onlyDirectories: Bool = false) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            if onlyDirectories, Int(entry.pointee.d_type) != DT_DIR { continue }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(cString: $0.baseAddress!.assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

/// The cgroups below this process's own, which `Tests/run` made for the tests alone.
package enum TestCgroups {
    /// Directories of this process's cgroup in every hierarchy that cgrun may use.
    package static var own: [String] {
        guard let layout = try? CgroupLayout.current() else { return [] }
        let unified = layout.ownPath == "/" ? layout.mount : layout.mount + (layout.ownPath ?? "")
        // After cgrun moved this process out of its way, its jobs are beside the leaf.
        let trimmed = unified.hasSuffix("/cgrun-leaf") ? String(unified.dropLast(11)) : unified
        return [trimmed] + layout.legacyPaths.map { "/sys/fs/cgroup/\($0.controller.rawValue)\($0.own.path ?? "")" }
    }

    /// A shell's words for the file by which a process joins its parent, outside the job. Where that is
    /// only the job knows: launching may move the launcher into a leaf.
    package static var filePathOfParent: String {
        let mount = (try? CgroupLayout.current())?.mount ?? ""
        return "\"\(mount)$(sed -n 's/^0:://p' /proc/$PPID/cgroup)/cgroup.procs\""
    }

    /// Where systemd's managers put scopes; on the machines that tests boot, nobody else does.
    private static var slices: [String] {
        Capability.isBooted ? ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/user.slice"] : []
    }

    /// cgrun's cgroups that exist at the moment.
    package static var jobs: [String] { Set((own + slices).flatMap { jobs(below: $0) }).sorted() }

    package static func jobs(below path: String) -> [String] {
        Marker.entries(of: path, onlyDirectories: true).flatMap { name -> [String] in
            let below = jobs(below: "\(path)/\(name)")
            return name.hasPrefix("cgrun-") && name != "cgrun-leaf" ? ["\(path)/\(name)"] + below : below
        }
    }
}

/// Open descriptors of this process.
package var openDescriptorCount: Int { Marker.entries(of: "/proc/self/fd").count }
