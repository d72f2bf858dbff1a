internal import LinuxSystem
internal import SandboxValues
internal import Services
internal import SystemdUnits

// What cannot be converted, told of the line in the file that asks for it.

extension ServiceUnitConverter {
    func failure(_ key: String, _ text: String) -> UsageError {
        let statement = service.statements.first { $0.path.joined(separator: ".") == key }
        let value = statement.map { Self.text($0.value).inOneLine } ?? ""
        return UsageError(
            "\(path.asName):\(statement?.line ?? service.line): \(section).\(key)\(value.isEmpty ? "" : " " + value): "
                + text)
    }

    /// The key in the file by which a directive got its value.
    private static let keys = [
        "ExecStart": ["command"], "WorkingDirectory": ["dir"], "ReadWritePaths": ["dir"], "User": ["uid"],
        "Group": ["gid"], "EnvironmentFile": ["env-file"], "StandardOutput": ["log.file", "log"],
        "Description": ["description"], "unit name": ["slice"], "StartLimitBurst": ["give-up"],
    ]

    /// The unit's file, once it is known that systemd takes it.
    ///
    /// - Throws: `UsageError` in place of the library's error, which knows of no lines and keys.
    func file(of unit: Service) throws(UsageError) -> UnitFile {
        do throws(UnitError) { _ = try unit.reloadCommand?.text() } catch { throw failure("reload.command", error) }
        do throws(UnitError) {
            let file = try unit.file()
            _ = try file.text()
            return file
        } catch { throw failure(error) }
    }

    func failure(_ error: UnitError) -> UsageError {
        if error.key == "Environment" { return failure("env.\(error.value.prefix { $0 != "=" })", error) }
        let known = Set(service.statements.map { $0.path.joined(separator: ".") })
        guard let keys = Self.keys[error.key], let key = keys.first(where: known.contains) ?? keys.first else {
            return UsageError("\(path.asName):\(service.line): \(section): \(error)")
        }
        return failure(key, error)
    }

    private func failure(_ key: String, _ error: UnitError) -> UsageError {
        failure(key, "\(error.shownValue): expected \(error.accepted) (for \(error.key)=)")
    }
}
