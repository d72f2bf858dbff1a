import CgroupSandbox
import SandboxValues
import Services
import SystemdUnits
import Testing

@testable import cgrun

// Priorities, and numbers that are larger than a file can say.

extension SupervisorImportTests {
    /// Only who has a priority is ordered, and only after the next lower one.
    @Test func priorities() throws {
        let made = try imported(
            """
            [program:a]
            command=a
            priority=1
            [program:b]
            command=b
            priority=2
            [program:b2]
            command=b
            priority=2
            autostart=false
            [program:c]
            command=c
            priority=3
            [program:d]
            command=d
            [program:z]
            command=z
            priority=1000
            [program:x]
            command=x
            priority=7
            [program:y]
            command=y
            priority=8
            [program:n]
            command=n
            [group:g]
            programs=x,y,n
            """)
        let requirements = Dictionary(
            uniqueKeysWithValues: try serviceFile(made.text.text).services.map {
                ($0.name.description, $0.order.requirements.map(\.description))
            })
        #expect(
            requirements == [
                "a": [], "b": ["a=started"], "c": ["b=started"], "d": [], "n": [], "x": [], "y": ["x=started"],
                "z": ["c=started", "d=started", "n=started", "x=started", "y=started"],
            ])
    }

    /// A level of which nothing is started does not hold up the order.
    @Test func prioritiesOfWhatIsNotStarted() throws {
        let made = try imported(
            """
            [program:a]
            command=a
            priority=1
            [program:b]
            command=b
            priority=2
            autostart=false
            [program:c]
            command=c
            priority=3
            [program:x]
            command=x
            priority=1
            [program:y]
            command=y
            priority=2
            autostart=false
            [program:z]
            command=z
            priority=3
            [group:g]
            programs=x,y,z
            """)
        let requirements = Dictionary(
            uniqueKeysWithValues: try serviceFile(made.text.text).services.map {
                ($0.name.description, $0.order.requirements.map(\.description))
            })
        #expect(requirements == ["a": [], "c": ["a=started"], "x": [], "z": ["x=started"]])
    }

    /// What cannot be said in a file is changed, and never written all the same.
    @Test(arguments: [
        "startretries=96031\nstartsecs=1", "startretries=1000000", "startretries=2147483647",
        "startretries=2147483647\nstartsecs=2147483647", "startsecs=2147483647", "stopwaitsecs=2147483647",
        "stdout_logfile=/l\nstdout_logfile_maxbytes=8000000000GB\nstdout_logfile_backups=2147483647",
        "stdout_logfile=/l\nstdout_logfile_maxbytes=1\nstdout_logfile_backups=0", "umask=7777", "exitcodes=255,0",
        "numprocs=1000\nprocess_name=p%(process_num)d",
        "numprocs=1000\nnumprocs_start=1\nprocess_name=p%(process_num)d",
        "environment=A=\"\\\\\t''\",B=1", "directory=/\\u0041\t", "priority=-2147483648",
        "stdout_syslog=true\nstderr_syslog=true", "numprocs=1\nnumprocs_start=2147483647",
    ])
    func extremes(_ keys: String) throws {
        let made = try imported("[program:p]\ncommand=x\n\(keys)\n")
        #expect(try !serviceFile(made.text.text).services.isEmpty)
    }

    @Test func tooMuch() throws {
        let never = try imported("[program:p]\ncommand=x\nstartretries=1000000\n")
        #expect(never.text.text.contains("give-up = \"never\""))
        #expect(never.findings.contains { $0.key == "startretries" && $0.note.contains("never given up") })
        let error = #expect(throws: SupervisorError.self) {
            try imported("[program:p]\ncommand=x\nnumprocs=100000\nprocess_name=p%(process_num)d\n")
        }
        #expect(error?.description.contains("100000: expected a whole number from 0 to 1000") == true)
    }
}
