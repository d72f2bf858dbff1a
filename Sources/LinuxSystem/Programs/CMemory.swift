internal import Glibc
package import SandboxValues

/// Copies of values for C, which last as long as this object.
final class CMemory {
    private var copies: [UnsafeMutableRawPointer] = []

    func array<Value>(_ values: [Value]) -> UnsafeMutablePointer<Value> {
        let copy = UnsafeMutableBufferPointer<Value>.allocate(capacity: values.count)
        _ = copy.initialize(from: values)
        copies.append(copy.baseAddress!)
        return copy.baseAddress!
    }

    func string(_ text: ByteString) -> UnsafeMutablePointer<CChar> {
        array(text.bytes.map(CChar.init(bitPattern:)) + [0])
    }

    /// NULL-terminated.
    func list(_ strings: [UnsafeMutablePointer<CChar>?]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
        array(strings + [nil])
    }

    deinit {
        for copy in copies { copy.deallocate() }
    }
}

extension ByteString {
    package init(cString: UnsafePointer<CChar>) {
        self.init(unchecked: Array(UnsafeRawBufferPointer(start: cString, count: strlen(cString))))
    }
}
