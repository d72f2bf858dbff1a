import CgroupSandbox
import SandboxValues
import Services
import Testing

@testable import cgrun

/// The words after `cgrun service start`.
@Suite struct ServiceRequestTests {
    private func spec(_ words: String...) throws -> ServiceSpec? {
        try ServiceRequest(parsing: words.map { ByteString($0.utf8)! }[...]).spec
    }

    @Test func optionsOfBothKinds() throws {
        let spec = try #require(
            try spec(
                "web", "--mem", "64M", "--restart=always", "-E", "A=1", "--backoff", "10ms..2s", "-Cdir", "--give-up",
                "3/1m", "--ready", "tcp=8080", "--log", "out", "--log-max=1M", "--log-keep", "0", "--reload-signal",
                "USR1", "--", "./server", "--restart", "no"))
        #expect(spec.name.description == "web")
        #expect(spec.launch.job.arguments == ["./server", "--restart", "no"])
        #expect(spec.launch.job.limits.memoryMax == .value(.bytes(64 << 20)))
        #expect(spec.launch.job.environment.last == "A=1" && spec.launch.job.workingDirectory == "dir")
        #expect(spec.restart.policy == .always)
        #expect((spec.restart.firstPause, spec.restart.longestPause) == (.milliseconds(10), .seconds(2)))
        #expect(spec.restart.giveUpAfter == 3 && spec.restart.giveUpWithin == .seconds(60))
        #expect(spec.readiness == .tcp(address: "127.0.0.1", port: 8080))
        #expect(spec.log.path == "out" && spec.log.longest == 1 << 20 && spec.log.kept == 0)
        #expect(spec.reload == .signal(.user1))
        #expect(!spec.launch.diesWithParent)
    }

    @Test func onlyAName() throws { #expect(try spec("web") == nil) }

    @Test func withoutDashes() throws {
        #expect(try spec("web", "sleep", "--ready")?.launch.job.arguments == ["sleep", "--ready"])
    }

    @Test(arguments: [
        ("delay=2s", Readiness.delay(.seconds(2))), ("delay=0", .delay(.zero)), ("notify", .notify),
        ("log=a=b", .log("a=b")), ("tcp=[::1]:80", .tcp(address: "::1", port: 80)),
        ("tcp=localhost:80", .tcp(address: "127.0.0.1", port: 80)),
        ("http=http://localhost/", .http(.init(address: "127.0.0.1", port: 80, host: "localhost", path: "/"))),
        (
            "http=http://[::1]:8080/a?b#c",
            .http(.init(address: "::1", port: 8080, host: "[::1]:8080", path: "/a?b"))
        ),
        ("http=HTTP://127.0.0.1:81?x", .http(.init(address: "127.0.0.1", port: 81, host: "127.0.0.1:81", path: "/?x"))),
        ("exec=test -e 'a b'", .exec(["test", "-e", "a b"])),
    ])
    func readiness(_ text: String, _ value: Readiness) throws { #expect(try Readiness(parsing: text) == value) }

    @Test(arguments: [
        "", "tcp", "tcp=", "tcp=0", "tcp=70000", "tcp=host:80", "delay", "delay=1", "log=", "notify=1", "exec=",
        "exec=''",
        "exec=a 'b", "http=", "http=127.0.0.1", "http=https://127.0.0.1/", "http=http://host/", "http=http://::1/",
        "http=http://127.0.0.1:0/", "http=http://127.0.0.1:+1/", "http=http://127.0.0.1/a b",
    ])
    func noReadiness(_ text: String) {
        #expect(throws: LimitSyntaxError.self) { try Readiness(parsing: text) }
    }

    @Test func whatAReloadRunsAndThePidFile() throws {
        let spec = try #require(
            try spec("web", "--reload-command", "nginx -s 'reload now'", "--pid-file", "run/pid", "--", "nginx"))
        #expect(spec.reload == .command(["nginx", "-s", "reload now"]) && spec.pidFile == "run/pid")
    }

    /// One line that names the option, the value and what would be accepted.
    @Test(arguments: [
        (["a/b", "--", "x"], "a/b: expected a name"), (["--", "x"], "no name given"), ([], "no name given"),
        (["w", "--restart", "maybe", "x"], "--restart maybe: expected no, on-failure or always"),
        (["w", "--backoff", "2s..1s", "x"], "--backoff 2s..1s: expected one duration or two"),
        (["w", "--give-up", "0/1m", "x"], "--give-up 0/1m: expected a number of failures"),
        (["w", "--log-max", "1", "x"], "--log-max 1: expected a size of 4K or more"),
        (["w", "--log-keep", "-1", "x"], "--log-keep -1: expected a number from 0 to 100"),
        (["w", "--reload-command", "a 'b", "x"], "--reload-command a 'b: expected a command with a closing quote"),
        (["w", "--reload-command", " ", "x"], "--reload-command  : expected a command"),
        (["w", "--pid-file=", "x"], "--pid-file : expected a file"),
        (["w", "--ready-timeout"], "--ready-timeout needs a value"), (["w", "--mem", "64M"], "no command given"),
        (["w", "--mem", "1X", "--", "x"], "--mem 1X: expected"), (["w", "--pty", "x"], "--pty is not for services"),
        (["w", "-v", "x"], "--verbose is not for services"), (["w", "--unit=a", "x"], "--unit is not for"),
        (["w", "--log", "journal", "--log-keep", "1", "x"], "--log-keep is for files"),
        (["w", "--log", "journal", "--ready", "log=up", "x"], "--ready log=… looks into a file"),
        (["w", "-p", "OOMPolicy=kill", "x"], "--property OOMPolicy is not for"),
        (["w", "--watchdog", "0", "x"], "--watchdog 0: expected"),
    ])
    func mistakes(_ words: [String], _ message: String) {
        let error = #expect(throws: UsageError.self) {
            try ServiceRequest(parsing: words.map { ByteString($0.utf8)! }[...])
        }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
}
