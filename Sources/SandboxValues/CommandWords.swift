/// A command as one text, in which blanks part the words and quotes hold them together, as in a shell, but without
/// anything else that a shell does.
package enum CommandWords {
    /// Splits a command into its words as Python's `shlex.split` does.
    ///
    /// - Throws: where a quote is not closed or a backslash ends the text.
    package static func split(_ text: String) throws(LimitSyntaxError) -> [String] {
        enum State {
            case between
            case word
            case quoted(Unicode.Scalar)
            case escaped(in: Unicode.Scalar?)
        }
        var words: [String] = []
        var word = String.UnicodeScalarView()
        var state = State.between
        for scalar in text.unicodeScalars {
            switch state {
            case .between, .word:
                switch scalar {
                case " ", "\t", "\r", "\n":
                    if case .word = state { words.append(String(word)) }
                    word = String.UnicodeScalarView()
                    state = .between
                case "'", "\"": state = .quoted(scalar)
                case "\\": state = .escaped(in: nil)
                default:
                    word.append(scalar)
                    state = .word
                }
            case .quoted(let quote):
                if scalar == quote {
                    state = .word
                } else if scalar == "\\", quote == "\"" {
                    state = .escaped(in: quote)
                } else {
                    word.append(scalar)
                }
            case .escaped(let quote):
                // Between quotes, a backslash escapes only another backslash and the quote.
                if let quote, scalar != "\\", scalar != quote { word.append("\\") }
                word.append(scalar)
                state = quote.map { .quoted($0) } ?? .word
            }
        }
        switch state {
        case .quoted: throw LimitSyntaxError(accepted: "a closing quote")
        case .escaped: throw LimitSyntaxError(accepted: "a character after the backslash at the end")
        case .word: words.append(String(word))
        case .between: break
        }
        return words
    }

    /// The text that `split` splits into these words.
    package static func join(_ words: [String]) -> String {
        words.map { word in
            let quoted = word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
            return "'\(quoted)'"
        }.joined(separator: " ")
    }

    /// The words as a shell takes them, for people: quotes only where they are needed.
    package static func shown(_ words: [String]) -> String {
        words.map { word in
            let isPlain = word.allSatisfy { $0.isLetter || $0.isNumber || "-_./=:,@%+".contains($0) }
            return isPlain && !word.isEmpty ? word : join([word])
        }.joined(separator: " ")
    }
}
