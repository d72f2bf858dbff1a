internal import CSystemd

/// libsystemd, loaded when first needed.
final class Library {
    let functions: csystemd

    init() throws(BusError) {
        let table = UnsafeMutablePointer<csystemd>.allocate(capacity: 1)
        defer { table.deallocate() }
        if let reason = csystemd_load(table) {
            throw BusError(.noLibrary, "dlopen", path: "libsystemd.so.0", String(cString: reason))
        }
        functions = table.pointee
    }
}
