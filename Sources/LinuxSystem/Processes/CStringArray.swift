internal import Glibc
package import SandboxValues

/// C strings in one allocation, and the NULL-terminated array of pointers to them.
final class CStringArray {
    private let storage: UnsafeMutablePointer<CChar>
    let pointers: [UnsafeMutablePointer<CChar>?]
    private let table: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    init(_ strings: [ByteString]) {
        storage = .allocate(capacity: strings.reduce(1) { $0 + $1.bytes.count + 1 })
        var pointers: [UnsafeMutablePointer<CChar>?] = []
        pointers.reserveCapacity(strings.count + 1)
        var next = storage
        for string in strings {
            pointers.append(next)
            string.bytes.withUnsafeBytes {
                if let base = $0.baseAddress { memcpy(next, base, $0.count) }
            }
            next[string.bytes.count] = 0
            next += string.bytes.count + 1
        }
        pointers.append(nil)
        self.pointers = pointers
        table = .allocate(capacity: pointers.count)
        table.initialize(from: pointers, count: pointers.count)
    }

    var base: UnsafePointer<UnsafeMutablePointer<CChar>?> { UnsafePointer(table) }

    deinit {
        table.deallocate()
        storage.deallocate()
    }
}

extension ByteString {
    package init(cString: UnsafePointer<CChar>) {
        self.init(unchecked: Array(UnsafeRawBufferPointer(start: cString, count: strlen(cString))))
    }
}
