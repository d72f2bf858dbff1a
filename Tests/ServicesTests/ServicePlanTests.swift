import Testing

@testable import Services

@Suite struct ServicePlanTests {
    /// What migrates a database for a server has ended by the time of the stop. The server needs the database all the same.
    @Test func orderOfStopsThroughWhatIsCompleted() throws {
        let names = try ["db", "schema", "api", "web"].map { try ServiceName($0) }
        let plan = try ServicePlan([
            (names[0], []), (names[1], [.init(names[0], .ready)]), (names[2], [.init(names[1], .completed)]),
            (names[3], [.init(names[2], .started)]),
        ])
        #expect(plan.last(of: [names[0], names[2], names[3]]) == [names[3]])
        #expect(plan.last(of: [names[0], names[2]]) == [names[2]])
        #expect(plan.last(of: [names[0]]) == [names[0]])
    }

    private typealias Requirement = ServicePlan.Requirement

    private func name(_ text: String) -> ServiceName {
        do { return try ServiceName(text) } catch { fatalError("no name: \(text)") }
    }

    /// - Parameter services: such as `["web: db=ready", "db"]`.
    private func plan(_ services: String...) throws -> ServicePlan {
        try ServicePlan(
            services.map { text in
                let parts = text.split(separator: ":")
                let requirements =
                    parts.count < 2 ? [] : parts[1].split(separator: " ").map { Requirement(String($0))! }
                return (name(String(parts[0])), requirements)
            })
    }

    private func texts(_ names: some Sequence<ServiceName>) -> [String] { names.map(\.description) }

    @Test func whatIsRequiredComesFirst() throws {
        let plan = try plan("web: api=ready db=ready", "api: db=started", "cache", "db")
        #expect(texts(plan.order) == ["db", "api", "web", "cache"])
        #expect(plan.closure(of: [name("api")]) == [name("api"), name("db")])
    }

    @Test func circles() {
        let circle = #expect(throws: ServicePlan.Circle.self) {
            try plan("a: b=ready", "b: c=started", "c: b=completed")
        }
        #expect(circle.map { texts($0.names) } == ["b", "c", "b"])
        #expect(throws: ServicePlan.Circle.self) { try plan("a: a=ready") }
    }

    @Test(arguments: [
        ("started", ServicePlan.Progress.waiting, ServicePlan.Verdict.wait), ("started", .started, .start),
        ("started", .ready, .start), ("started", .completed, .start), ("ready", .waiting, .wait),
        ("ready", .started, .wait), ("ready", .ready, .start), ("completed", .ready, .wait),
        ("completed", .completed, .start),
    ])
    func conditions(_ condition: String, _ progress: ServicePlan.Progress, _ verdict: ServicePlan.Verdict) throws {
        let plan = try plan("web: db=\(condition)", "db")
        #expect(plan.verdict(on: name("web")) { _ in progress } == verdict)
    }

    @Test(arguments: ["started", "ready", "completed"]) func whatIsOverNeverComes(_ condition: String) throws {
        let plan = try plan("web: api=ready db=\(condition)", "db", "api")
        let verdict = plan.verdict(on: name("web")) { $0 == name("db") ? .over : .waiting }
        #expect(verdict == .never(name("db")))
        // It has ended, and was not ready before.
        #expect(try self.plan("web: db=ready", "db").verdict(on: name("web")) { _ in .completed } == .never(name("db")))
    }

    @Test func stopsGoTheOtherWay() throws {
        let plan = try plan("web: api=ready", "api: db=ready", "db", "job: db=completed")
        var left = Set(plan.order)
        #expect(texts(plan.last(of: left)) == ["job", "web"])
        left.remove(name("web"))
        #expect(texts(plan.last(of: left)) == ["job", "api"])
        left.remove(name("api"))
        #expect(Set(texts(plan.last(of: left))) == ["job", "db"], "db has done its work for the job")
        #expect(plan.dependents(of: [name("api")]) == [name("api"), name("web")])
        #expect(plan.dependents(of: [name("db")]) == [name("db"), name("api"), name("web")])
    }

    @Test func whoWaitsForAnEnd() throws {
        let plan = try plan("web: job=completed", "api: job=ready", "job")
        #expect(texts(plan.awaitingCompletion(of: name("job"))) == ["web"])
    }

    @Test func namesOfInstances() {
        #expect(name("web@12").isInstance(of: name("web")))
        for text in ["web", "web@a", "webs@1", "we@1"] { #expect(!name(text).isInstance(of: name("web"))) }
    }

    /// Whoever stops services may know only some of those that were started.
    @Test func strangersCountAsMet() throws {
        let plan = try plan("web: gone=ready")
        #expect(plan.verdict(on: name("web")) { _ in .waiting } == .start)
    }

    @Test func requirementsAsText() {
        #expect(Requirement("db=ready")?.description == "db=ready")
        for text in ["", "db", "db=", "db=soon", "=ready", "a/b=ready", "a=ready=b"] {
            #expect(Requirement(text) == nil, "\(text)")
        }
    }
}

@Suite struct NetworkProbeTests {
    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nA: b\r\n", true), ("HTTP/1.0 399\n", true), ("HTTP/1.1 404 Not Found\r\n", false),
        ("HTTP/1.1 199 x", false), ("HTTP/1.1 503", false), ("HTTP/1.1 2000 x", false), ("SSH-2.0-x", false),
        ("", false),
        ("HTTP/2 200", false), ("HTTP/1.1 +20 x", false),
    ])
    func statusLines(_ answer: String, _ isGood: Bool) {
        #expect((NetworkProbe.failure(of: Array(answer.utf8)) == nil) == isGood)
    }
}
