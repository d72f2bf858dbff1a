internal import LinuxSystem
internal import Services

// How several services are ended, those first that no other requires.

extension ServiceGroup {
    /// Begins to end the group, or, the second time, kills what is left of it.
    func end() {
        guard isEnding else {
            isEnding = true
            if isAttached { actions.console.note("stopping; once more, and all is killed") }
            return
        }
        for (name, member) in members where !isDecided(member.phase) {
            members[name]?.request = .kill
            if let connection = member.connection { _ = connection.send(.kill) } else { connect(name) }
        }
    }

    func stopWhatMay() {
        let active = members.filter { !isDecided($0.value.phase) }
        for name in plan.last(of: Set(active.keys)) where active[name]?.request == nil {
            members[name]?.request = .stop
            if let connection = active[name]?.connection { _ = connection.send(.stop) } else { reconnect(name) }
        }
    }

    func conclude(_ name: ServiceName, _ status: ServiceStatus) {
        guard let member = members[name] else { return }
        showLogs()
        if status.state.isSettled { member.connection?.awaitEnd(after: status) }
        members[name]?.connection = nil
        attempt(name) {
            try actions.tellStop(status, member.client) { isAttached ? actions.console.note($0) : print($0) }
        }
        members[name]?.phase = .over
    }
}
