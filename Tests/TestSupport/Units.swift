extension Harness {
    /// `systemctl`, for the manager that jobs are with.
    @discardableResult
    public func systemctl(_ arguments: String...) throws -> Outcome {
        try start(["systemctl"] + (Capability.isRoot ? [] : ["--user"]) + arguments).end()
    }

    /// No unit of cgrun's is loaded, and none has failed.
    public func expectNoUnit() throws {
        var listed = ""
        try eventually("no unit left, but: \(listed)") {
            listed = try systemctl("list-units", "--all", "--plain", "--no-legend", "cgrun*").output
            return listed.isEmpty
        }
        let failed = try systemctl("list-units", "--failed", "--plain", "--no-legend").output
        guard !failed.contains(text: "cgrun") else { throw TestFailure("failed: \(failed)") }
    }
}
