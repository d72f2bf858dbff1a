import CgroupSandbox
import FoundationEssentials
import Glibc
import LinuxSystem
import SandboxValues
import TestSupport
import Testing

extension Behaviour {
    /// Where `--report` leads, whatever others make of the path: before the job, during it, and after a loss.
    @Suite(.onRealMachines) struct ReportTargets {
        let scene: ReportScene
        private var harness: Harness { scene.harness }

        init() throws { scene = try ReportScene() }

        // MARK: During the job

        @Test(arguments: [false, true]) func aLinkPutThereIsReplaced(_ isLost: Bool) throws {
            let victim = try scene.victim()
            _ = try scene.run("ln -sf \(victim.path) \(scene.report)", isLost: isLost)
            try victim.expectUntouched()
            try scene.expectReport(scene.report, isLost: isLost)
            #expect(try scene.names(in: scene.out) == ["r.json"])
        }

        @Test(arguments: [false, true]) func aFIFOPutThereIsReplaced(_ isLost: Bool) throws {
            _ = try scene.run("mkfifo \(scene.report)", isLost: isLost)
            try scene.expectReport(scene.report, isLost: isLost)
            #expect(try scene.names(in: scene.out) == ["r.json"])
        }

        @Test(arguments: [false, true]) func theDirectoryIsTheOneThatItWas(_ isLost: Bool) throws {
            let victim = try scene.victim()
            _ = try scene.run("mv \(scene.out) \(scene.home)/away && ln -s \(scene.own) \(scene.out)", isLost: isLost)
            try victim.expectUntouched()
            try scene.expectReport(scene.home + "/away/r.json", isLost: isLost)
            #expect(try scene.names(in: scene.home) == ["away", "out"])
        }

        @Test(arguments: [false, true]) func aDirectoryPutThereIsAnError(_ isLost: Bool) throws {
            let outcome = try scene.run("mkdir \(scene.report)", isLost: isLost, exitCode: 125)
            if !isLost {
                #expect(outcome.errors.hasPrefix("cgrun: --report \(scene.report): the report cannot be written any"))
                #expect(outcome.errors.contains(text: "Is a directory"), "\(outcome.errors)")
            }
            #expect(try scene.names(in: scene.out) == ["r.json"])
        }

        // MARK: Before it

        @Test(.enabled(if: Capability.isRoot, "needs root to make what is another user's"))
        func linksOfOthersAreRefused() throws {
            let victim = try scene.victim()
            let shared = harness.path("shared")
            try #require(mkdir(shared, 0o1777) == 0 && chmod(shared, 0o1777) == 0)
            try scene.link(shared + "/absolute", to: victim.path)
            try scene.link(shared + "/relative", to: "../own/victim")
            try scene.link(shared + "/new", to: scene.own + "/new")
            try scene.link(scene.home + "/middle", to: scene.own)
            try scene.link(scene.home + "/up", to: "../own")
            // By way of one that is trusted.
            try scene.link(scene.own.dropLast(3) + "way", to: scene.home + "/middle", owner: 0)
            let reason = "from what belongs to user 65534 to what belongs to user 0; expected a path"
            for path in [
                shared + "/absolute", shared + "/relative", shared + "/new", scene.home + "/middle/victim",
                scene.home + "/middle/new", scene.home + "/up/victim", harness.path("way/victim"),
            ] {
                try scene.expectRefused(path, reason)
            }
            // One of root's, which whoever has the directory may have put where it is.
            try scene.link(scene.home + "/moved", to: scene.own, owner: 0)
            try scene.expectRefused(scene.home + "/moved/victim", "to user 0; expected a path whose links")
            // A third user's, which may not lead to what is the second one's either.
            try scene.link(scene.out + "/third", to: "new", owner: 65533)
            try scene.expectRefused(scene.out + "/third", "to user 65534 to what belongs to user 65533; expected")
            try victim.expectUntouched()
            #expect(try scene.names(in: scene.home) == ["middle", "moved", "out", "up"])
            #expect(try scene.names(in: scene.out) == ["third"])
        }

        @Test(.enabled(if: Capability.isRoot, "needs root to make what is another user's"))
        func linksOfTheDirectorysUserMayLeadToTheUsersOwn() throws {
            try scene.link(scene.home + "/now", to: "out")
            try scene.link(scene.report, to: "real.json")
            #expect(try harness.cgrun("--report", scene.home + "/now/r.json", "true").exitCode == 0)
            try scene.expectReport(scene.out + "/real.json")
            #expect(try scene.kind(scene.report) == S_IFLNK)
            // Now there is a file of root's in it.
            #expect(try harness.cgrun("--report", scene.home + "/now/r.json", "true").exitCode == 0)
            #expect(try scene.names(in: scene.out) == ["r.json", "real.json"])
            try harness.expectNothingLeft()
        }

        /// No user but this one is known in there, and root's directories are nobody's.
        @Test(.enabled(if: Capability.isRoot, "needs root to become somebody else"))
        func aNamespaceWithoutRootChangesNothing() throws {
            try scene.link(harness.path("link"), to: scene.report, owner: 0)
            let script = "unshare --user --map-root-user \(Programs.cgrun) --dry-run --report \"$1\" true"
            let outcome = try harness.start(
                ["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", script, "sh", harness.path("link")]
            ).end()
            #expect(!outcome.errors.contains(text: "--report"), "\(outcome.errors)")
        }

        @Test func chainsEndAndCirclesAreRefused() throws {
            try scene.link(scene.own + "/1", to: "./2", owner: geteuid())
            try scene.link(scene.own + "/2", to: "../own//3", owner: geteuid())
            try scene.link(scene.own + "/3", to: scene.own + "/new", owner: geteuid())
            #expect(try harness.cgrun("--report", scene.own + "/1", "true").exitCode == 0)
            try scene.expectReport(scene.own + "/new")
            try scene.link(scene.own + "/a", to: "b", owner: geteuid())
            try scene.link(scene.own + "/b", to: "a", owner: geteuid())
            try scene.expectRefused(scene.own + "/a", "Too many levels of symbolic links")
            #expect(try scene.names(in: scene.own) == ["1", "2", "3", "a", "b", "new"])
        }

        @Test func whatIsNoPlaceForAFile() throws {
            try scene.expectRefused(scene.own, "Is a directory")
            try scene.expectRefused(scene.own + "/..", "Is a directory")
            try scene.expectRefused(scene.own + "/new/", "No such file or directory")
            try scene.expectRefused(scene.own + "/no/new", "No such file or directory")
            let file = try harness.writeFile("file", "old")
            try scene.expectRefused(file + "/", "Not a directory")
            try scene.expectRefused(file + "/new", "Not a directory")
            try scene.expectRefused("/proc/self/root/new", "root is what a process has open")
            try scene.expectRefused("/dev/fd/99", "there is no such descriptor")
            if !Capability.isRoot { try scene.expectRefused("/new", "Permission denied") }
        }

        @Test(arguments: [["--report", "/dev/stdin"], ["--report-fd", "0"]])
        func whatIsOpenForReading(_ options: [String]) throws {
            let input = try Descriptor(opening: "/dev/null", O_RDONLY)
            let outcome = try harness.start(
                [Programs.cgrun] + options + ["true"], standardInput: input.rawValue
            ).end()
            #expect(outcome.exitCode == 125)
            #expect(
                outcome.errors == "cgrun: \(options[0]) \(options[1]): cannot be written: it is open for reading only; "
                    + "expected a descriptor that is open for writing\n")
        }

        @Test func aDryRunLeavesNothing() throws {
            let file = scene.own + "/old"
            try Data("old".utf8).write(to: URL(filePath: file))
            for path in [file, scene.own + "/new"] {
                #expect(try harness.cgrun("--dry-run", "--report", path, "true").exitCode == 0)
            }
            #expect(try scene.names(in: scene.own) == ["old"] && readTextFile(file) == "old")
        }

        // MARK: Who may read it

        @Test(arguments: [false, true]) func theModeStays(_ isLost: Bool) throws {
            try Data("old".utf8).write(to: URL(filePath: scene.report))
            // Of root's, as the last report would be, in a directory that is not.
            try #require(chmod(scene.report, 0o600) == 0)
            let inode = try scene.facts(scene.report).st_ino
            _ = try scene.run(":", isLost: isLost)
            try scene.expectReport(scene.report, isLost: isLost)
            #expect(try scene.mode(scene.report) == 0o600 && scene.facts(scene.report).st_ino != inode)
        }

        @Test(arguments: ["0077", "0022", "0"]) func aNewFileHonoursTheMask(_ mask: String) throws {
            let script = "umask \(mask); exec \"$@\""
            _ = try harness.start(["sh", "-c", script, "sh", Programs.cgrun, "--report", scene.report, "true"]).end()
            #expect(try scene.mode(scene.report) == 0o666 & ~UInt32(mask, radix: 8)!)
            let lost = try harness.start(
                ["sh", "-c", script, "sh", Programs.cgrun, "--report", scene.out + "/2", "--", Programs.probe, "deaf"])
            try lost.waitForOutput("ready")
            lost.send(.kill)
            _ = try lost.end()
            try harness.expectNothingLeft()
            try scene.expectReport(scene.out + "/2", isLost: true)
            #expect(try scene.mode(scene.out + "/2") == 0o666 & ~UInt32(mask, radix: 8)!)
        }

        @Test(.enabled(if: Capability.isRoot, "needs root to make what is another user's"))
        func anotherUsersFileMakesItNoWider() throws {
            for (before, after) in [(0o666, 0o644), (0o4777, 0o644), (0o600, 0o600)] as [(UInt32, UInt32)] {
                try Data("old".utf8).write(to: URL(filePath: scene.report))
                try #require(chown(scene.report, ReportScene.other, .max) == 0 && chmod(scene.report, before) == 0)
                #expect(try harness.cgrun("--report", scene.report, "true").exitCode == 0)
                #expect(try scene.mode(scene.report) == after && scene.facts(scene.report).st_uid == 0)
            }
        }
    }
}
