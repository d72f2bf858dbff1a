/// Several services and what they require of each other: in which order they are started and stopped.
///
/// There is no clock and no process in here.
package struct ServicePlan: Sendable {
    /// How far a required service must have come.
    package enum Condition: String, Sendable, CaseIterable {
        /// Its command runs.
        case started
        /// It is ready.
        case ready
        /// Its command has ended, and well.
        case completed
    }

    package struct Requirement: Sendable, Equatable, CustomStringConvertible {
        package var name: ServiceName
        package var condition: Condition

        package init(_ name: ServiceName, _ condition: Condition) {
            self.name = name
            self.condition = condition
        }

        /// - Returns: `nil` where the text is not what `description` makes.
        init?(_ text: String) {
            let parts = text.split(separator: "=")
            guard parts.count == 2, let name = try? ServiceName(String(parts[0])),
                let condition = Condition(rawValue: String(parts[1]))
            else { return nil }
            self.init(name, condition)
        }

        package var description: String { "\(name)=\(condition.rawValue)" }
    }

    /// Services that require each other in a circle.
    package struct Circle: Error, Equatable {
        /// In the order of requirement, with the first once more at the end.
        package var names: [ServiceName]
    }

    /// How far a service has come.
    package enum Progress: Sendable, Equatable {
        /// Nothing of it runs yet, or it is not known to.
        case waiting
        case started
        case ready
        case completed
        /// It runs no more, and will not by itself.
        case over
    }

    package enum Verdict: Sendable, Equatable {
        case start
        case wait
        /// This service will not come as far as is required.
        case never(ServiceName)
    }

    /// All services, each after those that it requires.
    package private(set) var order: [ServiceName] = []
    private let requirements: [ServiceName: [Requirement]]

    /// - Parameter services: requirements of services that are not in here count as met.
    package init(_ services: [(name: ServiceName, requirements: [Requirement])]) throws(Circle) {
        requirements = Dictionary(services.map { ($0.name, $0.requirements) }) { first, _ in first }
        var done: Set<ServiceName> = []
        for (name, _) in services {
            var path: [ServiceName] = []
            try place(name, &path, &done)
        }
    }

    private mutating func place(
        _ name: ServiceName, _ path: inout [ServiceName], _ done: inout Set<ServiceName>
    ) throws(Circle) {
        guard let required = requirements[name], !done.contains(name) else { return }
        if let first = path.firstIndex(of: name) { throw Circle(names: path[first...] + [name]) }
        path.append(name)
        for requirement in required { try place(requirement.name, &path, &done) }
        path.removeLast()
        done.insert(name)
        order.append(name)
    }

    /// These services and all that they require.
    package func closure(of names: some Sequence<ServiceName>) -> Set<ServiceName> {
        var found: Set<ServiceName> = []
        var rest = Array(names)
        while let name = rest.popLast() {
            if found.insert(name).inserted { rest += (requirements[name] ?? []).map(\.name) }
        }
        return found
    }

    /// These services, and all of this plan that require them to run.
    package func dependents(of names: some Sequence<ServiceName>) -> Set<ServiceName> {
        var found = Set(names)
        // Whatever requires a service comes after it.
        for name in order where (requirements[name] ?? []).contains(where: { needs($0, found) }) { found.insert(name) }
        return found
    }

    /// Whether a service may be started.
    package func verdict(on name: ServiceName, _ progress: (ServiceName) -> Progress) -> Verdict {
        var verdict = Verdict.start
        for requirement in requirements[name] ?? [] where requirements[requirement.name] != nil {
            switch (requirement.condition, progress(requirement.name)) {
            case (.started, .started), (.started, .ready), (.started, .completed), (.ready, .ready),
                (.completed, .completed):
                continue
            case (_, .over), (.ready, .completed): return .never(requirement.name)
            default: verdict = .wait
            }
        }
        return verdict
    }

    /// The services that require this one to have ended.
    package func awaitingCompletion(of name: ServiceName) -> [ServiceName] {
        order.filter { (requirements[$0] ?? []).contains(Requirement(name, .completed)) }
    }

    /// Those of these services that none of the others requires to run: they are stopped first.
    ///
    /// What a service requires in turn that was to be completed, such as the database of a migration, is required by
    /// whatever waited for the completion, too.
    package func last(of names: Set<ServiceName>) -> [ServiceName] {
        var last: [ServiceName] = []
        var required: Set<ServiceName> = []
        // The requirements of these count, but not they themselves.
        var completed: Set<ServiceName> = []
        // Each comes before those that it requires.
        for name in order.reversed() {
            if names.contains(name), !required.contains(name) { last.append(name) }
            guard names.contains(name) || required.contains(name) || completed.contains(name) else { continue }
            for requirement in requirements[name] ?? [] {
                if requirement.condition == .completed {
                    completed.insert(requirement.name)
                } else {
                    required.insert(requirement.name)
                }
            }
        }
        return last
    }

    /// What has done its work need not be there any more.
    private func needs(_ requirement: Requirement, _ names: Set<ServiceName>) -> Bool {
        requirement.condition != .completed && names.contains(requirement.name)
    }
}
