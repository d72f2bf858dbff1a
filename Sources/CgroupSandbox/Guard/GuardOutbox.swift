internal import CLinux
internal import LinuxSystem

/// What guards are told: all that a new guard has to know, and what the present one has still to be told.
struct GuardOutbox {
    /// The registered jobs, by the numbers by which guards know them.
    var wards: [UInt64: Ward] = [:]
    /// The process that keeps the scope of the jobs, and the scope's directory, once it is there.
    var holder: (helper: Helper, directory: SharedDescriptor?)?
    /// What guards become after a loss of this process; `nil`: they end its jobs.
    var successor: Successor?
    /// What the present guard has still to be told, in this order.
    private(set) var notices: [Notice] = []

    /// Something to tell a guard.
    enum Notice: Sendable {
        /// Which process keeps the jobs' scope.
        case holder
        /// What the guard becomes after a loss.
        case successor
        /// A manager is being asked to move the guard out of the cgroup with this hash.
        case scope(UInt64)
        /// A job whose cgroups do not exist yet.
        case job(UInt64)
        /// The cgroups of a job exist: from now on the guard kills it after a loss. `nil`: they are opened when the
        /// guard is told.
        case arm(UInt64, killFile: SharedDescriptor?)
        /// Until when the guard leaves a job to this process.
        case deadline(UInt64)
        /// Nothing is left of a job.
        case done(UInt64)

        /// The number of the job that the notice is about.
        var number: UInt64? {
            switch self {
            case .holder, .successor, .scope: nil
            case .job(let number), .arm(let number, _), .deadline(let number), .done(let number): number
            }
        }
    }

    mutating func append(_ notice: Notice) { notices.append(notice) }

    /// Whether the guard has been told all that there is to tell of a job so far.
    func hasTold(_ number: UInt64) -> Bool { !notices.contains { $0.number == number } }

    /// Forgets a job, and tells the guard to, unless it does not know of the job.
    mutating func forget(_ number: UInt64) {
        wards[number] = nil
        let isUnknown = notices.contains { if case .job(number) = $0 { true } else { false } }
        notices.removeAll { $0.number == number }
        if !isUnknown { notices.append(.done(number)) }
    }

    /// Holds what a new guard has to be told, and nothing else.
    mutating func startAnew() {
        notices = (successor == nil ? [] : [.successor]) + (holder == nil ? [] : [.holder])
        for (number, ward) in wards.sorted(by: { $0.key < $1.key }) {
            notices.append(.job(number))
            if ward.isArmed { notices.append(.arm(number, killFile: nil)) }
            if ward.deadline != nil { notices.append(.deadline(number)) }
        }
    }

    mutating func removeAll() { notices = [] }

    /// Sends what there is to tell, and never waits. What is sent is taken out, also when the rest cannot be.
    ///
    /// - Throws: as `guard_contents.send`, and when no descriptor is free.
    mutating func send(to socket: CInt, atMost count: Int = .max) throws(SystemError) {
        var sent = 0
        defer { notices.removeFirst(sent) }
        while sent < min(count, notices.count) {
            try send(notices[sent], to: socket)
            sent += 1
        }
    }

    /// Sends one notice. Nothing is sent about a job that is not registered any more, or whose cgroup is gone.
    private func send(_ notice: Notice, to socket: CInt) throws(SystemError) {
        let ward = notice.number.flatMap { wards[$0] }
        switch notice {
        case .holder:
            guard let holder else { return }
            var message = guard_message(GUARD_HOLDER)
            message.holder = holder.helper.descriptor
            message.holder_socket = holder.helper.control.rawValue
            message.scope = holder.directory?.descriptor.rawValue ?? -1
            try message.send(to: socket)
        case .successor:
            guard let successor else { return }
            var message = guard_message(GUARD_SUCCESSOR)
            message.executable = successor.executable.rawValue
            message.state = successor.state.descriptor.rawValue
            message.output = successor.output.descriptor.rawValue
            message.notices = successor.notices?.descriptor.rawValue ?? -1
            try message.send(to: socket)
        case .scope(let hash): try guard_contents(GUARD_SCOPE, number: hash).send(to: socket)
        case .job(let number):
            guard let ward else { return }
            var message = guard_contents(GUARD_JOB, number: number)
            message.describeJob(ward.name, tags: ward.tags, parents: ward.parents.map { $0.descriptor.rawValue })
            message.parent = ward.parent?.descriptor ?? -1
            ward.recovery?.add(to: &message)
            try message.send(to: socket)
        case .arm(let number, let killFile):
            guard let ward else { return }
            var opened = killFile
            if opened == nil { opened = try ward.openKillFileIfThere() }
            guard let opened else { return }
            var message = guard_contents(GUARD_ARM, number: number)
            message.kill_file = opened.descriptor.rawValue
            message.setDirectories(ward.directories.map { $0.descriptor.rawValue })
            try message.send(to: socket)
        case .deadline(let number):
            guard let moment = ward?.deadline else { return }
            var message = guard_contents(GUARD_DEADLINE, number: number)
            message.deadline = moment.sinceBoot.nanoseconds
            try message.send(to: socket)
        case .done(let number): try guard_contents(GUARD_DONE, number: number).send(to: socket)
        }
    }
}
