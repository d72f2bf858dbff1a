import SandboxValues
import SystemPackage
import Testing

@testable import CgroupSandbox
@testable import LinuxSystem

@Suite struct CandidateTests {
    private func candidates(_ command: ByteString, path: String?) -> [String] {
        var spec = JobSpec([command])
        spec.environment = ["HOME=/root"]
        if let path { spec.setEnvironment(ByteString("PATH=\(path)".utf8)!) }
        return spec.candidates.map(\.description)
    }

    @Test func followPATHInOrder() {
        #expect(candidates("ls", path: "/a:/b/c") == ["/a/ls", "/b/c/ls"])
    }

    /// As execvp: an empty element is the working directory.
    @Test func emptyElementsAreTheWorkingDirectory() {
        #expect(candidates("ls", path: ":/a::/b:") == ["./ls", "/a/ls", "./ls", "/b/ls", "./ls"])
        #expect(candidates("ls", path: "") == ["./ls"])
    }

    @Test func withoutPATHThereIsADefault() {
        #expect(candidates("ls", path: nil) == ["/bin/ls", "/usr/bin/ls"])
    }

    @Test func aSlashNeedsNoSearch() {
        #expect(candidates("./ls", path: "/a") == ["./ls"])
        #expect(candidates("/x/ls", path: "/a") == ["/x/ls"])
        #expect(candidates("x/ls", path: "/a") == ["x/ls"])
    }

    @Test func theJobsOwnPATHCounts() {
        var spec = JobSpec(["ls"])
        spec.environment = ["PATH=/first", "XPATH=/other"]
        spec.setEnvironment("PATH=/second")
        #expect(spec.candidates == ["/second/ls"])
    }

    @Test func bytesStayAsTheyAre() {
        var spec = JobSpec([ByteString([0xFF, 0x41])!])
        spec.environment = [ByteString(Array("PATH=/".utf8) + [0xFE])!]
        #expect(spec.candidates == [ByteString([0x2F, 0xFE, 0x2F, 0xFF, 0x41])!])
    }

    @Test func noCommandHasNone() {
        #expect(JobSpec([]).candidates.isEmpty)
    }
}

@Suite struct EnvironmentTests {
    @Test func isTheCallersByDefault() {
        #expect(JobSpec(["x"]).environment == ThisProcess.environment)
    }

    @Test func settingReplacesEveryOneOfTheName() {
        var spec = JobSpec(["x"])
        spec.environment = ["A=1", "AB=2", "A=3", "B=4"]
        spec.setEnvironment("A=5")
        #expect(spec.environment == ["AB=2", "B=4", "A=5"])
    }

    @Test func valuesMayBeAnything() {
        var spec = JobSpec(["x"])
        spec.environment = []
        spec.setEnvironment("A=")
        spec.setEnvironment("B=c=d=$HOME \n")
        spec.setEnvironment(ByteString(Array("C=".utf8) + [0xFF, 0x80])!)
        #expect(spec.environmentValue("A").map(Array.init) == [])
        #expect(spec.environmentValue("B").map(Array.init) == Array("c=d=$HOME \n".utf8))
        #expect(spec.environmentValue("C").map(Array.init) == [0xFF, 0x80])
        #expect(spec.environmentValue("D") == nil)
    }
}

@Suite struct LaunchErrorTests {
    private func failure(
        _ stage: SpawnError.Stage, _ errno: Errno, _ wording: Wording = .options
    ) -> LaunchError {
        let error = SpawnError(stage: stage, system: SystemError("execve", path: "./tool", errno: errno))
        return LaunchError(error, command: "./tool", wording)
    }

    @Test func exitCodesAreTheShells() {
        #expect(failure(.exec, .noSuchFileOrDirectory).exitCode == 127)
        #expect(failure(.exec, .permissionDenied).exitCode == 126)
        #expect(failure(.exec, .notPermitted).exitCode == 126)
        #expect(failure(.exec, .argListTooLong).exitCode == 126)
        #expect(failure(.exec, .tooManySymbolicLinkLevels).exitCode == 126)
        for stage in [
            SpawnError.Stage.clone, .oomScore, .session, .descriptors, .credentials, .workingDirectory, .join(0),
            .join(-1),
        ] {
            #expect(failure(stage, .noSuchFileOrDirectory).exitCode == 125)
        }
        #expect(LaunchError(.parentLost, "gone").exitCode == 125)
    }

    @Test func causesFollow() {
        #expect(failure(.exec, .noSuchFileOrDirectory).cause == .execError)
        #expect(failure(.exec, .permissionDenied).cause == .execError)
        #expect(failure(.workingDirectory, .noSuchFileOrDirectory).cause == .setupError)
        #expect(LaunchError(.parentLost, "gone").cause == .parentLost)
    }

    @Test func messagesNameTheOption() {
        #expect(failure(.exec, .noSuchFileOrDirectory).message == "./tool: command not found")
        #expect(failure(.exec, .permissionDenied).message == "./tool: cannot execute: Permission denied")
        #expect(failure(.workingDirectory, .noSuchFileOrDirectory).message.hasPrefix("--working-directory: "))
        #expect(failure(.credentials, .notPermitted).message.hasPrefix("--uid, --gid: "))
        #expect(failure(.credentials, .notPermitted, .library).message.hasPrefix("the credentials: "))
        #expect(LaunchError(.setup, "reason", remedy: "remedy").message == "reason; remedy")
        #expect(LaunchError(.setup, "reason").message == "reason")
    }
}
