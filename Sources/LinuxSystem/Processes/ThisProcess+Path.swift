extension ThisProcess {
    /// The path from the root on: one that is not is about this process's directory.
    package static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : (currentDirectory ?? "") + "/" + path
    }
}
