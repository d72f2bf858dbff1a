internal import LinuxSystem
internal import SandboxValues

extension UnitProperty {
    /// The longest text of a property, in bytes: as long as a path may be. systemd reads lines of up to 1 MiB.
    package static let longestText = 4_095

    /// The form that a text must have for systemd to show it as it was given.
    package static let acceptedText =
        "one line of at most \(longestText) bytes, without control characters, blanks at its ends or a single backslash at its end"

    /// The form in which systemd gets a text, whoever the text comes from: one line that reads back as it was sent.
    ///
    /// systemd writes a property into the unit's file as it is, but for `%`, and reads that file again at every
    /// `daemon-reload`. A line end in the text would begin a line that the caller chose: a directive of its own,
    /// carried out by root's manager. A backslash at the end would join the next line to this one, and so take it away.
    /// The reload would lose blanks at either end of a text, and a whole unit with a line that is too long. systemd
    /// unescapes nothing in these lines, so backslashes in the middle stay as they are.
    package static func line(_ text: String) -> String {
        var line = String.UnicodeScalarView()
        var size = 0
        for scalar in text.unicodeScalars.drop(while: { $0 == " " }) {
            let shown = String(scalar).inOneLine
            size += shown.utf8.count
            guard size <= longestText else { break }
            line.append(contentsOf: shown.unicodeScalars)
        }
        while line.last == " " { line.removeLast() }
        let backslashes = line.reversed().prefix { $0 == "\\" }.count
        if !backslashes.isMultiple(of: 2) { line.append("\\") }
        return String(line)
    }
}
