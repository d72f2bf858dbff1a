internal import LinuxSystem
internal import SandboxValues

// A worker is lost, and the command is not.

extension Suite {
    /// A worker, and whatever belongs to it alone.
    private struct Victim {
        var worker: ProcessID
        /// With the worker.
        var tree: [ProcessTree.Entry]
        /// Where only these listen.
        var ports: [ListeningPort]
    }

    func workerLost(_ signal: Signal, _ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            let instance = try scene.start()
            let victim = try victim(scene, instance)
            try send(signal, victim, scene)
            let bound = signal == .kill ? Self.death : plan.grace
            let left = gone(victim, scene, within: bound)
            if signal == .terminate, left.contains(where: { $0.pid == victim.worker }) {
                throw .notTested("the worker goes on after SIGTERM")
            }
            // A main process that cannot do without the worker takes a moment to notice.
            let isAlive = !holds(within: Self.death) { !instance.isMainAlive }
            let seen = "its tree of \(victim.tree.count) gone, the main process \(isAlive ? "lives" : "ended")"
            if !isAlive { return judge(scene, seen) }
            let ports = victim.ports.filter(\.isTaken).map { "port \($0) taken" }
            // Not a process any more, but a place among the pids that nobody gives back.
            let zombies = scene.observer.processes.zombieCount
            return .judged(seen + (zombies > 0 ? "; zombies: \(zombies)" : ""), left: left, traces: ports)
        }
    }

    /// A worker that hangs must not keep the command from ending.
    func workerStopped(_ side: StressSide) throws(StressStop) -> Finding {
        try scene(side) { scene throws(StressStop) in
            let instance = try scene.start()
            let victim = try victim(scene, instance)
            try send(.stop, victim, scene)
            instance.send(.terminate)
            let end = try awaitEnd(instance, scene)
            return judge(scene, "\(end.status.text) after \(end.after.shortText), no process left")
        }
    }

    private func send(_ signal: Signal, _ victim: Victim, _ scene: Scene) throws(StressStop) {
        guard scene.observer.signal([victim.worker], signal) else { throw .notTested("the worker had ended before") }
    }

    /// - Throws: `.notTested` where there is no worker.
    private func victim(_ scene: Scene, _ instance: Instance) throws(StressStop) -> Victim {
        guard let pattern = plan.worker else { throw .notTested("nobody is a worker") }
        try demandAlive(instance)
        var tree = scene.observer.processes
        var chosen: ProcessID?
        _ = holds(within: plan.patience) {
            tree = scene.observer.processes
            let workers = tree.descendants(of: instance.main)
                .filter { pattern.matches(Instance.commandLine($0)) }.sorted()
            // The one that is at work.
            chosen = workers.max { tree.descendants(of: $0).count < tree.descendants(of: $1).count }
            return chosen.map { plan.work == nil || !tree.children(of: $0).isEmpty } ?? false
        }
        guard let chosen else {
            throw .notTested("no process below the main one matches --worker \(pattern.text.asName)")
        }
        return victim(chosen, tree, instance)
    }

    private func victim(_ worker: ProcessID, _ tree: ProcessTree, _ instance: Instance) -> Victim {
        let below = tree.descendants(of: worker).union([worker])
        let others = tree.descendants(of: instance.main).subtracting(below)
        // A daemon leads to nobody any more. One that has come with the work is the worker's.
        let around = [instance.main, instance.process.pid]
        let daemons = tree.subtracting(instance.idle).filter { entry in
            !below.contains(entry.pid) && !others.contains(entry.pid) && !around.contains(entry.pid)
        }
        let members = below.compactMap { tree.processes[$0] } + daemons
        let pids = members.map(\.pid)
        func ports(_ pids: [ProcessID]) -> Set<ListeningPort> { Set(pids.flatMap { OpenFiles(of: $0).ports }) }
        let shared = ports(tree.pids.filter { !pids.contains($0) })
        return Victim(
            worker: worker, tree: members, ports: ports(pids).subtracting(shared).sorted { $0.port < $1.port })
    }

    /// Waits until the victim's processes are gone.
    private func gone(_ victim: Victim, _ scene: Scene, within bound: Duration) -> [LeftProcess] {
        var now = scene.observer.processes
        _ = holds(within: bound) {
            now = scene.observer.processes
            return !victim.tree.contains(where: now.contains)
        }
        return now.described(victim.tree.filter(now.contains).compactMap { now.processes[$0.pid] })
    }
}
