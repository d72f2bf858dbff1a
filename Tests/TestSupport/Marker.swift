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
        Self.allProcesses.filter(isAlive).map { Survivor(pid: $0, command: Self.command($0)) }
    }

    /// A process's name. A holder has that of the guard's program before it takes its own, and would pass for a
    /// guard; its first argument tells at once.
    private static func command(_ pid: ProcessID) -> String {
        let arguments = (try? readTextFile("/proc/\(pid)/cmdline")) ?? ""
        return arguments.hasPrefix("cgrun-holder\0") ? "cgrun-holder" : ProcessTable.commandName(pid) ?? "?"
    }

    /// Whether the process lives and has this marker.
    func isAlive(_ pid: ProcessID) -> Bool {
        guard pid != ThisProcess.id, let environment = Self.environment(of: pid),
            environment.contains(text: "\(Self.variable)=\(text)"), let state = ProcessTable.state(pid)
        else { return false }
        return state != "Z" && state != "X"
    }

    /// - Returns: `nil` for a process that is gone, or another user's.
    private static func environment(of pid: ProcessID) -> String? {
        let deadline = BootTime.now + .seconds(5) * patience
        while let text = try? readTextFile("/proc/\(pid)/environ") {
            // While a process executes another program or dies, the kernel shows no environment of it, and yet the
            // process may still hold the lock of a job. Neither takes long, unless the machine is busy.
            guard text.isEmpty, isInTransition(pid), BootTime.now < deadline else { return text }
            pause(.milliseconds(1))
        }
        return nil
    }

    /// Whether a process without an environment may be on its way to another program, or to its end. Others that
    /// have none mostly sleep, and the kernel's own threads never have one.
    private static func isInTransition(_ pid: ProcessID) -> Bool {
        let line = (try? readTextFile("/proc/\(pid)/stat")) ?? ""
        let fields = line.lastIndex(of: ")").map { line[$0...].dropFirst(2).split(separator: " ") } ?? []
        guard fields.count > 6, let flags = UInt32(fields[6]) else { return false }
        return (fields[0] == "R" || fields[0] == "D") && flags & isKernelThread == 0
    }

    /// PF_KTHREAD.
    private static let isKernelThread: UInt32 = 0x0020_0000

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
