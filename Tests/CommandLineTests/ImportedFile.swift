import LinuxSystem
import SandboxValues
import Services
import SystemdUnits

@testable import cgrun
@testable import cgrun_toml

/// What cgrun itself makes of the text of a `cgrun.toml`.
func serviceFile(_ text: String, in directory: String = "/srv/app") throws -> ServiceFile {
    switch StatementList(parsing: Array(text.utf8)) {
    case .statements(let statements):
        return try ServiceFile(statements, path: "cgrun.toml", directory: directory, environment: ["HOME=/root"])
    case .mistake(let line, let text): throw UsageError("cgrun.toml:\(line): \(text)")
    }
}

/// A configuration of supervisor in the file `/etc/s/main.conf`, as a `cgrun.toml`.
func imported(_ text: String, files: [String: String] = [:]) throws -> SupervisorImport {
    let all = files.merging(["/etc/s/main.conf": text]) { $1 }
    let surroundings = SupervisorSurroundings(
        readFile: { all[$0] }, glob: { all[$0] == nil ? [] : [$0] },
        environment: { ["HOME": "/root", "ODD": "x", "HOME_OF_TEST": "/h"][$0] })
    return try SupervisorImport(file: "/etc/s/main.conf", name: "main.conf", surroundings: surroundings)
}
