import SystemdUnits
import Testing

@Suite("Supervisor's keys")
struct SupervisorKeyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var keys: String
        var lines: [String]
        var grades: [String: Grade]
        var testDescription: String { keys }

        init(_ keys: String, _ lines: [String], _ grades: [String: Grade] = [:]) {
            (self.keys, self.lines, self.grades) = (keys, lines, grades)
        }
    }

    static let cases = [
        Case(
            "process_name=%(program_name)s_%(process_num)02d", ["Environment=\"SUPERVISOR_PROCESS_NAME=p_00\""],
            ["process_name": .exact]),
        Case(
            "numprocs=1\nnumprocs_start=5\nprocess_name=p%(process_num)d",
            ["Environment=\"SUPERVISOR_PROCESS_NAME=p5\""]),
        Case("priority=5", [], ["priority": .exact]),
        Case("autostart=true", ["WantedBy=multi-user.target"], ["autostart": .exact]),
        Case("autostart=false", ["!WantedBy="], ["autostart": .exact]),
        Case(
            "startsecs=3",
            [#"ExecStartPost=:/bin/sh "-c" "sleep 3 && kill -0 $MAINPID""#, "StartLimitIntervalSec=20s"],
            ["startsecs": .approximate]),
        Case("startsecs=0", ["!ExecStartPost=", "StartLimitIntervalSec=0"], ["startsecs": .exact]),
        Case("startretries=9", ["StartLimitBurst=10", "StartLimitIntervalSec=30s"], ["startretries": .approximate]),
        Case("autorestart=true", ["Restart=always", "!RestartForceExitStatus="], ["autorestart": .exact]),
        Case("autorestart=false", ["Restart=no", "!RestartSec="], ["autorestart": .exact]),
        Case(
            "autorestart=unexpected", ["Restart=on-failure", "RestartForceExitStatus=SIGHUP SIGINT SIGTERM SIGPIPE"],
            ["autorestart": .exact]),
        Case(
            "exitcodes=2,3", ["SuccessExitStatus=2 3", "RestartForceExitStatus=0 SIGHUP SIGINT SIGTERM SIGPIPE"],
            ["exitcodes": .exact]),
        Case("exitcodes=0", ["!SuccessExitStatus="], ["exitcodes": .exact]),
        Case("stopsignal=QUIT", ["KillSignal=SIGQUIT"], ["stopsignal": .exact]),
        Case("stopsignal=10", ["KillSignal=SIGUSR1"], ["stopsignal": .exact]),
        Case("stopwaitsecs=90", ["TimeoutStopSec=90s"], ["stopwaitsecs": .exact]),
        Case(
            "stopasgroup=true", ["KillMode=control-group"], ["stopasgroup": .approximate, "killasgroup": .approximate]),
        Case("killasgroup=true", ["KillMode=mixed"], ["killasgroup": .approximate]),
        Case("stopasgroup=false", ["KillMode=mixed"], ["stopasgroup": .approximate]),
        Case("user=www", ["User=www"], ["user": .approximate]),
        Case("directory=/srv", ["WorkingDirectory=/srv"], ["directory": .exact]),
        Case("umask=027", ["UMask=0027"], ["umask": .exact]),
        Case("environment=A=1", ["Environment=\"A=1\""], ["environment": .exact]),
        Case("redirect_stderr=true", ["StandardError=inherit"], ["redirect_stderr": .exact]),
        Case(
            "redirect_stderr=true\nstderr_logfile=/var/log/x", ["StandardError=inherit"], ["stderr_logfile": .dropped]),
        Case("stdout_logfile=/var/log/x", ["StandardOutput=append:/var/log/x"], ["stdout_logfile": .exact]),
        Case("stderr_logfile=/var/log/100%%%%", ["StandardError=append:/var/log/100%%"], ["stderr_logfile": .exact]),
        Case("stdout_logfile=NONE", ["StandardOutput=null"], ["stdout_logfile": .exact]),
        Case("stdout_logfile=AUTO", ["StandardOutput=journal"], ["stdout_logfile": .approximate]),
        Case(
            "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0", ["StandardOutput=journal"],
            ["stdout_logfile": .approximate]),
        Case("stdout_logfile=syslog", ["StandardOutput=journal", "SyslogIdentifier=p"], ["stdout_logfile": .exact]),
        Case("stdout_syslog=true\nstdout_logfile=NONE", ["StandardOutput=journal"], ["stdout_syslog": .exact]),
        Case(
            "stdout_syslog=true\nstdout_logfile=/l", ["StandardOutput=journal"],
            ["stdout_syslog": .approximate, "stdout_logfile": .dropped]),
        Case("stderr_syslog=true", ["StandardError=journal"], ["stderr_syslog": .approximate]),
        Case(
            "stdout_logfile=/var/log/x\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=3", [],
            ["stdout_logfile_maxbytes": .approximate, "stdout_logfile_backups": .exact]),
        Case("stderr_logfile_maxbytes=1MB\nstderr_logfile_backups=3", [], ["stderr_logfile_maxbytes": .dropped]),
        Case("stdout_capture_maxbytes=1MB", [], ["stdout_capture_maxbytes": .dropped]),
        Case("stderr_capture_maxbytes=0", [], ["stderr_capture_maxbytes": .exact]),
        Case("stdout_events_enabled=true", [], ["stdout_events_enabled": .dropped]),
        Case("stderr_events_enabled=false", [], ["stderr_events_enabled": .exact]),
        Case("serverurl=http://x", [], ["serverurl": .dropped]),
        Case("no_such_key=1", [], ["no_such_key": .dropped]),
    ]

    @Test("become", arguments: cases)
    func keys(_ expected: Case) throws {
        let conversion = try convert("[program:p]\ncommand=/bin/x\n\(expected.keys)\n")
        let lines = try conversion.units.first { $0.path.hasSuffix(".service") }!.text().split(separator: "\n").map(
            String.init)
        for line in expected.lines {
            if line.hasPrefix("!") {
                #expect(!lines.contains { $0.hasPrefix(line.dropFirst()) }, "\(lines)")
            } else {
                #expect(lines.contains(line), "\(line) in \(lines)")
            }
        }
        for (key, grade) in expected.grades { #expect(conversion.finding(key)?.grade == grade, "\(key)") }
        // Nothing is dropped in silence.
        for key in expected.keys.split(separator: "\n").map({ $0.prefix { $0 != "=" } }) {
            #expect(conversion.findings.contains { $0.key == key }, "\(key)")
        }
        #expect(conversion.findings.allSatisfy { $0.grade == .exact || !$0.note.isEmpty })
    }

    @Test("sections without a counterpart are told")
    func sections() throws {
        let conversion = try convert(
            """
            [unix_http_server]
            file=/run/s.sock
            [inet_http_server]
            port=9001
            [supervisorctl]
            serverurl=unix:///run/s.sock
            [rpcinterface:supervisor]
            supervisor.rpcinterface_factory=x
            [eventlistener:e]
            command=/bin/e
            [nonsense]
            a=1
            [supervisord]
            minfds=4096
            minprocs=300
            logfile=/l
            bogus=1
            [program:p]
            command=/bin/x
            """)
        let dropped = Set(conversion.findings.filter { $0.grade == .dropped }.map { $0.section + "." + $0.key })
        #expect(
            dropped == [
                "unix_http_server.", "inet_http_server.", "supervisorctl.", "rpcinterface:supervisor.",
                "eventlistener:e.", "nonsense.",
                "supervisord.minprocs", "supervisord.logfile", "supervisord.bogus",
            ])
        #expect(try conversion.unit("p.service").contains("LimitNOFILE=4096:524288\n"))
    }

    @Test("supervisord's own mask and directory count only for a daemon", arguments: [true, false])
    func daemon(isDaemon: Bool) throws {
        let text = try convert(
            "[supervisord]\nnodaemon=\(!isDaemon)\numask=077\ndirectory=/srv\nuser=u\n[program:p]\ncommand=/bin/x\n"
        )
        .unit("p.service")
        #expect(text.contains("UMask=0077\n") == isDaemon)
        #expect(text.contains("WorkingDirectory=/srv\n") == isDaemon)
        #expect(text.contains("User=u\n"))
    }

    @Test("instances, groups and their order")
    func groups() throws {
        let conversion = try convert(
            """
            [program:w]
            command=/bin/w %(process_num)d
            process_name=%(process_num)02d
            numprocs=2
            [program:early]
            command=/bin/e
            priority=1
            [program:late]
            command=/bin/l
            autostart=false
            [program:alone]
            command=/bin/a
            priority=5
            [group:g]
            programs=late,early
            priority=10
            """)
        #expect(
            Set(conversion.units.map(\.path)) == [
                "w-00.service", "w-01.service", "w.target", "early.service", "late.service", "alone.service",
                "g.target",
            ])
        #expect(try conversion.unit("late.service").contains("PartOf=g.target\nAfter=early.service\n"))
        #expect(try conversion.unit("early.service").contains("After=alone.service\n"))
        #expect(try conversion.unit("w-01.service").contains("After=early.service late.service\n"))
        #expect(try conversion.unit("w-01.service").contains("WantedBy=w.target\n"))
        #expect(
            conversion.enabled == [
                "alone.service", "early.service", "g.target", "w-00.service", "w-01.service", "w.target",
            ])
    }

    @Test("names that meet")
    func collisions() throws {
        let twice = try convert("[program:p]\ncommand=/bin/x\n[group:a]\nprograms=p\n[group:b]\nprograms=p\n")
        #expect(twice.units.map(\.path).filter { $0.hasSuffix("service") } == ["a-p.service", "b-p.service"])
        #expect(throws: UnitError.self) { try convert("[program:dbus]\ncommand=/bin/x\n") }
        #expect(throws: UnitError.self) { try convert("[program:p]\ncommand=/bin/x\n[group:network]\nprograms=p\n") }
        var options = SupervisorConversion.Options()
        options.prefix = "s-"
        #expect(
            try convert("[program:dbus]\ncommand=/bin/x\n", options: options).units.map(\.path) == ["s-dbus.service"])
    }

    @Test("only what was asked for")
    func only() throws {
        var options = SupervisorConversion.Options()
        options.only = ["b"]
        let text = "[program:a]\ncommand=/bin/a\n[program:b]\ncommand=/bin/b\n"
        #expect(try convert(text, options: options).units.map(\.path) == ["b.service"])
        options.only = ["c"]
        #expect(throws: SupervisorError.self) { try convert(text, options: options) }
    }

    @Test("FastCGI programs get a socket")
    func fastCGI() throws {
        let conversion = try convert(
            """
            [fcgi-program:f]
            command=/bin/f
            socket=unix:///run/%(program_name)s.sock
            socket_owner=www:web
            socket_backlog=64
            numprocs=2
            process_name=f%(process_num)d
            """)
        #expect(
            try conversion.unit("f.socket").contains(
                "[Socket]\nListenStream=/run/f.sock\nBacklog=64\nSocketUser=www\nSocketGroup=web\nSocketMode=0700\nService=f0.service\n"
            ))
        let service = try conversion.unit("f1.service")
        #expect(service.contains("Requires=f.socket\n"))
        #expect(service.contains("Sockets=f.socket\n"))
        #expect(service.contains("StandardInput=socket\nStandardOutput=journal\n"))
    }

    @Test("logs that supervisord rotated get a snippet")
    func logrotate() throws {
        let conversion = try convert(
            "[program:p]\ncommand=/bin/x\nstdout_logfile=/var/log/a b.log\nstdout_logfile_maxbytes=2KB\nstdout_logfile_backups=3\n"
                + "stderr_logfile=/var/log/e\nstderr_logfile_maxbytes=0\n")
        #expect(
            conversion.logrotate?.hasSuffix(
                "\n\"/var/log/a b.log\" {\n    size 2048\n    rotate 3\n    copytruncate\n    missingok\n    notifempty\n}\n"
            ) == true)
        #expect(conversion.logrotate?.contains("/var/log/e") == false)
        #expect(try convert("[program:p]\ncommand=/bin/x\n").logrotate == nil)
    }

    @Test(
        "names of logs mean themselves to logrotate",
        arguments: [
            ("/l/a{b}.log", #""/l/a?b?.log" {"#), ("/l/[a]*?\\.log", #""/l/\[a\]\*\?\\.log" {"#),
            ("/l/a\"b'.log", #""/l/a\"b'.log" {"#),
        ])
    func logNames(path: String, line: String) throws {
        let text = try convert("[program:p]\ncommand=/bin/x\nstdout_logfile=\(path)\n").logrotate ?? ""
        #expect(text.split(separator: "\n").contains(Substring(line)), "\(text)")
    }

    @Test("the number of open files that everybody has is not asked for", arguments: [(1024, false), (1025, true)])
    func openFiles(count: Int, isLimited: Bool) throws {
        let conversion = try convert("[supervisord]\nminfds=\(count)\n[program:p]\ncommand=/bin/x\n")
        #expect(try conversion.unit("p.service").contains("LimitNOFILE=") == isLimited)
        #expect(conversion.findings.first { $0.key == "minfds" }?.grade == (isLimited ? .approximate : .exact))
    }

    @Test("grades in a table")
    func table() throws {
        let table = Finding.table(
            try convert("[program:p]\ncommand=/bin/x\nserverurl=http://x\nstopsignal=INT\n").findings)
        #expect(table.hasPrefix("GRADE "))
        #expect(table.contains("\nexact        [program:p] stopsignal      INT        KillSignal=SIGINT\n"))
        #expect(table.contains("there is no supervisord to call\n"))
    }
}
