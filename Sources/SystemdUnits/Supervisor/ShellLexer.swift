internal import SandboxValues

/// Splits text as Python's shlex does, in the two ways in which supervisor uses it.
enum ShellLexer {
    /// Splits a command into its words as `shlex.split` does.
    ///
    /// - Throws: where a quote is not closed or a backslash ends the text.
    static func split(_ text: String) throws(ExpansionFailure) -> [String] {
        do { return try CommandWords.split(text) } catch {
            throw ExpansionFailure(message: "expected \(error.accepted)")
        }
    }

    /// Reads the value of `environment=` as supervisor's `dict_of_key_value_pairs` does. No escapes are known, and
    /// any one token, not just a comma, separates two pairs.
    ///
    /// - Throws: where a quote is not closed, or a name is not followed by `=` and a value.
    static func keyValuePairs(_ text: String) throws(ExpansionFailure) -> [(name: String, value: String)] {
        let tokens = try plainTokens(text)
        var pairs: [(name: String, value: String)] = []
        var index = 0
        while index < tokens.count {
            guard index + 2 < tokens.count, tokens[index + 1] == "=" else {
                throw ExpansionFailure(
                    message:
                        "expected NAME=value pairs with commas in between, and quotes around what is more than a word")
            }
            var value = tokens[index + 2].unicodeScalars[...]
            while let first = value.first, first == "'" || first == "\"" { value.removeFirst() }
            while let last = value.last, last == "'" || last == "\"" { value.removeLast() }
            // A name that comes twice has the second value, at the place of the first.
            pairs.set((name: tokens[index], value: String(value)))
            index += 4
        }
        return pairs
    }

    /// Splits text into words, words in quotes and single other characters, without comments and blanks.
    private static func plainTokens(_ text: String) throws(ExpansionFailure) -> [String] {
        var tokens: [String] = []
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case " ", "\t", "\r", "\n": continue
            case "#": skipLine(&rest)
            case "'", "\"":
                guard let end = rest.firstIndex(of: scalar) else {
                    throw ExpansionFailure(message: "expected a closing quote")
                }
                let quote = String(Character(scalar))
                tokens.append(quote + String(rest[..<end]) + quote)
                rest = rest[rest.index(after: end)...]
            case _ where isWordCharacter(scalar): tokens.append(word(scalar, &rest))
            default: tokens.append(String(Character(scalar)))
            }
        }
        return tokens
    }

    /// The word that begins with `first`. A comment in a word does not end the word, which goes on in the next line.
    private static func word(_ first: Unicode.Scalar, _ rest: inout Substring.UnicodeScalarView) -> String {
        var word = String.UnicodeScalarView([first])
        while let scalar = rest.first {
            if scalar == "#" {
                skipLine(&rest)
            } else if isWordCharacter(scalar) || scalar == "'" || scalar == "\"" {
                word.append(scalar)
                rest.removeFirst()
            } else {
                break
            }
        }
        return String(word)
    }

    /// Drops everything up to the next line.
    private static func skipLine(_ rest: inout Substring.UnicodeScalarView) {
        rest = rest.firstIndex(of: "\n").map { rest[rest.index(after: $0)...] } ?? rest[rest.endIndex...]
    }

    /// Whether supervisor's lexer takes the character for a part of a word.
    private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "/", ".", "+", "-", "(", ")", ":": true
        default: false
        }
    }
}

extension [(name: String, value: String)] {
    /// Sets a variable, at the place of the one with its name if there is one.
    mutating func set(_ pair: Element) {
        if let known = firstIndex(where: { $0.name == pair.name }) { self[known] = pair } else { append(pair) }
    }
}
