import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import Testing

@testable import cgrun
@testable import cgrun_toml

/// What a `cgrun.toml` says.
@Suite struct ServiceFileTests {
    private func file(_ text: String, in directory: String = "/srv/app") throws -> ServiceFile {
        try serviceFile(text, in: directory)
    }

    private func spec(_ text: String) throws -> ServiceSpec { try #require(try file(text).services.first).spec }

    @Test func everyKindOfKey() throws {
        let spec = try spec(
            """
            [service.web]
            command = ["./server", "--port", "8080", "50%"]
            dir = "app"
            env = { A = "1", B = 2, C = true }
            mem = "64M"
            pids = 32
            cpu = 0.5
            io-max = []
            timeout = "1h"
            wait-all = true
            fail-on-oom = false
            restart = "always"
            backoff = "10ms..2s"
            give-up = "never"
            healthy-after = "5s"
            ready = { http = "http://127.0.0.1:8080/health" }
            ready-timeout = "3s"
            stop = { signal = "QUIT", after = "9s", mode = "mixed" }
            reload = { command = ["kill", "-HUP", "a b"] }
            log = { file = "web.log", max = "1M", keep = 7 }
            pid-file = "/run/web.pid"
            """)
        #expect(spec.name.description == "web")
        let job = spec.launch.job
        #expect(job.arguments == ["./server", "--port", "8080", "50%"])
        #expect(job.workingDirectory == "/srv/app/app")
        #expect(["A=1", "B=2", "C=true"].allSatisfy(job.environment.contains))
        #expect(job.limits.memoryMax == .value(.bytes(64 << 20)) && job.limits.pidsMax == .value(32))
        #expect(job.timeout == .seconds(3600) && job.waitsForAll && !job.failsOnOOM)
        #expect(spec.restart.policy == .always && spec.restart.giveUpAfter == nil)
        #expect((spec.restart.firstPause, spec.restart.longestPause) == (.milliseconds(10), .seconds(2)))
        #expect(spec.restart.healthyAfter == .seconds(5) && spec.readyTimeout == .seconds(3))
        #expect(
            spec.readiness == .http(.init(address: "127.0.0.1", port: 8080, host: "127.0.0.1:8080", path: "/health")))
        #expect(job.stopSignal == .quit && job.grace == .seconds(9) && job.killMode == .mixed)
        #expect(spec.reload == .command(["kill", "-HUP", "a b"]))
        #expect(spec.log.path == "/srv/app/web.log" && spec.log.longest == 1 << 20 && spec.log.kept == 7)
        #expect(spec.pidFile == "/run/web.pid")
    }

    @Test(arguments: [
        ("tcp = 80", Readiness.tcp(address: "127.0.0.1", port: 80)), ("notify = true", .notify),
        ("log = \"up\"", .log("up")),
        ("delay = \"2s\"", .delay(.seconds(2))), ("exec = [\"test\", \"-e\", \"a b\"]", .exec(["test", "-e", "a b"])),
    ])
    func readiness(_ text: String, _ readiness: Readiness) throws {
        #expect(try spec("[service.web]\ncommand = [\"x\"]\nready.\(text)").readiness == readiness)
        #expect(try spec("[service.web]\ncommand = [\"x\"]\nready = { \(text) }").readiness == readiness)
    }

    /// A service's own key takes the place of the default, with all that is in its table; of `env`, each variable does.
    @Test func defaults() throws {
        let file = try file(
            """
            [defaults]
            mem = "1G"
            ready.tcp = 80
            env = { A = "1", B = "1" }
            stop = { signal = "INT", after = "1s" }
            [service.a]
            command = ["x"]
            [service.b]
            command = ["x"]
            mem = "2G"
            ready.log = "up"
            env.B = "2"
            stop.signal = "QUIT"
            """)
        let (a, b) = (file.services[0].spec, file.services[1].spec)
        #expect(a.launch.job.limits.memoryMax == .value(.bytes(1 << 30)))
        #expect(b.launch.job.limits.memoryMax == .value(.bytes(2 << 30)))
        #expect(a.readiness == .tcp(address: "127.0.0.1", port: 80) && b.readiness == .log("up"))
        #expect(b.launch.job.environment.suffix(2) == ["A=1", "B=2"])
        #expect(
            a.launch.job.grace == .seconds(1) && b.launch.job.grace == .seconds(5) && b.launch.job.stopSignal == .quit)
    }

    @Test func instancesAndRequirements() throws {
        let file = try file(
            """
            [service.web]
            command = ["server", "--port", "800%i", "100%%"]
            env.PEER = "%i%x"
            instances = 2
            requires = { db = "ready", "migrate" = "completed" }
            [service.db]
            command = ["db", "%i"]
            [service.migrate]
            command = ["m"]
            requires.db = "started"
            [service.front]
            command = ["f"]
            requires.web = "ready"
            """)
        #expect(file.services.map(\.name.description) == ["web@1", "web@2", "db", "migrate", "front"])
        #expect(file.services[1].spec.launch.job.arguments == ["server", "--port", "8002", "100%"])
        #expect(file.services[1].spec.launch.job.environment.contains("PEER=2%x"))
        #expect(file.services[2].spec.launch.job.arguments == ["db", "%i"], "only instances have a number")
        #expect(file.services[4].order.requirements.map(\.description) == ["web@1=ready", "web@2=ready"])
        #expect(file.plan.order.map(\.description) == ["db", "migrate", "web@1", "web@2", "front"])
        func selected(_ names: String...) throws -> [String] {
            try file.selected(names, path: "cgrun.toml").map(\.description).sorted()
        }
        #expect(try selected("web") == ["db", "migrate", "web@1", "web@2"])
        #expect(try selected("web@2") == ["db", "migrate", "web@2"])
        #expect(try selected().count == 5)
        let error = #expect(throws: UsageError.self) { try selected("wbe") }
        #expect(error?.message == "wbe: there is no such service in cgrun.toml; did you mean web?")
    }

    /// Tables may have headers of their own.
    @Test func headersOfTables() throws {
        let file = try file(
            """
            [defaults.stop]
            after = "7s"
            [service.web]
            command = ["x"]
            [service.web.ready]
            tcp = 80
            [service.web.env]
            A = "1"
            [service.web.log]
            keep = 9
            [service.web.requires]
            """)
        let spec = file.services[0].spec
        #expect(spec.readiness == .tcp(address: "127.0.0.1", port: 80) && spec.launch.job.grace == .seconds(7))
        #expect(spec.log.kept == 9 && spec.launch.job.environment.last == "A=1")
    }

    @Test func filesOfVariables() throws {
        let directory = "/tmp/cgrun-test-env-\(Machine.randomHexadecimal())"
        mkdir(directory, 0o700)
        defer { unlink(directory + "/env"); rmdir(directory) }
        let text = "# c\r\n\n A = 1 \r\nB='x y'\nC=\"q\"\n; d\nD=\nE=a=b\n"
        try Descriptor(opening: directory + "/env", O_WRONLY | O_CREAT, mode: 0o600).write(text, path: "env")
        let service = "[service.web]\ncommand = [\"x\"]\nenv.C = \"own\"\nenv-file = \"env\"\n"
        let job = try file(service, in: directory).services[0].spec.launch.job
        #expect(job.environment.suffix(5) == ["A=1", "B=x y", "D=", "E=a=b", "C=own"])
        for text in ["A", "=1", "A B=1"] {
            #expect(throws: EnvironmentFile.Mistake.self) { try EnvironmentFile.assignments("X=1\n" + text) }
        }
    }

    /// One line that names the file and the line in it, the key, the value and what would be accepted.
    @Test(arguments: [
        ("mem = \"1Q\"", "3: mem 1Q: expected bytes"), ("command = \"x\"", "3: Error while parsing"),
        ("memm = \"1G\"", "3: memm: unknown key; did you mean mem?"),
        ("zzz = 1", "3: zzz: unknown key; expected one of"),
        ("stop-signal = \"INT\"", "3: stop-signal: unknown key; here it is stop.signal"),
        ("setenv = \"A=1\"", "3: setenv: unknown key; here it is env"),
        ("reload-command = \"x\"", "3: reload-command: unknown key; here it is reload.command"),
        ("pty = true", "3: pty: unknown key; it is not for services: a service has no terminal"),
        ("ready = \"notify\"", "3: ready: expected a table of delay, exec, http, log, notify, tcp"),
        ("ready.tpc = 1", "3: ready.tpc: unknown key; did you mean ready.tcp?"),
        ("ready.tcp = 0", "3: ready.tcp 0: expected"), ("ready.notify = false", "3: ready.notify false: expected true"),
        ("ready.exec = \"x\"", "3: ready.exec \"x\": expected words"),
        ("ready = { tcp = 1, log = \"x\" }", "3: ready.tcp: there is ready.log already"),
        ("requires.db = \"ready\"", "3: requires.db: there is no such service"),
        ("requires.weba = \"ready\"", "3: requires.weba: there is no such service; did you mean web?"),
        ("requires.web = \"soon\"", "3: requires.web \"soon\": expected"),
        ("requires = [\"db\"]", "3: requires: expected"),
        ("requires.web = \"ready\"", "1: services require each other: web → web"),
        ("wait-all = 1", "3: wait-all 1: expected true or false"),
        ("restart = true", "3: restart true: expected one value"),
        ("restart = \"maybe\"", "3: restart maybe: expected no, on-failure or always"),
        ("mem = [\"1G\"]", "3: mem: expected one value"),
        ("mem.max = \"1G\"", "3: mem: expected one value, and no table"),
        ("mem = 1979-05-27", "3: mem 1979-05-27: expected bytes"),
        ("env = \"A=1\"", "3: env \"A=1\": expected a table of variables"),
        ("env = { A = [1] }", "3: env.A: expected one value"), ("env.\"A=\" = 1", "3: env.A= 1: expected a table"),
        ("env-file = \"/no/such\"", "3: env-file /no/such: No such file or directory"),
        ("instances = 0", "3: instances 0: expected a number from 1 to 1000"),
        ("stop = { after = \"1\" }", "3: stop.after 1: expected"),
        ("stop.sginal = \"INT\"", "did you mean stop.signal?"),
        ("dir = \"a\\u0000b\"", "3: expected text without NUL"), ("log.max = 1", "3: log.max 1: expected a size"),
        ("log = \"a\"\npid-file = \"\"", "4: pid-file : expected a file"),
        ("uid = \"nobody0\"", "3: uid nobody0: expected"),
    ])
    func mistakes(_ line: String, _ message: String) {
        let error = #expect(throws: UsageError.self) { try file("[service.web]\ncommand = [\"x\"]\n\(line)\n") }
        #expect(
            error?.message.hasPrefix("cgrun.toml:") == true && error?.message.contains(message) == true,
            "\(error?.message ?? "")")
    }

    @Test(arguments: [
        ("", "there is no service in it"), ("x = 1", "1: x: unknown; expected [defaults] and [service.NAME]"),
        ("[servic.web]", "1: servic: unknown; did you mean service?"),
        ("[service.web]", "1: service.web has no command"),
        ("service = 1", "1: service: expected a table"), ("[service]\nweb = 1", "2: service.web: expected a table"),
        ("[[service]]\na = 1", "1: service: expected a table"), ("[service.web", "1: "), ("\n\nx =", "3: "),
        ("[service.\"a b\"]\ncommand = [\"x\"]", "1: service.\"a b\": expected a name"),
        ("[service.web]\ncommand = []", "2: command: expected words"),
        ("[service.web]\ncommand = \"x -y\"", "2: command \"x -y\": expected words"),
        ("[service.web]\ncommand = [[\"x\"]]", "2: command: expected words"),
        ("[defaults]\ncommand = [\"x\"]", "2: command is a service's own"),
        ("defaults = 1", "1: defaults: expected a table"),
        ("[service.web]\ncommand = [\n  \"x\",\n]\nmemm = 1", "5: memm"),
        (
            "[service.a]\ncommand=[\"x\"]\nlog=\"l\"\n[service.b]\ncommand=[\"x\"]\nlog.file=\"l\"",
            "6: log /srv/app/l: a has the"
        ),
        ("[service.a]\ncommand=[\"x\"]\npid-file=\"/p\"\ninstances=2", "3: pid-file /p: a@1 has the same"),
        (
            "[service.a]\ncommand=[\"x\"]\ninstances=1\n[service.\"a@1\"]\ncommand=[\"x\"]",
            "4: a@1: there are two services of this name"
        ),
        (
            "[defaults]\nrestart=\"always\"\n[service.a]\ncommand=[\"x\"]\nrequires.b=\"completed\"\n[service.b]\ncommand=[\"x\"]",
            "5: requires.b: it is never completed"
        ), ("[service.web]\ncommand=[\"x\"]\ncpu = inf", "3: cpu inf: expected"),
        ("[service.web]\ntext = \"\"\"\n[service.x]\n\"\"\"", "2: text: unknown key"),
    ])
    func mistakesOfFiles(_ text: String, _ message: String) {
        let error = #expect(throws: UsageError.self) { try file(text) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("\n") == false)
    }

    @Test func notUTF8() {
        #expect(StatementList(parsing: [0x61, 0xFF]) == .mistake(line: 1, text: "the file is not UTF-8"))
    }

    /// Each line ends by CR and LF, and the last not at all.
    @Test func linesOfOtherSystems() throws {
        let file = try file("\u{FEFF}[service.web]\r\ncommand = [\r\n\"a\",\r\n\"b\"]\r\n# c\r\n\tmem = \"1G\"")
        #expect(file.services[0].spec.launch.job.arguments == ["a", "b"])
        let statements = StatementList(parsing: Array("\r\n[a.b]\r\nc = [\r\n1]\r\n\r\nd = {}".utf8))
        #expect(
            statements
                == .statements([
                    Statement(line: 2, path: ["a", "b"], value: .table),
                    Statement(line: 3, path: ["a", "b", "c"], value: .array([.integer(1)])),
                    Statement(line: 6, path: ["a", "b", "d"], value: .table),
                ]))
    }

    @Test func nearestNames() {
        #expect(NearestName.of("mme", among: ["mem", "log"]) == "mem")
        #expect(NearestName.of("restrat", among: ["restart", "ready"]) == "restart")
        #expect(NearestName.of("xyz", among: ["mem", "log"]) == nil)
    }
}

@Suite struct ProcessListingTests {
    @Test(arguments: [
        (0.9, "0s"), (59, "59s"), (60, "1m0s"), (3599, "59m59s"), (3600, "1h0m"), (86399, "23h59m"), (90000, "1d1h"),
    ])
    func ages(_ seconds: Double, _ text: String) { #expect(ListedTree.text(seconds) == text) }
}
