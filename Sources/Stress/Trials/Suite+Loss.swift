internal import LinuxSystem
internal import SandboxValues

// Whoever looks after the command is lost.

extension Suite {
    func launcherAndGuardKilled() throws(StressStop) -> Finding {
        try scene(.cgrun) { scene throws(StressStop) in
            let instance = try scene.start()
            try demandAlive(instance)
            let tree = scene.observer.processes
            // Not that of a cgrun which the command has started itself.
            let guards = tree.children(of: instance.process.pid).filter {
                $0 != instance.main && ProcessTable.commandName($0) == "cgrun-guard"
            }
            guard !guards.isEmpty else { throw .notTested("cgrun has no guard") }
            // Both are stopped first: each would act on the loss of the other.
            guard scene.observer.signal([instance.process.pid] + guards, .stop, .kill) else {
                throw .ended(instance.lastLines)
            }
            _ = instance.end(within: Self.death)
            let finding = judge(scene, "no process left")
            guard finding.outcome == .failed else { return finding }
            // What README promises for a raw cgroup: the next cgrun beside the job ends what both have left.
            let sweeper = try scene.run(ByteString.words([plan.cgrun, "--quiet", "--", "true"]))
            _ = sweeper.end(within: plan.patience)
            let left = scene.observer.left(within: Self.death)
            guard left.isEmpty else { return .failed(left: left) }
            return Finding(.knownLimit, "left until the next cgrun or cgrun sweep; under systemd, the manager ends it")
        }
    }
}
