import LinuxSystem

extension Harness {
    /// Makes a cgroup that belongs to nobody (uid 65534), and hands out the shell command that enters it.
    package func withDelegatedCgroup(legacy: Bool, _ body: (String) throws -> Void) throws {
        let name = "delegated-\(marker.text)"
        let own = legacy ? TestCgroups.own : Array(TestCgroups.own.prefix(1))
        // Entering needs write access to the common ancestor, so a root shell does it through this one.
        let fifo = "for path in \(own.map { "\($0)/\(name)" }.joined(separator: " ")); do"
        let make = """
            \(fifo)
                mkdir $path && chown 65534 $path $path/cgroup.procs $path/cgroup.subtree_control $path/tasks 2>/dev/null
                case $path in */cpuset/*) cat ${path%/*}/cpuset.mems > $path/cpuset.mems
                    cat ${path%/*}/cpuset.cpus > $path/cpuset.cpus;; esac
                chmod a+w $path/cgroup.procs
                chmod a+w ${path%/*}/cgroup.procs
            done; exit 0
            """
        let unmake = """
            \(fifo)
                for child in $path/*/; do rmdir $child 2>/dev/null; done
                rmdir $path
                chmod go-w ${path%/*}/cgroup.procs
            done
            """
        let made = try start(["sh", "-c", make]).end()
        guard made.exitCode == 0 else { throw TestFailure("no cgroup for nobody: \(made.errors)") }
        defer { _ = try? start(["sh", "-c", unmake]).end() }
        try body("\(fifo) echo $$ > $path/cgroup.procs || exit 99; done")
    }
}
