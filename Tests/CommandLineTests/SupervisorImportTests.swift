import CgroupSandbox
import Glibc
import LinuxSystem
import SandboxValues
import Services
import SystemdUnits
import Testing

@testable import cgrun

/// A configuration of supervisord as a `cgrun.toml`.
@Suite struct SupervisorImportTests {
    private static let fixtures = "\(#filePath)".replacing(
        "CommandLineTests/SupervisorImportTests.swift", with: "SystemdUnitsTests/Fixtures/")

    /// A user of each machine takes the place of those that the fixtures name.
    private func fixture(_ name: String) throws -> String {
        try readTextFile(Self.fixtures + name).split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("user=") ? "user=root" : String($0) }.joined(separator: "\n")
    }

    /// The file as it is once somebody has taken the `#` away from the services that are not started.
    private func withAll(_ text: String) -> String {
        var isOff = false
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if line.hasPrefix("# [service.") { isOff = true }
            if line.isEmpty { isOff = false }
            return isOff ? String(line.dropFirst(2)) : String(line)
        }.joined(separator: "\n")
    }

    private func services(_ text: String) throws -> [ServiceSpec] {
        try serviceFile(try imported(text).text.text).services.map(\.spec)
    }

    /// The configuration of a guide for production.
    @Test func guide() throws {
        let text = try imported(try fixture("guide.conf")).text.text
        let start = try #require(text.firstRange(of: "\n[defaults]"))
        #expect(
            text[start.lowerBound...] == """

                [defaults]
                dir = "/home/abcdeveloper/projects/analyticbot"
                uid = "root"
                restart = "always"

                [service.analyticbot-api]
                command = [
                    "/home/abcdeveloper/projects/analyticbot/.venv/bin/uvicorn", "apps.api.main:app", "--host",
                    "0.0.0.0", "--port", "11400", "--workers", "4",
                ]
                env = { PATH = "/home/abcdeveloper/projects/analyticbot/.venv/bin:/usr/bin" }
                stop = { after = "30s" }
                log = { file = "/var/log/analyticbot/api.log", max = "50M", keep = 10 }

                [service.analyticbot-bot]
                command = ["/home/abcdeveloper/projects/analyticbot/.venv/bin/python", "-m", "apps.bot.run_bot"]
                stop = { after = "30s" }
                log = { file = "/var/log/analyticbot/bot.log", max = "50M", keep = 10 }

                [service.analyticbot-mtproto]
                command = [
                    "/home/abcdeveloper/projects/analyticbot/.venv/bin/python", "-m", "apps.mtproto.worker",
                    "--interval", "10",
                ]
                stop = { after = "1m" }
                log = { file = "/var/log/analyticbot/mtproto.log", max = "50M", keep = 10 }

                # [group:analyticbot] programs=analyticbot-api,analyticbot-bot,analyticbot-m… – not kept: there are
                # no groups; up, down and the others take several names.

                """)
        let specs = try serviceFile(text).services.map(\.spec)
        #expect(specs.map(\.name.description) == ["analyticbot-api", "analyticbot-bot", "analyticbot-mtproto"])
        let job = specs[2].launch.job
        #expect(job.grace == .seconds(60) && job.killMode == .controlGroup && job.stopSignal == .terminate)
        #expect(job.workingDirectory == "/home/abcdeveloper/projects/analyticbot" && job.credentials?.uid == 0)
        #expect(specs[2].restart.policy == .always)
        #expect(specs[2].log.path == "/var/log/analyticbot/mtproto.log" && specs[2].log.longest == 50 << 20)
    }

    /// Each is taken by cgrun, and says what it does not keep.
    @Test(arguments: [
        ("container.conf", 3, 0), ("fastcgi.conf", 2, 0), ("guide.conf", 3, 0), ("odd-words.conf", 2, 0),
        ("queue-workers.conf", 4, 1), ("task-queue.conf", 4, 0), ("web-app.conf", 3, 0),
    ])
    func fixtures(_ name: String, _ count: Int, _ off: Int) throws {
        let text = try fixture(name)
        let made = try imported(text)
        #expect(try serviceFile(made.text.text).services.count == count)
        #expect(try serviceFile(withAll(made.text.text)).services.count == count + off)
        let comments = made.text.text.split(separator: "\n").filter { $0.hasPrefix("#") }
            .map { $0.drop { "# ".contains($0) } }.joined(separator: " ")
        for finding in made.findings where finding.grade != .exact {
            #expect(!finding.note.isEmpty && comments.contains(finding.note), "\(finding)")
        }
        // Keys begin their lines; each of them became something.
        for line in text.split(separator: "\n") where line.first?.isLetter == true {
            let key = line.prefix { !" =:".contains($0) }.lowercased()
            let section = made.findings.contains { $0.key == key || $0.key.isEmpty }
            #expect(section, "\(key)")
        }
        #expect(!made.text.text.contains("SUPERVISOR_ENABLED ="), "what supervisord sets by itself stays out")
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var keys: String
        var lines: [String]
        var testDescription: String { keys }
    }

    @Test(arguments: [
        Case(
            keys: "",
            lines: ["command = [\"x\"]", "stop = { after = \"10s\", mode = \"mixed\" }", "!restart", "!log", "!dir"]),
        Case(keys: "autorestart=true", lines: ["restart = \"always\""]),
        Case(keys: "autorestart=false", lines: ["restart = \"no\"", "!give-up"]),
        Case(keys: "autorestart=unexpected\nexitcodes=0,2", lines: ["!restart", "# exitcodes=0,2 is not kept: "]),
        Case(keys: "autorestart=true\nexitcodes=0,2", lines: ["restart = \"always\"", "!# exitcodes"]),
        Case(keys: "startsecs=3", lines: ["ready = { delay = \"3s\" }"]),
        Case(keys: "startsecs=0", lines: ["ready = { delay = \"0s\" }", "give-up = \"never\"", "!# startsecs"]),
        Case(
            keys: "startretries=3",
            lines: ["backoff = \"1s..3s\"", "healthy-after = \"1s\"", "give-up = \"4/14s\"", "# startretries=3 became"]),
        Case(keys: "startretries=0", lines: ["give-up = \"2/5s\""]),
        Case(keys: "stopsignal=QUIT\nstopwaitsecs=5", lines: ["stop = { signal = \"QUIT\", mode = \"mixed\" }"]),
        Case(keys: "stopasgroup=true\nstopwaitsecs=0", lines: ["stop = { after = \"0s\" }"]),
        Case(keys: "stopasgroup=true\nstopwaitsecs=5", lines: ["!stop"]),
        Case(keys: "user=root\ndirectory=/srv", lines: ["uid = \"root\"", "dir = \"/srv\""]),
        Case(keys: "umask=077", lines: [#"command = ["sh", "-c", "umask 077 && exec \"$@\"", "sh", "x"]"#]),
        Case(keys: "environment=A=\"50%%\",B=2", lines: ["env = { A = \"50%\", B = \"2\" }"]),
        Case(
            keys: "environment=A=\"%(ENV_ODD)s\"",
            lines: ["env = { A = \"x\" }", "# environment=A=\"%(ENV_ODD)s\" became its value of now"]),
        Case(keys: "stdout_logfile=/l", lines: ["log = { file = \"/l\", max = \"50M\", keep = 10 }"]),
        Case(
            keys: "stdout_logfile=~/l\nstdout_logfile_maxbytes=1KB\nstdout_logfile_backups=200",
            lines: [
                "log = { file = \"/root/l\", max = \"4K\", keep = 100 }",
                "# stdout_logfile_maxbytes=1KB became log.max",
                "# stdout_logfile_backups=200 became log.keep",
            ]),
        Case(
            keys: "stdout_logfile=/l\nstdout_logfile_maxbytes=0",
            lines: ["log = { file = \"/l\", max = \"1T\", keep = 10 }"]),
        Case(
            keys: "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0",
            lines: ["!log", "# stdout_logfile=/dev/stdout became"]),
        Case(keys: "stdout_logfile=NONE", lines: ["!log", "# stdout_logfile=NONE became the service's log"]),
        Case(
            keys: "stderr_logfile=/e",
            lines: ["log = { file = \"/e\", max = \"50M\", keep = 10 }", "# stderr_logfile=/e became"]),
        Case(
            keys: "stdout_logfile=/l\nstderr_logfile=/e",
            lines: ["log = { file = \"/l\"", "# stderr_logfile=/e is not kept"]),
        Case(
            keys: "stdout_logfile=/l\nredirect_stderr=true\nstderr_logfile=/e",
            lines: ["log = { file = \"/l\"", "!# stderr_logfile"]),
        Case(keys: "stdout_syslog=true", lines: ["# stdout_syslog=true is not kept"]),
        Case(
            keys: "stdout_syslog=true\nstdout_logfile=/l",
            lines: ["# stdout_syslog=true is not kept", "!# stdout_logfile", "log = { file = \"/l\""]),
        Case(keys: "stdout_logfile=syslog", lines: ["# stdout_logfile=syslog is not kept", "!log"]),
        Case(
            keys: "stdout_events_enabled=true",
            lines: ["# stdout_events_enabled=true is not kept: there are no events."]),
        Case(keys: "no_such_key=1", lines: ["# no_such_key=1 is not kept: supervisor knows no such key."]),
        Case(keys: "process_name=other", lines: ["[service.p]", "# process_name=other became service.p"]),
        Case(keys: "autostart=false\nstopasgroup=true", lines: ["# [service.p]", "# command = [\"x\"]", "# stop ="]),
        Case(keys: "numprocs=0", lines: ["![service.p]", "# [program:p] – not kept: it has no process"]),
        Case(
            keys: "numprocs=2\nprocess_name=p%(process_num)d",
            lines: ["[service.p]", "instances = 2", "# numprocs=2 became instances"]),
        Case(
            keys: "numprocs=2\nprocess_name=p%(process_num)d\nenvironment=N=%(process_num)d",
            lines: ["[service.p0]", "env = { N = \"0\" }", "[service.p1]", "!instances"]),
        Case(
            keys:
                "numprocs=2\nnumprocs_start=1\nprocess_name=p%(process_num)d\nenvironment=N=%(process_num)d,M=\"1%%\"",
            lines: ["env = { N = \"%i\", M = \"1%%\" }", "instances = 2"]),
    ])
    func keys(_ expected: Case) throws {
        let other = "[program:other]\ncommand=o\nstopasgroup=true\nstopwaitsecs=5\n"
        let made = try imported("[program:p]\ncommand=x\n\(expected.keys)\n" + other)
        // The other one is there so that nothing becomes a default, and comes first in the order of names.
        let parts = made.text.text.split(separator: "[service.other]\ncommand = [\"o\"]\n").map(String.init)
        let lines = parts.last?.split(separator: "\n").map(String.init) ?? []
        for line in expected.lines {
            if line.hasPrefix("!") {
                #expect(!lines.contains { $0.hasPrefix(line.dropFirst()) }, "\(line) in \(lines)")
            } else {
                #expect(lines.contains { $0.hasPrefix(line) }, "\(line) in \(lines)")
            }
        }
        for key in expected.keys.split(separator: "\n").map({ $0.prefix { $0 != "=" } }) where key != "numprocs" {
            #expect(made.findings.contains { $0.key == key } || expected.keys == "numprocs=0", "\(key)")
        }
        _ = try serviceFile(withAll(made.text.text))
    }

    /// No two services share a log, and what is asked for can be told from what was there.
    @Test func sharedLogs() throws {
        let specs = try services(
            """
            [program:a]
            command=a
            stdout_logfile=/var/log/x.log
            [program:b]
            command=b
            stdout_logfile=/var/log/x.log
            [program:w]
            command=w
            numprocs=2
            process_name=w%(process_num)d
            stdout_logfile=/var/log.d/w
            """)
        #expect(
            specs.map(\.log.path) == ["/var/log/x.log", "/var/log/x-b.log", "/var/log.d/w-1", "/var/log.d/w-2"])
    }

    /// A percent sign means something in instances, and there alone; the defaults are for both.
    @Test func percentSigns() throws {
        let specs = try services(
            """
            [program:a]
            command=a %%i
            directory=/srv/50%%
            environment=A="%%i",B=1
            [program:w]
            command=w %%i %(process_num)d
            numprocs=2
            numprocs_start=1
            process_name=w%(process_num)d
            directory=/srv/50%%
            environment=A="%%i",B=1
            """)
        #expect(specs.map(\.launch.job.arguments) == [["a", "%i"], ["w", "%i", "1"], ["w", "%i", "2"]])
        #expect(specs.allSatisfy { $0.launch.job.workingDirectory == "/srv/50%" })
        #expect(specs.allSatisfy { $0.launch.job.environment.contains("A=%i") })
    }

    @Test func sockets() throws {
        let specs = try services(
            """
            [fcgi-program:f]
            command=/bin/f -a
            socket=unix:///run/f.sock
            socket_owner=www:web
            numprocs=2
            process_name=f%(process_num)d
            user=root
            """)
        let words =
            "spawn-fcgi -n -s /run/f.sock -M 0700 -U www -G web -u root -- /usr/bin/env multiwatch -f 2 -- /bin/f -a"
        #expect(specs.count == 1 && specs[0].launch.job.arguments.map(\.description).joined(separator: " ") == words)
        #expect(specs[0].launch.job.credentials == nil, "spawn-fcgi changes the user once the socket is open")
    }

    /// Nothing of what is included, of defaults and of other sections gets lost in silence.
    @Test func otherSections() throws {
        let made = try imported(
            """
            [include]
            files=/etc/s/more.conf /etc/s/none.conf
            [supervisord]
            minfds=4096
            user=root
            directory=/srv
            environment=A=1,B=2
            [eventlistener:e]
            command=e
            [nonsense]
            [program:p]
            command=p
            """, files: ["/etc/s/more.conf": "[program:q]\ncommand=q\ndirectory=sub\nenvironment=B=3\n"])
        let text = made.text.text
        #expect(text.contains("[defaults]\nuid = \"root\"\nenv = { A = \"1\" }\n"))
        for comment in [
            "# [include] files=/etc/s/none.conf – not kept: no file matches.",
            "# [supervisord] minfds=4096 – not kept: ",
            "# [eventlistener:e] – not kept: ", "# [nonsense] – not kept: ",
        ] {
            #expect(text.contains(comment), "\(comment)")
        }
        let jobs = try serviceFile(text).services.map(\.spec.launch.job)
        #expect(jobs.map(\.workingDirectory) == ["/srv", "/srv/sub"])
        #expect(jobs[0].environment.contains("B=2") && jobs[1].environment.contains("B=3"))
    }

    @Test func names() throws {
        let specs = try services(
            "[program:a@b]\ncommand=x\n[program:ü]\ncommand=y\n[program:_]\ncommand=z\n[program:service]\ncommand=v\n")
        #expect(specs.map(\.name.description) == ["service", "a@b", "service-2", "service-3"])
    }

    @Test func mistakes() {
        let error = #expect(throws: UsageError.self) { try imported("[supervisord]\n") }
        #expect(error?.message == "/etc/s/main.conf: there is no program in it; expected sections [program:NAME]")
        #expect(throws: SupervisorError.self) { try imported("[program:a]\ncommand=x 'y\n") }
        #expect(throws: SupervisorError.self) { try imported("[program:a]\ncommand=x\0y\n") }
        #expect(throws: SupervisorError.self) { try imported("[program:a]\ncommand=x\nstdout_logfile=~who/x\n") }
    }
}
