internal import CSystemd

/// A D-Bus message with one owner.
struct Message: ~Copyable {
    struct Target {
        var destination: String
        var path: String
        var interface: String
    }

    private let library: Library
    let handle: OpaquePointer
    /// The method, for errors.
    let member: String

    init(_ library: Library, owning handle: OpaquePointer, member: String) {
        self.library = library
        self.handle = handle
        self.member = member
    }

    deinit { _ = library.functions.sd_bus_message_unref(handle) }

    private func check(_ result: CInt) throws(BusError) {
        guard result >= 0 else { throw BusError(.malformed, member, result: result) }
    }

    // MARK: Writing

    func append(_ text: String) throws(BusError) {
        try check(
            text.withCString { library.functions.sd_bus_message_append_basic(handle, .init(UInt8(ascii: "s")), $0) })
    }

    private func append<Value>(_ type: Unicode.Scalar, _ value: Value) throws(BusError) {
        try check(
            withUnsafeBytes(of: value) {
                library.functions.sd_bus_message_append_basic(handle, CChar(UInt8(ascii: type)), $0.baseAddress!)
            })
    }

    /// Opens a container, fills it and closes it: `a`rray, st`r`uct, `v`ariant.
    func container(_ type: Unicode.Scalar, of content: String, _ fill: () throws(BusError) -> Void) throws(BusError) {
        try check(library.functions.sd_bus_message_open_container(handle, CChar(UInt8(ascii: type)), content))
        try fill()
        try check(library.functions.sd_bus_message_close_container(handle))
    }

    func append(_ properties: [UnitProperty]) throws(BusError) {
        try container("a", of: "(sv)") { () throws(BusError) in
            for property in properties {
                try container("r", of: "sv") { () throws(BusError) in
                    try append(property.name)
                    try container("v", of: property.value.signature) { () throws(BusError) in
                        try append(property.value)
                    }
                }
            }
        }
    }

    func append(_ value: UnitProperty.Value) throws(BusError) {
        switch value {
        case .string(let text): try append(UnitProperty.line(text))
        case .bool(let flag): try append("b", CInt(flag ? 1 : 0))
        case .int32(let number): try append("i", number)
        case .uint32(let number): try append("u", number)
        case .uint64(let number): try append("t", number)
        case .strings(let texts):
            try container("a", of: "s") { () throws(BusError) in
                for text in texts { try append(UnitProperty.line(text)) }
            }
        case .bytes(let bytes):
            try check(
                bytes.withUnsafeBytes {
                    library.functions.sd_bus_message_append_array(
                        handle, CChar(UInt8(ascii: "y")), $0.baseAddress, bytes.count)
                })
        case .devices(let devices):
            try container("a", of: "(st)") { () throws(BusError) in
                for device in devices {
                    try container("r", of: "st") { () throws(BusError) in
                        try append(device.path)
                        try append("t", device.number)
                    }
                }
            }
        case .pids(let pids):
            try container("a", of: "u") { () throws(BusError) in
                for pid in pids { try append("u", UInt32(bitPattern: pid)) }
            }
        case .command(let path, let words):
            try container("a", of: "(sasas)") { () throws(BusError) in
                try container("r", of: "sasas") { () throws(BusError) in
                    try append(path)
                    // Without this flag, systemd puts variables in place of what begins with a dollar sign.
                    for texts in [words, ["no-env-expand"]] {
                        try container("a", of: "s") { () throws(BusError) in for text in texts { try append(text) } }
                    }
                }
            }
        case .descriptors(let descriptors):
            try container("a", of: "h") { () throws(BusError) in for one in descriptors { try append("h", one) } }
        }
    }

    // MARK: Reading

    func isReply(to cookie: UInt64) -> Bool {
        var answered: UInt64 = 0
        return library.functions.sd_bus_message_get_reply_cookie(handle, &answered) >= 0 && answered == cookie
    }

    func isSignal(_ interface: String, _ name: String) -> Bool {
        library.functions.sd_bus_message_is_signal(handle, interface, name) > 0
    }

    func checkForError() throws(BusError) {
        guard let error = library.functions.sd_bus_message_get_error(handle), let name = error.pointee.name else {
            return
        }
        throw BusError(
            .refused(name: String(cString: name)), member,
            error.pointee.message.map { String(cString: $0) } ?? "no message")
    }

    func readNumber() throws(BusError) -> UInt32 {
        var number: UInt32 = 0
        try check(library.functions.sd_bus_message_read_basic(handle, CChar(UInt8(ascii: "u")), &number))
        return number
    }

    /// - Parameter type: `s`tring or `o`bject path.
    func readText(_ type: Unicode.Scalar = "s") throws(BusError) -> String {
        var text: UnsafePointer<CChar>?
        try check(library.functions.sd_bus_message_read_basic(handle, CChar(UInt8(ascii: type)), &text))
        guard let text else { throw BusError(.malformed, member, "no text in the answer") }
        return String(cString: text)
    }

    func enterVariant(of content: String) throws(BusError) {
        try check(library.functions.sd_bus_message_enter_container(handle, CChar(UInt8(ascii: "v")), content))
    }
}
