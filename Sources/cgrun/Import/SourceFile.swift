internal import Glibc
internal import LinuxSystem
internal import SandboxValues
internal import SystemPackage

/// A file to be imported, which is read once: it may be a pipe.
struct SourceFile {
    let text: String
    let facts: stat

    /// - Parameter accepted: what the file should be, for messages.
    init(_ path: String, accepted: String) throws(UsageError) {
        var facts = stat()
        var bytes: [UInt8] = []
        do {
            let file = try Descriptor(opening: path, O_RDONLY | O_NOCTTY)
            guard file.isRegularFile || file.isPipe, fstat(file.rawValue, &facts) == 0 else {
                throw UsageError("\(path.asName): it is neither a file nor a pipe; expected \(accepted)")
            }
            // Nobody writes more than that by hand; and of a pipe, no end may ever come.
            reading: while bytes.count <= TOMLReader.largest {
                switch file.readSome(65_536) {
                case .bytes(let some): bytes += some
                case .nothingYet: continue
                case .end: break reading
                }
            }
        } catch let error as UsageError {
            throw error
        } catch let error as SystemError {
            throw UsageError("\(path.asName): \(error.errno); expected \(accepted)")
        } catch { throw UsageError("\(error)") }
        guard bytes.count <= TOMLReader.largest else {
            throw UsageError(
                "\(path.asName): it has more than \(TOMLReader.largest) bytes; expected \(accepted)")
        }
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw UsageError("\(path.asName): it is no text in UTF-8; expected \(accepted)")
        }
        // Some editors put a byte order mark before the text, which is none of it.
        self.text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        self.facts = facts
    }
}
